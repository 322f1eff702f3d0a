#pragma once

// What a CAR file proves: a whole repository, or one record of it. The checks are those of
// repo/export_stream.h and repo/record_proof.h; here they are told step by step.

#include <cstdint>
#include <functional>
#include <istream>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "app/verify_report.h"
#include "base/bytes.h"
#include "crypto/public_key.h"
#include "identity/identity.h"

namespace penstock::app {

// Whose key a commit has to be signed with.
struct Signer {
  // The account's identity. Errors: kUnavailable, kDeadlineExceeded (nobody answers).
  std::function<absl::StatusOr<identity::IdentityPtr>(std::string_view did)> find;
  // Instead of asking: a key that somebody vouches for.
  std::optional<crypto::PublicKey> key;
  std::string origin;  // where the key comes from, for the report: "--key", "https://plc.directory", …
};

struct RepositoryQuestion {
  std::istream* car = nullptr;  // read to its end, or to the first fault; of any size
  int64_t now_us = 0;
  bool allow_v2 = false;  // also commits of version 2, which only old files hold
};

// Steps: commit, key, signature, blocks, tree, records.
void VerifyRepository(const RepositoryQuestion& question, const Signer& signer, VerifyReport* report);

struct RecordQuestion {
  Bytes car;
  int64_t now_us = 0;
  std::string did;           // whose repository it must be; empty: of whom the commit says
  std::string path;          // a repo path, collection/rkey
  bool need_record = false;  // the CAR must hold the record's bytes, not only its CID
};

// Steps: blocks, commit, key, signature, path, record.
void VerifyRecord(const RecordQuestion& question, const Signer& signer, VerifyReport* report);

}  // namespace penstock::app
