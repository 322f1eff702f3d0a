// Frames, and the blocks of those that decode. Besides finding crashes it holds the decoder, which knows the
// fields, against the generic reader, which does not: both must agree on what is strict, and nothing of a
// frame may show in the next one.
//
// The seeds named synthetic-… are made-up messages with whole CARs in them; the others come from
// tests/firehose/frame_seeds_test.cc.

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "base/status.h"
#include "cbor/reader.h"
#include "firehose/frame.h"
#include "repo/commit_check.h"

namespace {

using penstock::Bytes;
using penstock::Reject;
using penstock::RejectOf;
using penstock::firehose::Frame;
using penstock::firehose::FrameKind;

void Require(bool condition) {
  if (!condition) std::abort();
}

void RequireInside(Bytes view, Bytes message) {
  if (view.empty()) return;
  Require(view.data() >= message.data() && view.data() + view.size() <= message.data() + message.size());
}
void RequireInside(std::string_view view, Bytes message) { RequireInside(penstock::AsBytes(view), message); }

// One strict item, then another, and nothing more. Nullopt if the generic reader cannot say: it counts the
// depth from the payload itself, the decoder from the payload's fields.
std::optional<bool> IsTwoItems(Bytes message) {
  penstock::cbor::Reader reader(message);
  const bool both = reader.Skip() && reader.Skip();
  if (reader.error() == Reject::kCborTooDeep) return std::nullopt;
  return both && reader.AtEnd();
}

void RequireSound(const Frame& frame, Bytes message) {
  Require(!frame.seq || (*frame.seq >= 1 && *frame.seq < int64_t{1} << 53));
  Require(frame.ops.size() <= penstock::firehose::kMaxOps);
  RequireInside(frame.type, message);
  RequireInside(frame.did.text(), message);
  RequireInside(frame.time, message);
  RequireInside(frame.rev, message);
  RequireInside(frame.since, message);
  RequireInside(frame.commit.bytes(), message);
  RequireInside(frame.prev_data.bytes(), message);
  RequireInside(frame.blocks, message);
  RequireInside(frame.name, message);
  if (frame.handle) RequireInside(*frame.handle, message);
  if (frame.status) RequireInside(*frame.status, message);
  if (frame.message) RequireInside(*frame.message, message);
  for (const penstock::repo::RepoOp& op : frame.ops) {
    RequireInside(op.path, message);
    RequireInside(op.cid.bytes(), message);
    RequireInside(op.prev.bytes(), message);
    Require(op.collection.empty() == op.rkey.empty());
    Require(op.collection.empty() || op.collection.size() + 1 + op.rkey.size() == op.path.size());
  }
  switch (frame.kind) {
    case FrameKind::kCommit:
      Require(!frame.commit.empty());
      [[fallthrough]];
    case FrameKind::kSync:
      Require(frame.rev.size() == 13);
      [[fallthrough]];
    case FrameKind::kIdentity:
    case FrameKind::kAccount:
      Require(frame.seq.has_value() && !frame.did.text().empty());
      break;
    case FrameKind::kRejected:
      Require(!frame.reject_field.empty());
      break;
    default:
      break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Reused over all inputs, as a worker does.
  static Frame& reused = *new Frame;
  static penstock::repo::CommitChecker& checker = *new penstock::repo::CommitChecker;

  const Bytes message(data, size);
  const absl::Status status = DecodeFrame(message, &reused);
  Frame fresh;
  const absl::Status again = DecodeFrame(message, &fresh);
  Require(RejectOf(status) == RejectOf(again));
  Require(reused.kind == fresh.kind && reused.seq == fresh.seq && reused.did == fresh.did &&
          reused.type == fresh.type && reused.ops.size() == fresh.ops.size() && reused.rev == fresh.rev &&
          reused.since == fresh.since && reused.name == fresh.name);

  if (!status.ok()) {
    // A frame that is two strict items is refused for what it is, never for how it is encoded.
    const Reject reject = RejectOf(status).value();
    if (IsTwoItems(message) == true) Require(RejectName(reject).starts_with("frame_"));
    return 0;
  }
  RequireSound(reused, message);
  Require(IsTwoItems(message) != false);

  if (reused.kind == FrameKind::kCommit) {
    const penstock::repo::CommitClaim claim{reused.did,       reused.rev,    reused.since, reused.commit,
                                            reused.prev_data, reused.blocks, reused.ops};
    penstock::repo::CheckedCommit checked;
    constexpr int64_t kNow = 1'800'000'000'000'000;  // 2027
    const absl::Status check = checker.Check(claim, kNow, &checked);
    if (check.ok()) {
      Require(checked.records.size() == reused.ops.size());
    } else {
      Require(RejectOf(check).has_value());
    }
  }
  return 0;
}
