#pragma once

// Changes as lines of JSON: what `--out ndjson` prints (docs/cli.md). Pure.
//
//   {"seq":12,"type":"commit","did":"…","rev":"…","commit":"…","time":"…","action":"create",
//    "collection":"…","rkey":"…","cid":"…","record":{…},"verification":"full"}
//   {"seq":13,"type":"identity","did":"…","time":"…","handle":"alice.test"}
//   {"seq":14,"type":"account","did":"…","time":"…","active":false,"status":"takendown"}
//   {"seq":15,"type":"sync","did":"…","rev":"…","commit":"…","time":"…","data":"…"}

#include <string>

#include "indexer/change_set.h"

namespace penstock::indexer {

// Appends the lines of `change`: one for each record change (a delete without `cid` and `record`), one for a
// commit without operations ("action":null), one for any other event. None for what did not pass, for records
// that are not valid data, and for gaps.
//
// A commit that a named relaxation let in (sync/policies.h) says so:
// "verification":"signature","allowed":"legacy-commits".
//
// Records are exact: their JSON comes from the signed bytes, not from RecordRow::value, so U+0000 stays.
void AppendNdjson(const ChangeSet& change, std::string* out);

}  // namespace penstock::indexer
