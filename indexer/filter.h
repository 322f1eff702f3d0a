#pragma once

// Which operations the operator wants, decided from `ops[].path` alone, before any CAR work
// (docs/architecture.md 3). Immutable once made, so thread-safe. Matching allocates nothing.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "repo/op.h"

namespace penstock::indexer {

struct FilterOptions {
  // Exact NSIDs, prefixes "space.atbb.*" (everything below, at any depth), or "*" for everything. "-NSID" and
  // "-prefix.*" exclude; exclusion wins, wherever it stands. An entry may carry an operation mask:
  // "space.atbb.post:create,update"; with an exclusion, these operations are what it excludes. At least one
  // entry must include something.
  std::vector<std::string> collections;
  std::vector<std::string> dids;          // only these accounts; empty = all
  std::vector<std::string> exclude_dids;  // never these
  std::vector<std::string> actions;       // create, update, delete; empty = all
};

class Filter {
 public:
  // Errors: kInvalidArgument naming the entry that is no NSID, prefix, DID or action; also when nothing is
  // included.
  static absl::StatusOr<Filter> Make(const FilterOptions& options);
  static Filter Everything();

  bool WantsAccount(std::string_view did) const;
  bool WantsOp(const repo::RepoOp& op) const;
  // Does anything in the commit concern us? Not one without ops: who takes everything() looks at that first.
  bool Matches(std::string_view did, std::span<const repo::RepoOp> ops) const;
  bool everything() const { return everything_; }  // no restriction at all: also commits without ops pass

 private:
  struct Rule {
    std::string text;  // an NSID, or a prefix that ends in '.'
    uint8_t actions;   // bit per repo::Action
    bool prefix;
  };
  uint8_t ActionsFor(std::string_view collection) const;

  std::vector<Rule> include_, exclude_;
  absl::flat_hash_set<std::string> dids_, exclude_dids_;
  uint8_t actions_ = 7;
  bool everything_ = false;
};

}  // namespace penstock::indexer
