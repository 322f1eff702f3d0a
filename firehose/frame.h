#pragma once

// One WebSocket message of com.atproto.sync.subscribeRepos, decoded (protocol 1.2, 1.3, section 2). The
// envelope only: what `blocks` holds is a view for car/ and repo/.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/reject.h"
#include "cbor/cid.h"
#include "repo/op.h"
#include "repo/syntax.h"

namespace penstock::firehose {

inline constexpr size_t kMaxOps = 200;                // protocol 1.4
inline constexpr size_t kMaxBlocksBytes = 2'000'000;  // protocol 1.4; for #sync too, as indigo accepts

enum class FrameKind : uint8_t {
  kCommit,
  kSync,
  kIdentity,
  kAccount,
  kInfo,      // no seq
  kError,     // an error frame (op -1): the stream ends here, even if it does not say why (`name` is empty)
  kIgnored,   // unknown op or type, retired types included: skip, keep the connection, advance by `seq` if
              // there is one. Of an unknown op nothing is read: what its fields mean is not known
  kRejected,  // good DRISL that breaks its schema: drop this message only; `reject` says why
};
std::string_view FrameKindName(FrameKind kind);  // "commit", "sync", …

// Reusable: DecodeFrame keeps the capacity of `ops`. All views point into the frame's bytes.
// Only the fields of the frame's own kind are set; the others are empty.
struct Frame {
  FrameKind kind = FrameKind::kIgnored;
  std::string_view type;  // `t` of the header as it came ("#commit"); empty for an error frame

  std::optional<int64_t> seq;  // 1 <= seq < 2^53 when set; for kIgnored and kRejected, where it could be read
  repo::Did did;               // `repo` of a commit, `did` of the others; also of a retired type that has one
  std::string_view time;       // as it came, never judged (2.1)

  // #commit, #sync
  std::string_view rev;    // a valid Tid
  std::string_view since;  // empty when null, absent or ""
  cbor::CidView commit;    // #commit only
  cbor::CidView prev_data;
  Bytes blocks;
  std::vector<repo::RepoOp> ops;
  bool too_big = false;
  bool rebase = false;

  // #identity
  std::optional<std::string_view> handle;

  // #account
  bool active = false;
  std::optional<std::string_view> status;

  // #info: name; error frame: error (empty when it has none)
  std::string_view name;
  std::optional<std::string_view> message;

  // kRejected: the first fault of the schema that was met; a missing field comes last. The other fields may
  // be half set.
  Reject reject = Reject::kEventMissingField;
  std::string_view reject_field;  // a field's name, static or in the frame

  void Clear();
};

// Decodes `message` into `*frame`.
//
// A status that is not OK is a hard framing error: the connection must be dropped (protocol 1.2). Rejects:
// any of cbor/reader.h, kFrameBadHeader, kFrameBadPayload, kFrameTrailingBytes, kFrameTooLarge.
//
// What breaks a message's schema only comes back as OK with kind kRejected (protocol 2.7):
// kEventMissingField, kEventWrongType, kEventBadSeq, kSyntaxDid, kSyntaxTid, kCommitTooManyOps (more than
// 200; the ops beyond are not kept), kCommitBlocksTooLarge. The message is passed strictly to its end all the
// same.
//
// Tolerated: unknown fields, a float64 in them; `time`, `rebase`, `tooBig`, `blobs` and `#commit.prev` absent
// or of any type; `since`, `prevData`, an op's `prev`, `handle`, `status` and `message` null or absent.
// Whether ops make sense (double paths, path syntax, cid and prev against the action) is
// repo::CommitChecker's business.
absl::Status DecodeFrame(Bytes message ABSL_ATTRIBUTE_LIFETIME_BOUND, Frame* frame);

}  // namespace penstock::firehose
