#include "indexer/filter.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_split.h"
#include "base/status.h"
#include "repo/syntax.h"

namespace penstock::indexer {
namespace {

constexpr uint8_t kAllActions = 7;

uint8_t Bit(repo::Action action) { return static_cast<uint8_t>(1u << static_cast<uint8_t>(action)); }

absl::StatusOr<uint8_t> ParseActions(const std::vector<std::string>& names, const std::string& entry) {
  uint8_t bits = 0;
  for (const std::string& name : names) {
    const std::optional<repo::Action> action = repo::ActionFromName(name);
    if (!action) return InvalidInputError("'" + entry + "': '" + name + "' is not create, update or delete");
    bits |= Bit(*action);
  }
  return bits;
}

// "a.b.*" is everything below a.b; the dot stays, so that "a.bc" is not part of it. The head must be what an
// NSID can start with, which is asked of the NSID parser itself.
bool IsPrefix(std::string_view pattern) {
  if (!pattern.ends_with(".*")) return false;
  // "x.x" because an NSID has at least three segments, and the prefix may be one.
  const std::string below = std::string(pattern.substr(0, pattern.size() - 1)) + "x.x";
  return repo::Nsid::Parse(below).has_value();
}

absl::Status AddDids(const std::vector<std::string>& dids, absl::flat_hash_set<std::string>* set) {
  for (const std::string& did : dids) {
    if (!repo::Did::Parse(did)) return InvalidInputError("'" + did + "' is no DID");
    set->insert(did);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Filter> Filter::Make(const FilterOptions& options) {
  Filter filter;
  for (const std::string& entry : options.collections) {
    const bool exclude = entry.starts_with('-');
    std::string pattern = exclude ? entry.substr(1) : entry;
    Rule rule{{}, kAllActions, false};
    if (const size_t colon = pattern.find(':'); colon != std::string::npos) {
      ASSIGN_OR_RETURN(rule.actions, ParseActions(absl::StrSplit(pattern.substr(colon + 1), ','), entry));
      pattern.resize(colon);
    }
    if (pattern == "*") {
      rule.prefix = true;  // the empty prefix
    } else if (IsPrefix(pattern)) {
      rule.prefix = true;
      rule.text = pattern.substr(0, pattern.size() - 1);
    } else if (repo::Nsid::Parse(pattern)) {
      rule.text = pattern;
    } else {
      return InvalidInputError("'" + entry + "' is no NSID, no prefix such as space.atbb.*, and not '*'");
    }
    (exclude ? filter.exclude_ : filter.include_).push_back(std::move(rule));
  }
  if (filter.include_.empty()) {
    return InvalidInputError("no collection is wanted: name some, or '*' for everything");
  }
  RETURN_IF_ERROR(AddDids(options.dids, &filter.dids_));
  RETURN_IF_ERROR(AddDids(options.exclude_dids, &filter.exclude_dids_));
  if (!options.actions.empty()) {
    ASSIGN_OR_RETURN(filter.actions_, ParseActions(options.actions, "actions"));
  }
  const bool includes_all = std::any_of(filter.include_.begin(), filter.include_.end(), [](const Rule& rule) {
    return rule.prefix && rule.text.empty() && rule.actions == kAllActions;
  });
  filter.everything_ = includes_all && filter.exclude_.empty() && filter.dids_.empty() &&
                       filter.exclude_dids_.empty() && filter.actions_ == kAllActions;
  return filter;
}

Filter Filter::Everything() {
  Filter filter;
  filter.include_.push_back({"", kAllActions, true});
  filter.everything_ = true;
  return filter;
}

bool Filter::WantsAccount(std::string_view did) const {
  if (!dids_.empty() && !dids_.contains(ToAbsl(did))) return false;
  return exclude_dids_.empty() || !exclude_dids_.contains(ToAbsl(did));
}

uint8_t Filter::ActionsFor(std::string_view collection) const {
  const auto covers = [&](const Rule& rule) {
    return rule.prefix ? collection.starts_with(rule.text) : collection == rule.text;
  };
  uint8_t actions = 0;
  for (const Rule& rule : include_) {
    if (covers(rule)) actions |= rule.actions;
  }
  for (const Rule& rule : exclude_) {
    if (covers(rule)) actions &= static_cast<uint8_t>(~rule.actions);
  }
  return actions & actions_;
}

bool Filter::WantsOp(const repo::RepoOp& op) const {
  return everything_ || (ActionsFor(op.collection) & Bit(op.action)) != 0;
}

bool Filter::Matches(std::string_view did, std::span<const repo::RepoOp> ops) const {
  if (!WantsAccount(did)) return false;
  for (const repo::RepoOp& op : ops) {
    if (WantsOp(op)) return true;
  }
  return false;
}

}  // namespace penstock::indexer
