#pragma once

#include <memory>

#include "indexer/readers.h"

namespace penstock::indexer {

std::unique_ptr<sync::BackfillStore> MakePostgresBackfillStore(const StoreOptions& options);

}  // namespace penstock::indexer
