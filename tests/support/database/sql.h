#pragma once

// A way to a database that does not go through our own store: to look over its shoulder and to break things.

#include <string>
#include <string_view>

#include "indexer/store.h"

namespace penstock::test {

// Runs one or more statements against the store's URL (either kind) on a connection of its own and returns
// the rows of the last one, as Store::Query gives them but for bytes (PostgreSQL: "\x…"). Throws
// std::runtime_error with the database's words.
indexer::TextTable RunSql(const std::string& url, const std::string& sql);

// The first cell of the first row; "" if there is none or it is NULL.
std::string RunSqlValue(const std::string& url, const std::string& sql);

}  // namespace penstock::test
