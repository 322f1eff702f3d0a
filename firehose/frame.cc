#include "firehose/frame.h"

#include "base/status.h"
#include "cbor/reader.h"
#include "firehose/frame_buffer.h"

namespace penstock::firehose {
namespace {

using cbor::Kind;

constexpr uint64_t kMaxSeq = (uint64_t{1} << 53) - 1;  // protocol 1.5

// What a payload of the frame's kind must have. The bits are in the order in which a missing one is reported.
enum Field : unsigned {
  kSeq = 1u << 0,
  kRepo = 1u << 1,
  kDid = 1u << 2,
  kCommit = 1u << 3,
  kRev = 1u << 4,
  kBlocks = 1u << 5,
  kOps = 1u << 6,
  kActive = 1u << 7,
  kName = 1u << 8,
};
constexpr std::string_view kFieldNames[] = {"seq",    "repo", "did",    "commit", "rev",
                                            "blocks", "ops",  "active", "name"};

constexpr unsigned RequiredFields(FrameKind kind) {
  switch (kind) {
    case FrameKind::kCommit:
      return kSeq | kRepo | kCommit | kRev | kBlocks | kOps;
    case FrameKind::kSync:
      return kSeq | kDid | kRev | kBlocks;
    case FrameKind::kIdentity:
      return kSeq | kDid;
    case FrameKind::kAccount:
      return kSeq | kDid | kActive;
    case FrameKind::kInfo:
      return kName;
    default:
      return 0;
  }
}

FrameKind KindOfType(std::string_view type) {
  if (type == "#commit") return FrameKind::kCommit;
  if (type == "#identity") return FrameKind::kIdentity;
  if (type == "#account") return FrameKind::kAccount;
  if (type == "#sync") return FrameKind::kSync;
  if (type == "#info") return FrameKind::kInfo;
  return FrameKind::kIgnored;
}

// One pass over a message. Every byte is read strictly whether the schema wants it or not: a fault of the
// encoding anywhere ends the connection, while a fault of the schema (the first one counts) only refuses this
// message. So the methods that read a field return nothing: the reader keeps the one kind of fault, `frame_`
// the other.
class Decoder {
 public:
  Decoder(Bytes message, Frame* frame) : reader_(message), frame_(frame) {}

  absl::Status Decode() {
    if (DecodeHeader() && DecodePayload() && !reader_.AtEnd())
      (void)reader_.Fail(Reject::kFrameTrailingBytes);
    if (!reader_.ok()) {
      frame_->Clear();  // nothing of a broken frame can be taken for its content
      return reader_.status();
    }
    if (refused_) {
      frame_->kind = FrameKind::kRejected;
    } else if (missing_ != 0) {
      frame_->kind = FrameKind::kRejected;
      frame_->reject = Reject::kEventMissingField;
      frame_->reject_field = kFieldNames[__builtin_ctz(missing_)];
    }
    return absl::OkStatus();
  }

 private:
  // `{op, t?}`: sets kind and type. A header that is not one is a framing error.
  bool DecodeHeader() {
    if (reader_.Peek() != Kind::kMap) return reader_.Fail(Reject::kFrameBadHeader);
    cbor::MapCursor map;
    if (!reader_.BeginMap(&map)) return false;
    cbor::Integer op;
    bool has_op = false, has_type = false;
    std::string_view key, type;
    while (reader_.NextKey(&map, &key)) {
      if (key == "t") {
        if (reader_.Peek() != Kind::kText) return reader_.Fail(Reject::kFrameBadHeader);
        has_type = reader_.ReadText(&type);
      } else if (key == "op") {
        if (!PeekInteger()) return reader_.Fail(Reject::kFrameBadHeader);
        has_op = reader_.ReadInteger(&op);
      } else {
        (void)reader_.Skip();
      }
    }
    if (!reader_.ok()) return false;
    if (!has_op) return reader_.Fail(Reject::kFrameBadHeader);
    if (!op.negative && op.value == 1) {
      if (!has_type) return reader_.Fail(Reject::kFrameBadHeader);
      frame_->type = type;
      frame_->kind = KindOfType(type);
    } else if (op.negative && op.value == 0) {  // -1
      frame_->kind = FrameKind::kError;
    } else {
      // What an op of the future means, and so what its `seq` means, is not known: nothing of it is read.
      frame_->type = type;
      frame_->kind = FrameKind::kIgnored;
      opaque_ = true;
    }
    missing_ = RequiredFields(frame_->kind);
    return true;
  }

