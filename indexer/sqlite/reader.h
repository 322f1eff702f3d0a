#pragma once

#include <memory>
#include <string>

#include "indexer/readers.h"

namespace penstock::indexer {

std::unique_ptr<sync::StateStore> MakeSqliteStateStore(const StoreOptions& options, std::string path);
std::unique_ptr<RecordScan> MakeSqliteRecordScan(const StoreOptions& options, std::string path);
std::unique_ptr<AccountScan> MakeSqliteAccountScan(const StoreOptions& options, std::string path);

}  // namespace penstock::indexer
