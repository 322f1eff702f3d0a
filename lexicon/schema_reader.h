#pragma once

// The types of the language (protocol 9.2), read from JSON and checked. Private to lexicon/.

#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "lexicon/document.h"
#include "lexicon/json_place.h"

namespace penstock::lexicon {

// Where a schema stands decides which types it may have.
enum class Position { kProperty, kItems, kDefinition, kMain, kParameters, kRecordBody, kBody, kMessage };

// Reads the schema at `place` of a file with this NSID.
absl::Status ReadSchema(const Place& place, std::string_view nsid, const boost::json::value& value,
                        Position position, Schema* schema);

}  // namespace penstock::lexicon
