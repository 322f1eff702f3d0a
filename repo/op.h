#pragma once

// One operation of a commit, as its message claims it (`#commit.ops[]`, protocol 2.1).

#include <cstdint>
#include <optional>
#include <string_view>

#include "cbor/cid.h"

namespace penstock::repo {

enum class Action : uint8_t { kCreate, kUpdate, kDelete };

// "create", "update", "delete".
std::string_view ActionName(Action action);
std::optional<Action> ActionFromName(std::string_view name);

// Views into the frame. `path` is what the message says; collection and rkey are its halves when it is a
// valid repo path, and both empty when it is not (the check of the commit refuses it then).
struct RepoOp {
  Action action = Action::kCreate;
  std::string_view path;
  std::string_view collection;
  std::string_view rkey;
  cbor::CidView cid;   // empty for a delete
  cbor::CidView prev;  // empty for a create, and in messages older than Sync v1.1
};

}  // namespace penstock::repo
