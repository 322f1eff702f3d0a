#pragma once

#include <memory>
#include <string>

#include "indexer/readers.h"

namespace penstock::indexer {

std::unique_ptr<sync::BackfillStore> MakeSqliteBackfillStore(const StoreOptions& options, std::string path);

}  // namespace penstock::indexer