  bool DecodePayload() {
    if (reader_.Peek() != Kind::kMap) return reader_.Fail(Reject::kFrameBadPayload);
    if (opaque_) return reader_.Skip();
    cbor::MapCursor map;
    if (!reader_.BeginMap(&map)) return false;
    std::string_view key;
    switch (frame_->kind) {
      case FrameKind::kCommit:
        while (reader_.NextKey(&map, &key)) CommitField(key);
        break;
      case FrameKind::kSync:
        while (reader_.NextKey(&map, &key)) SyncField(key);
        break;
      case FrameKind::kIdentity:
      case FrameKind::kAccount:
        while (reader_.NextKey(&map, &key)) AccountField(key);
        break;
      case FrameKind::kInfo:
        while (reader_.NextKey(&map, &key)) NoticeField(key, "name");
        break;
      case FrameKind::kError:
        while (reader_.NextKey(&map, &key)) NoticeField(key, "error");
        // The stream ends here whatever the rest of the frame is worth.
        refused_ = false;
        break;
      default:
        while (reader_.NextKey(&map, &key)) IgnoredField(key);
        break;
    }
    return reader_.ok();
  }

  // Keys come in canonical order, so their length tells most of them apart: ops, rev, seq, repo, time, blobs,
  // since, blocks, commit, rebase, tooBig, prevData.
  void CommitField(std::string_view key) {
    switch (key.size()) {
      case 3:
        if (key == "ops") return ReadOps();
        if (key == "rev") return ReadRev();
        if (key == "seq") return ReadSeq();
        break;
      case 4:
        if (key == "repo") return ReadDid("repo", kRepo);
        if (key == "time") return ReadTime();
        break;
      case 5:
        if (key == "since") return ReadSince();
        if (key == "blobs" && reader_.Peek() == Kind::kArray) return PassBlobs();
        break;
      case 6:
        if (key == "blocks") return ReadBlocks();
        if (key == "commit") {
          Found(kCommit);
          return ReadLink("commit", &frame_->commit);
        }
        if (key == "rebase") return ReadDeprecatedFlag(&frame_->rebase);
        if (key == "tooBig") return ReadDeprecatedFlag(&frame_->too_big);
        break;
      case 8:
        if (key == "prevData") {
          if (!TakeNull()) ReadLink("prevData", &frame_->prev_data);
          return;
        }
        break;
    }
    (void)reader_.Skip();
  }

  void SyncField(std::string_view key) {
    if (key == "did") return ReadDid("did", kDid);
    if (key == "rev") return ReadRev();
    if (key == "seq") return ReadSeq();
    if (key == "time") return ReadTime();
    if (key == "blocks") return ReadBlocks();
    (void)reader_.Skip();
  }

  // #identity and #account.
  void AccountField(std::string_view key) {
    if (key == "did") return ReadDid("did", kDid);
    if (key == "seq") return ReadSeq();
    if (key == "time") return ReadTime();
    if (frame_->kind == FrameKind::kIdentity) {
      if (key == "handle") return ReadOptionalText("handle", &frame_->handle);
    } else {
      if (key == "active") return ReadActive();
      if (key == "status") return ReadOptionalText("status", &frame_->status);
    }
    (void)reader_.Skip();
  }

  // #info and error frames: what it is called, and a message for people.
  void NoticeField(std::string_view key, std::string_view name_field) {
    if (key == name_field) {
      Found(kName);
      if (reader_.Peek() != Kind::kText) return WrongType(name_field);
      (void)reader_.ReadText(&frame_->name);
    } else if (key == "message") {
      ReadOptionalText("message", &frame_->message);
    } else {
      (void)reader_.Skip();
    }
  }

