#pragma once

// From columns to what account synchronisation works with; the same for both stores.

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "identity/identity.h"
#include "indexer/readers.h"
#include "sync/account_state.h"

namespace penstock::indexer {

// Columns of `repo`; empty for NULL.
struct RepoCells {
  std::string_view rev = {}, data = {}, commit_cid = {}, sync_state = {}, status = {};
  bool active = true;
};

// Errors: kDataLoss for what we never write.
absl::Status ReadRepo(const RepoCells& cells, sync::AccountState* state);

// Columns of `identity`; empty for NULL.
struct IdentityCells {
  std::string_view fault = {}, did_key = {}, pds = {}, handle = {}, handle_state = {}, document = {};
  int64_t fetched_at = 0;
};

// Null for a row that says nothing: this is a cache, and what it cannot tell is asked for again.
identity::IdentityPtr ReadIdentity(std::string_view did, const IdentityCells& cells);

// Columns of `record` that an import compares; empty for NULL.
struct DigestCells {
  std::string_view rkey = {}, cid = {}, rev = {}, verification = {};
  bool deleted = false;
};

// Views what the cells view. Errors: kDataLoss for what we never write.
absl::Status ReadDigest(const DigestCells& cells, RecordDigest* digest);

}  // namespace penstock::indexer
