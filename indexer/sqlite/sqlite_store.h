#pragma once

#include <memory>
#include <string>

#include "indexer/store.h"

namespace penstock::indexer {

// The store in an SQLite file at `path`; its lease is a flock on "<path>.lock", so one writer per file
// whatever its shard. Does not touch the file before Open.
std::unique_ptr<Store> MakeSqliteStore(const StoreOptions& options, std::string path);

}  // namespace penstock::indexer
