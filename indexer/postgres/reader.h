#pragma once

#include <memory>

#include "indexer/readers.h"

namespace penstock::indexer {

std::unique_ptr<sync::StateStore> MakePostgresStateStore(const StoreOptions& options);
std::unique_ptr<RecordScan> MakePostgresRecordScan(const StoreOptions& options);
std::unique_ptr<AccountScan> MakePostgresAccountScan(const StoreOptions& options);

}  // namespace penstock::indexer
