#pragma once

#include <memory>

#include "indexer/store.h"

namespace penstock::indexer {

// The store in a PostgreSQL database (12 or later), in the first schema of the connection's search_path; its
// lease is a session's advisory lock. `options.url` is what libpq takes. Does not connect before Open; Apply
// and the reads reconnect.
std::unique_ptr<Store> MakePostgresStore(const StoreOptions& options);

}  // namespace penstock::indexer
