#include "repo/commit.h"

#include <string>

#include "base/status.h"
#include "cbor/reader.h"

namespace penstock::repo {
namespace {

constexpr int64_t kVersion2 = 2, kVersion3 = 3;

absl::Status BadObject(std::string_view what) { return RejectError(Reject::kCommitBadObject, what); }

// Which fields were there.
struct Seen {
  bool did = false, rev = false, data = false, prev = false, sig = false, version = false;
};

}  // namespace

absl::StatusOr<CommitObject> DecodeCommit(Bytes block, CommitVersions versions) {
  cbor::Reader reader(block);
  cbor::MapCursor map;
  std::string_view key, did;
  CommitObject commit;
  cbor::Integer version;
  Seen seen;
  (void)reader.BeginMap(&map);
  while (reader.NextKey(&map, &key)) {
    if (key == "did") {
      seen.did = reader.ReadText(&did);
    } else if (key == "rev") {
      seen.rev = reader.ReadText(&commit.rev);
    } else if (key == "sig") {
      seen.sig = reader.ReadBytes(&commit.sig);
    } else if (key == "data") {
      seen.data = reader.ReadLink(&commit.data);
    } else if (key == "prev") {
      seen.prev = reader.Peek() == cbor::Kind::kNull ? reader.ReadNull() : reader.ReadLink(&commit.prev);
    } else if (key == "version") {
      seen.version = reader.ReadInteger(&version);
    } else {
      (void)reader.Skip();
    }
  }
  if (reader.ok() && !reader.AtEnd()) (void)reader.Fail(Reject::kCborTrailingBytes);
  if (reader.error() == Reject::kCborUnexpectedType) {
    return BadObject("wrong type " + std::string(Message(reader.status())));
  }
  if (!reader.ok()) return reader.status();

  if (!seen.version) return BadObject("no version");
  const bool is_v2 = !version.negative && version.value == kVersion2;
  const bool is_v3 = !version.negative && version.value == kVersion3;
  if (!is_v3 && !(is_v2 && versions == CommitVersions::kAlsoV2)) {
    return RejectError(Reject::kCommitBadVersion);
  }
  commit.version = static_cast<int64_t>(version.value);

  if (!seen.did || !seen.data || !seen.prev || !seen.sig) return BadObject("a field is missing");
  const std::optional<Did> parsed = Did::Parse(did);
  if (!parsed) return BadObject("did");
  commit.did = *parsed;
  // Version 2 came before revs.
  if (!(is_v2 && !seen.rev) && !Tid::Parse(commit.rev)) return BadObject("rev");
  if (!commit.data.IsBlessedData()) return BadObject("data");
  return commit;
}

}  // namespace penstock::repo
