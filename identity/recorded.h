#pragma once

// Identities from files instead of the network: for replays, tests, and work without a directory. Pure: the
// caller opens the files.
//
// One JSON object a line, one line per version of a DID document:
//
//   {"did": "did:plc:…", "doc": {…}, "from_seq": 12}
//
// `from_seq` is the first seq under which the version is in force. Without it (or null) the version is in
// force from the beginning. It may be an object with a number or null per stream, {"a": 12, "b": null}: null
// means that the version is never in force on that stream. `doc` null means that the DID does not resolve
// from there on. Other members are ignored, empty lines skipped.

#include <cstddef>
#include <cstdint>
#include <istream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "identity/resolver.h"

namespace penstock::identity {

// Thread-safe once everything is loaded.
class RecordedResolver : public Resolver {
 public:
  struct Scope {
    std::string source;  // for events of this source only; empty for those of all sources
    std::string member;  // which member counts where `from_seq` is an object; empty if none may be one
  };

  // Adds the versions of `lines`; `name` stands in errors ("name:line: …"). May be called for many files;
  // where two versions begin at the same seq, the one loaded last is in force. Parses each document and key
  // once. A document that cannot be used is a version as well: the account is not verifiable there.
  // Errors: kInvalidArgument for a line that is not as above. What came before it stays loaded.
  absl::Status Load(std::istream& lines, std::string_view name, const Scope& scope);

  size_t version_count() const { return version_count_; }

  // The version with the greatest `from_seq` up to `position.seq`, of this source or of all; null if there is
  // none.
  IdentityPtr Find(std::string_view did, const Position& position) override;
  // Answers at once, whatever is asked for: with what Find gives, or with an identity whose fault is
  // kDidNotFound.
  void Resolve(std::string_view did, const Position& position, Ask ask, Done done) override;
  // Files do not change.
  void Purge(std::string_view did) override;
  void Keep(IdentityPtr identity) override;

 private:
  struct Version {
    int64_t from_seq;
    std::string source;  // empty: all
    IdentityPtr identity;
  };

  absl::Status LoadLine(std::string_view line, const Scope& scope);

  // By DID, each in the order of `from_seq`.
  absl::flat_hash_map<std::string, std::vector<Version>> versions_;
  size_t version_count_ = 0;
};

}  // namespace penstock::identity
