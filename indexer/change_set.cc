#include "indexer/change_set.h"

namespace penstock::indexer {

std::string_view ValidationName(Validation validation) {
  switch (validation) {
    case Validation::kUnknown:
      return "unknown";
    case Validation::kOk:
      return "ok";
    case Validation::kWarn:
      return "warn";
    case Validation::kInvalid:
      return "invalid";
  }
  return "";
}

void ChangeSet::Clear() {
  // A part of a large import must not hold its memory for good.
  constexpr size_t kKeepRows = 1024;
  if (records.capacity() > kKeepRows) std::vector<RecordRow>().swap(records);
  records.clear();
  account.reset();
  repo.reset();
  held.clear();
  settles.clear();
  number = 0;
  durable = nullptr;
  credit.reset();
  import.reset();
  purge_rows = 0;
  held_done.reset();
  identity.reset();
  identity_purged = proof_key = allowed = {};
  dead_letters.clear();
  gaps.clear();
  quarantine.clear();
  source = did = rev = commit_cid = event_json = {};
  letter_source = {};
  letter_seq = 0;
  seq = 0;
  ticket = 0;
  arrival_us = 0;
  kind = EventKind::kCommit;
  verification = Verification::kCid;
  passed = false;
  arena.Reset();
}

}  // namespace penstock::indexer