  // A type that we do not read: only what moves the cursor and names the account, and only if it is sound
  // (2.6).
  void IgnoredField(std::string_view key) {
    if (key == "seq" && PeekInteger()) {
      cbor::Integer seq;
      if (reader_.ReadInteger(&seq)) (void)TakeSeq(seq);
    } else if (key == "did" && reader_.Peek() == Kind::kText) {
      std::string_view text;
      if (reader_.ReadText(&text)) frame_->did = repo::Did::Parse(text).value_or(repo::Did());
    } else {
      (void)reader_.Skip();
    }
  }

  // Deprecated, and empty in nearly every commit: then there is nothing to skip.
  void PassBlobs() {
    uint64_t count = 0;
    if (!reader_.ReadArrayHeader(&count)) return;
    while (count-- > 0 && reader_.Skip()) {
    }
  }

  void ReadOps() {
    Found(kOps);
    if (reader_.Peek() != Kind::kArray) return WrongType("ops");
    uint64_t count = 0;
    if (!reader_.ReadArrayHeader(&count)) return;
    if (count > kMaxOps) Refuse(Reject::kCommitTooManyOps, "ops");
    for (uint64_t i = 0; i < count && reader_.ok(); ++i) {
      if (i < kMaxOps) {
        ReadOp();
      } else {
        (void)reader_.Skip();
      }
    }
  }

  void ReadOp() {
    if (reader_.Peek() != Kind::kMap) return WrongType("ops");
    cbor::MapCursor map;
    if (!reader_.BeginMap(&map)) return;
    repo::RepoOp& op =
        frame_->ops.emplace_back();  // filled in place: it is too large to be copied for nothing
    bool has_action = false, has_path = false, has_cid = false;
    std::string_view key;
    while (reader_.NextKey(&map, &key)) {
      if (key == "cid") {
        has_cid = true;
        if (!TakeNull()) ReadLink("cid", &op.cid);
      } else if (key == "path") {
        has_path = true;
        ReadPath(&op);
      } else if (key == "prev") {
        if (!TakeNull()) ReadLink("prev", &op.prev);
      } else if (key == "action") {
        has_action = true;
        ReadAction(&op);
      } else {
        (void)reader_.Skip();
      }
    }
    if (!reader_.ok()) return;
    if (!has_action) Refuse(Reject::kEventMissingField, "action");
    if (!has_path) Refuse(Reject::kEventMissingField, "path");
    if (!has_cid) Refuse(Reject::kEventMissingField, "cid");
  }

  void ReadAction(repo::RepoOp* op) {
    if (reader_.Peek() != Kind::kText) return WrongType("action");
    std::string_view name;
    if (!reader_.ReadText(&name)) return;
    if (const std::optional<repo::Action> action = repo::ActionFromName(name)) {
      op->action = *action;
    } else {
      Refuse(Reject::kEventWrongType, "action");  // a closed set (2.1)
    }
  }

  void ReadPath(repo::RepoOp* op) {
    if (reader_.Peek() != Kind::kText) return WrongType("path");
    if (!reader_.ReadText(&op->path)) return;
    if (const std::optional<repo::RepoPath> path = repo::RepoPath::Parse(op->path)) {
      op->collection = path->collection.text();
      op->rkey = path->rkey.text();
    }
  }

  void ReadSeq() {
    Found(kSeq);
    if (!PeekInteger()) return WrongType("seq");
    cbor::Integer seq;
    if (reader_.ReadInteger(&seq) && !TakeSeq(seq)) Refuse(Reject::kEventBadSeq, "seq");
  }

  bool TakeSeq(const cbor::Integer& seq) {
    if (seq.negative || seq.value == 0 || seq.value > kMaxSeq) return false;
    frame_->seq = static_cast<int64_t>(seq.value);
    return true;
  }

  void ReadDid(std::string_view field, Field bit) {
    Found(bit);
    if (reader_.Peek() != Kind::kText) return WrongType(field);
    std::string_view text;
    if (!reader_.ReadText(&text)) return;
    if (const std::optional<repo::Did> did = repo::Did::Parse(text)) {
      frame_->did = *did;
    } else {
      Refuse(Reject::kSyntaxDid, field);
    }
  }

