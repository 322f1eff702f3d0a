#include "app/inspect_commit.h"

#include <optional>
#include <utility>

#include "app/inspect_text.h"
#include "base/encoding.h"
#include "base/status.h"
#include "car/block_index.h"
#include "cbor/reader.h"
#include "firehose/frame.h"
#include "fmt/format.h"
#include "repo/commit.h"
#include "repo/verify.h"
#include "sync/judge.h"

namespace penstock::app {
namespace {

using firehose::Frame;
using firehose::FrameKind;

// The keys of the map that the specification does not name.
std::string OtherFields(Bytes block) {
  std::string names;
  cbor::Reader reader(block);
  cbor::MapCursor map;
  std::string_view key;
  (void)reader.BeginMap(&map);
  while (reader.NextKey(&map, &key) && reader.Skip()) {
    if (key == "did" || key == "rev" || key == "sig" || key == "data" || key == "prev" || key == "version") continue;
    names += (names.empty() ? "" : ", ") + Printable(key);
  }
  return names;
}

// The commit's fields and what is signed of them.
void AppendCommit(const cbor::CidView& cid, Bytes block, const repo::CommitObject& commit, std::string* out) {
  Line(out, "commit", CidText(cid));
  Line(out, "  did", commit.did.text());
  Line(out, "  rev", commit.rev.empty() ? "-" : commit.rev);
  Line(out, "  data", CidText(commit.data));
  Line(out, "  prev", CidText(commit.prev));
  Line(out, "  version", std::to_string(commit.version));
  if (const std::string others = OtherFields(block); !others.empty()) Line(out, "  others", others + " (signed too)");
  Line(out, "  sig", fmt::format("{} bytes{}", commit.sig.size(),
                                 commit.sig.size() == crypto::kSignatureSize ? ": " + ToHex(commit.sig) : ""));
  std::string scratch;
  const crypto::Sha256Digest digest = repo::UnsignedCommitDigest(block, commit, &scratch);
  Line(out, "unsigned", fmt::format("{} bytes, SHA-256 {}", scratch.size(), ToHex(digest)));
  Line(out, "needs", fmt::format("the #atproto key of {}", commit.did.text()));
}

bool JudgeSignature(Bytes block, const repo::CommitObject& commit, const CommitKey& key, int64_t seq, std::string* out) {
  if (!key) {
    Line(out, "signature", "not judged: give the key (--key, --did-docs)");
    return true;
  }
  const absl::StatusOr<crypto::PublicKey> found = key(commit.did.text(), seq);
  if (!found.ok()) return Refused(found.status(), {}, out);
  Line(out, "key", fmt::format("{} ({})", found->did_key(), CurveName(found->curve())));
  std::string scratch;
  const absl::Status status = repo::CheckCommitSignature(*found, block, commit, &scratch);
  if (!status.ok()) return Refused(status, {}, out);
  Line(out, "signature", "holds");
  return true;
}

// A CAR's root as a commit, without a message about it: nothing but the object and its signature can be judged.
bool InspectRoot(Bytes car, const CommitKey& key, int64_t seq, std::string* out) {
  car::BlockIndex blocks;
  const absl::Status loaded = blocks.Load(car, car::HashCheck::kVerify, car::kMaxRepositoryBlocks);
  if (!loaded.ok()) return Refused(loaded, {}, out);
  const std::optional<Bytes> block = blocks.Find(blocks.root());
  if (!block) return Refused(RejectError(Reject::kCarMissingBlock, "the root"), {}, out);
  const auto commit = repo::DecodeCommit(*block, repo::CommitVersions::kAlsoV2);
  if (!commit.ok()) return Refused(commit.status(), *block, out);
  AppendCommit(blocks.root(), *block, *commit, out);
  return JudgeSignature(*block, *commit, key, seq, out);
}

bool InspectMessage(const Frame& frame, const CommitKey& key, int64_t now_us, std::string* out) {
  const repo::CommitClaim claim = sync::ClaimOf(frame);
  repo::CommitVerifier verifier;
  repo::VerifiedCommit commit;
  if (const absl::Status status = verifier.Check(claim, now_us, &commit); !status.ok()) {
    // What is there of the commit may say why.
    (void)InspectRoot(frame.blocks, nullptr, 0, out);
    return Refused(status, {}, out);
  }
  const repo::CheckedCommit& checked = commit.checked;
  AppendCommit(claim.commit, checked.commit_block, checked.commit, out);
  Line(out, "check", fmt::format("holds: hashes, tree and {} op{}", claim.ops.size(), claim.ops.size() == 1 ? "" : "s"));
  const bool signed_well = JudgeSignature(checked.commit_block, checked.commit, key, frame.seq.value_or(0), out);
  if (const absl::Status status = verifier.Invert(claim, &commit); !status.ok()) {
    Line(out, "inversion", "fails");
    return Refused(status, {}, out);
  }
  Line(out, "inversion", commit.whole ? "gives the empty tree: this is the whole repository"
                                      : "gives prevData " + CidText(claim.prev_data));
  return signed_well;
}

}  // namespace

bool InspectCommit(Bytes input, const CommitKey& key, int64_t now_us, std::string* out) {
  Frame frame;
  const absl::Status framing = firehose::DecodeFrame(input, &frame);
  if (!framing.ok()) return InspectRoot(input, key, 0, out);  // a CAR begins with a length, which no message does
  Line(out, "message", frame.type.empty() ? firehose::FrameKindName(frame.kind) : Printable(frame.type));
  if (frame.seq) Line(out, "seq", std::to_string(*frame.seq));
  if (frame.kind == FrameKind::kRejected) {
    return Refused(RejectError(frame.reject, frame.reject_field), input, out, /*sequence=*/true);
  }
  if (frame.kind == FrameKind::kCommit) return InspectMessage(frame, key, now_us, out);
  if (frame.kind == FrameKind::kSync) return InspectRoot(frame.blocks, key, frame.seq.value_or(0), out);
  out->append("carries no commit\n");
  return false;
}

}  // namespace penstock::app
