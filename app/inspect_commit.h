#pragma once

// `penstock inspect commit`: one commit, what its signature covers, and what holds of it.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "crypto/public_key.h"

namespace penstock::app {

// The key of an account, as of a place in the stream (`seq` 0 where there is none). Empty: nobody was asked, and the signature
// is not judged.
using CommitKey = std::function<absl::StatusOr<crypto::PublicKey>(std::string_view did, int64_t seq)>;

// `input` is a #commit or #sync message, or a CAR whose root is a commit. Prints the commit object, the digest that the
// signature is over, whose key it takes, and the verdict of every stage that can be judged: check, signature, inversion. False
// if one refuses, also when `key` has none to give.
bool InspectCommit(Bytes input, const CommitKey& key, int64_t now_us, std::string* out);

}  // namespace penstock::app