  void ReadRev() {
    Found(kRev);
    if (reader_.Peek() != Kind::kText) return WrongType("rev");
    std::string_view text;
    if (reader_.ReadText(&text)) TakeTid(text, "rev", &frame_->rev);
  }

  // Null on a first commit; "" is seen there too, and old encoders leave it out.
  void ReadSince() {
    if (TakeNull()) return;
    if (reader_.Peek() != Kind::kText) return WrongType("since");
    std::string_view text;
    if (reader_.ReadText(&text) && !text.empty()) TakeTid(text, "since", &frame_->since);
  }

  void TakeTid(std::string_view text, std::string_view field, std::string_view* out) {
    if (!repo::Tid::Parse(text)) return Refuse(Reject::kSyntaxTid, field);
    *out = text;
  }

  void ReadBlocks() {
    Found(kBlocks);
    if (reader_.Peek() != Kind::kBytes) return WrongType("blocks");
    if (!reader_.ReadBytes(&frame_->blocks)) return;
    if (frame_->blocks.size() > kMaxBlocksBytes) Refuse(Reject::kCommitBlocksTooLarge, "blocks");
  }

  void ReadActive() {
    Found(kActive);
    if (reader_.Peek() != Kind::kBool) return WrongType("active");
    (void)reader_.ReadBool(&frame_->active);
  }

  void ReadLink(std::string_view field, cbor::CidView* cid) {
    if (reader_.Peek() != Kind::kLink) return WrongType(field);
    (void)reader_.ReadLink(cid);
  }

  // Null means absent, as encoders that cannot leave a field out write it.
  void ReadOptionalText(std::string_view field, std::optional<std::string_view>* out) {
    if (TakeNull()) return;
    if (reader_.Peek() != Kind::kText) return WrongType(field);
    std::string_view text;
    if (reader_.ReadText(&text)) *out = text;
  }

  // `time`, `rebase` and `tooBig` are never a reason to refuse: kept when they are what they should be.
  void ReadTime() {
    if (reader_.Peek() == Kind::kText) {
      (void)reader_.ReadText(&frame_->time);
    } else {
      (void)reader_.Skip();
    }
  }
  void ReadDeprecatedFlag(bool* flag) {
    if (reader_.Peek() == Kind::kBool) {
      (void)reader_.ReadBool(flag);
    } else {
      (void)reader_.Skip();
    }
  }

  bool PeekInteger() const {
    const Kind kind = reader_.Peek();
    return kind == Kind::kUint || kind == Kind::kNegative;
  }
  bool TakeNull() { return reader_.Peek() == Kind::kNull && reader_.ReadNull(); }

  void Found(Field field) { missing_ &= ~field; }
  void WrongType(std::string_view field) {
    Refuse(Reject::kEventWrongType, field);
    (void)reader_.Skip();
  }
  void Refuse(Reject reject, std::string_view field) {
    if (refused_) return;
    refused_ = true;
    frame_->reject = reject;
    frame_->reject_field = field;
  }

  cbor::Reader reader_;
  Frame* const frame_;
  unsigned missing_ = 0;  // Field bits still to be found
  bool refused_ = false;
  bool opaque_ = false;
};

}  // namespace

std::string_view FrameKindName(FrameKind kind) {
  switch (kind) {
    case FrameKind::kCommit:
      return "commit";
    case FrameKind::kSync:
      return "sync";
    case FrameKind::kIdentity:
      return "identity";
    case FrameKind::kAccount:
      return "account";
    case FrameKind::kInfo:
      return "info";
    case FrameKind::kError:
      return "error";
    case FrameKind::kIgnored:
      return "ignored";
    case FrameKind::kRejected:
      return "rejected";
  }
  return "";
}

void Frame::Clear() {
  std::vector<repo::RepoOp> kept = std::move(ops);
  kept.clear();
  *this = Frame();
  ops = std::move(kept);
}

absl::Status DecodeFrame(Bytes message, Frame* frame) {
  frame->Clear();
  if (message.size() > kMaxFrameBytes) {
    return RejectError(Reject::kFrameTooLarge, std::to_string(message.size()) + " bytes");
  }
  return Decoder(message, frame).Decode();
}

}  // namespace penstock::firehose
