#include "firehose/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/encoding.h"
#include "base/status.h"
#include "firehose/frame_buffer.h"
#include "tests/firehose/allocation_count.h"
#include "tests/firehose/frame_builder.h"

namespace penstock::firehose {
namespace {

using namespace penstock::test;

// What became of a message, in one word: the kind's name, or that of the framing error's Reject.
std::string Outcome(const std::string& message, Frame* frame) {
  const absl::Status status = DecodeFrame(AsBytes(message), frame);
  if (status.ok()) return std::string(FrameKindName(frame->kind));
  const std::optional<Reject> reject = RejectOf(status);
  return reject ? std::string(RejectName(*reject)) : status.ToString();
}
std::string Outcome(const std::string& message) {
  Frame frame;
  return Outcome(message, &frame);
}

// Why a message was refused: "event_missing_field: rev"; the outcome if it was not.
std::string Refusal(const std::string& message) {
  Frame frame;
  const std::string outcome = Outcome(message, &frame);
  if (outcome != "rejected") return outcome;
  return std::string(RejectName(frame.reject)) + ": " + std::string(frame.reject_field);
}
std::string Refusal(std::string_view type, const Map& payload) { return Refusal(Message(type, payload)); }

std::string Hex(std::string_view hex) {
  const auto bytes = FromHex(hex);
  return std::string(AsText(*bytes));
}

struct Sample {
  std::string_view type;
  Map payload;
  std::string_view kind;
};
std::vector<Sample> Samples() {
  return {
      {"#commit", CommitPayload({CreateOp().Encode(), UpdateOp().Encode(), DeleteOp().Encode()}), "commit"},
      {"#sync", SyncPayload(), "sync"},
      {"#identity", IdentityPayload(), "identity"},
      {"#account", AccountPayload(), "account"},
      {"#info", InfoPayload(), "info"}};
}

TEST(Frame, CommitGivesEveryField) {
  const std::string message =
      Message("#commit", CommitPayload({CreateOp("a.b.c/k").Encode(), UpdateOp("a.b.c/self").Encode(),
                                        DeleteOp("a.b.c/gone").Encode(), CreateOp("no path").Encode()}));
  Frame frame;
  ASSERT_EQ(Outcome(message, &frame), "commit");
  EXPECT_EQ(frame.type, "#commit");
  EXPECT_EQ(frame.seq, 1000);
  EXPECT_EQ(frame.did.text(), kDid);
  EXPECT_EQ(frame.time, kTime);
  EXPECT_EQ(frame.rev, kRev);
  EXPECT_EQ(frame.since, kSince);
  EXPECT_EQ(CidOf("commit"), frame.commit);
  EXPECT_EQ(CidOf("data"), frame.prev_data);
  EXPECT_EQ(AsText(frame.blocks), "blocks");
  EXPECT_FALSE(frame.too_big);
  EXPECT_FALSE(frame.rebase);

  ASSERT_EQ(frame.ops.size(), 4u);
  EXPECT_EQ(frame.ops[0].action, repo::Action::kCreate);
  EXPECT_EQ(frame.ops[0].path, "a.b.c/k");
  EXPECT_EQ(frame.ops[0].collection, "a.b.c");
  EXPECT_EQ(frame.ops[0].rkey, "k");
  EXPECT_EQ(CidOf("record"), frame.ops[0].cid);
  EXPECT_TRUE(frame.ops[0].prev.empty());
  EXPECT_EQ(frame.ops[1].action, repo::Action::kUpdate);
  EXPECT_EQ(CidOf("new"), frame.ops[1].cid);
  EXPECT_EQ(CidOf("old"), frame.ops[1].prev);
  EXPECT_EQ(frame.ops[2].action, repo::Action::kDelete);
  EXPECT_TRUE(frame.ops[2].cid.empty());
  EXPECT_EQ(CidOf("old"), frame.ops[2].prev);
  // A path that is none is kept as it is; the check of the commit refuses it.
  EXPECT_EQ(frame.ops[3].path, "no path");
  EXPECT_TRUE(frame.ops[3].collection.empty());
  EXPECT_TRUE(frame.ops[3].rkey.empty());
}

TEST(Frame, CanonicalHeaderOfACommit) {  // protocol 1.2
  EXPECT_EQ(Header("#commit"), Hex("a2617467"
                                   "23636f6d6d6974"
                                   "626f7001"));
}

TEST(Frame, SyncIdentityAccountInfo) {
  Frame frame;
  std::string message = Message("#sync", SyncPayload());
  ASSERT_EQ(Outcome(message, &frame), "sync");
  EXPECT_EQ(frame.seq, 1001);
  EXPECT_EQ(frame.did.text(), kDid);
  EXPECT_EQ(frame.rev, kRev);
  EXPECT_EQ(AsText(frame.blocks), "blocks");

  message = Message("#identity", IdentityPayload());
  ASSERT_EQ(Outcome(message, &frame), "identity");
  EXPECT_EQ(frame.seq, 1002);
  EXPECT_EQ(frame.handle, "alice.test");
  message = Message("#identity", IdentityPayload().Without("handle"));
  ASSERT_EQ(Outcome(message, &frame), "identity");
  EXPECT_EQ(frame.handle, std::nullopt);

  message = Message("#account", AccountPayload());
  ASSERT_EQ(Outcome(message, &frame), "account");
  EXPECT_EQ(frame.seq, 1003);
  EXPECT_FALSE(frame.active);
  EXPECT_EQ(frame.status, "takendown");
  // The set of statuses is open.
  message =
      Message("#account", AccountPayload().With("active", Bool(true)).With("status", Text("of the future")));
  ASSERT_EQ(Outcome(message, &frame), "account");
  EXPECT_TRUE(frame.active);
  EXPECT_EQ(frame.status, "of the future");

  message = Message("#info", InfoPayload());
  ASSERT_EQ(Outcome(message, &frame), "info");
  EXPECT_EQ(frame.seq, std::nullopt);
  EXPECT_EQ(frame.name, "OutdatedCursor");
  EXPECT_EQ(frame.message, "too old");
  EXPECT_EQ(Outcome(Message("#info", InfoPayload().Without("message"))), "info");
}

TEST(Frame, ErrorFrameEndsTheStreamWhateverItSays) {
  Frame frame;
  std::string message = ErrorMessage();
  ASSERT_EQ(Outcome(message, &frame), "error");
  EXPECT_EQ(frame.type, "");
  EXPECT_EQ(frame.name, "FutureCursor");
  EXPECT_EQ(frame.message, "Cursor in the future.");
  EXPECT_EQ(frame.seq, std::nullopt);

  const Item header = Map{{"op", Int(-1)}}.Encode();
  message = header + Map().Encode();
  ASSERT_EQ(Outcome(message, &frame), "error");
  EXPECT_EQ(frame.name, "");
  message = header + Map{{"error", Int(7)}, {"message", Null()}}.Encode();
  ASSERT_EQ(Outcome(message, &frame), "error");
  EXPECT_EQ(frame.name, "");
  EXPECT_EQ(frame.message, std::nullopt);
}

TEST(Frame, FirstCommitHasNoSinceAndNoPrevData) {
  for (const Map& payload :
       {CommitPayload().With("since", Null()).With("prevData", Null()),
        CommitPayload().With("since", Text("")), CommitPayload().Without("since").Without("prevData")}) {
    Frame frame;
    const std::string message = Message("#commit", payload);
    ASSERT_EQ(Outcome(message, &frame), "commit");
    EXPECT_EQ(frame.since, "");
  }
  Frame frame;
  const std::string message = Message("#commit", CommitPayload().With("prevData", Null()));
  ASSERT_EQ(Outcome(message, &frame), "commit");
  EXPECT_TRUE(frame.prev_data.empty());
}

TEST(Frame, DeprecatedFieldsAndTimeNeverRefuse) {
  for (const std::string field : {"rebase", "tooBig", "blobs", "prev", "time"}) {
    EXPECT_EQ(Refusal("#commit", CommitPayload().Without(field)), "commit") << field;
    for (const Item& item :
         {Null(), Int(-1), Text("x"), Float(), Bool(true), Link("x"), Array({Link("x"), Null()})}) {
      EXPECT_EQ(Refusal("#commit", CommitPayload().With(field, item)), "commit")
          << field << " " << ToHex(AsBytes(item));
    }
  }
  for (const Sample& sample : Samples()) {
    EXPECT_EQ(Refusal(sample.type, sample.payload.Without("time")), sample.kind);
    EXPECT_EQ(Refusal(sample.type, sample.payload.With("time", Int(1))), sample.kind);
  }
  Frame frame;
  // A real #account had a time without a zone.
  const std::string message =
      Message("#account", AccountPayload().With("time", Text("2026-02-24T14:05:20.5215469")));
  ASSERT_EQ(Outcome(message, &frame), "account");
  EXPECT_EQ(frame.time, "2026-02-24T14:05:20.5215469");
  const std::string flags =
      Message("#commit", CommitPayload().With("tooBig", Bool(true)).With("rebase", Bool(true)));
  ASSERT_EQ(Outcome(flags, &frame), "commit");
  EXPECT_TRUE(frame.too_big);
  EXPECT_TRUE(frame.rebase);
}

TEST(Frame, OptionalFieldsMayBeNullButOfNoOtherType) {
  EXPECT_EQ(Refusal("#identity", IdentityPayload().With("handle", Null())), "identity");
  EXPECT_EQ(Refusal("#account", AccountPayload().With("status", Null())), "account");
  EXPECT_EQ(Refusal("#info", InfoPayload().With("message", Null())), "info");
  EXPECT_EQ(Refusal("#commit", CommitPayload({CreateOp().With("prev", Null()).Encode()})), "commit");
  EXPECT_EQ(Refusal("#identity", IdentityPayload().With("handle", Int(1))), "event_wrong_type: handle");
  EXPECT_EQ(Refusal("#account", AccountPayload().With("status", Bool(true))), "event_wrong_type: status");
  EXPECT_EQ(Refusal("#info", InfoPayload().With("message", Array({}))), "event_wrong_type: message");
  EXPECT_EQ(Refusal("#commit", CommitPayload({CreateOp().With("prev", Text("")).Encode()})),
            "event_wrong_type: prev");
  EXPECT_EQ(Refusal("#commit", CommitPayload().With("prevData", ByteString("x"))),
            "event_wrong_type: prevData");
  EXPECT_EQ(Refusal("#commit", CommitPayload().With("since", Int(0))), "event_wrong_type: since");
}

struct Required {
  std::string_view type;
  Map payload;
  std::vector<std::string> fields;
};
std::vector<Required> RequiredFields() {
  return {{"#commit", CommitPayload(), {"seq", "repo", "commit", "rev", "blocks", "ops"}},
          {"#sync", SyncPayload(), {"seq", "did", "rev", "blocks"}},
          {"#identity", IdentityPayload(), {"seq", "did"}},
          {"#account", AccountPayload(), {"seq", "did", "active"}},
          {"#info", InfoPayload(), {"name"}}};
}

TEST(Frame, EveryRequiredFieldIsRequired) {
  for (const Required& r : RequiredFields()) {
    for (const std::string& field : r.fields) {
      EXPECT_EQ(Refusal(r.type, r.payload.Without(field)), "event_missing_field: " + field) << r.type;
    }
    EXPECT_EQ(Refusal(r.type, Map()), "event_missing_field: " + r.fields[0]) << r.type;
  }
}

TEST(Frame, EveryRequiredFieldHasItsType) {
  const std::vector<Item> items = {Null(),          Int(5),          Bool(true),
                                   Text("text"),    ByteString("b"), Link("link"),
                                   Array({Int(1)}), Map().Encode(),  Float()};
  const std::map<std::string, size_t> good = {{"seq", 1},    {"active", 2}, {"repo", 3},
                                              {"did", 3},    {"rev", 3},    {"name", 3},
                                              {"blocks", 4}, {"commit", 5}, {"ops", 6}};
  for (const Required& r : RequiredFields()) {
    for (const std::string& field : r.fields) {
      for (size_t i = 0; i < items.size(); ++i) {
        if (i == good.at(field)) continue;
        EXPECT_EQ(Refusal(r.type, r.payload.With(field, items[i])), "event_wrong_type: " + field)
            << r.type << " " << ToHex(AsBytes(items[i]));
      }
    }
  }
}

TEST(Frame, SeqHasARange) {
  for (const Required& r : RequiredFields()) {
    if (r.type == "#info") continue;
    EXPECT_EQ(Refusal(r.type, r.payload.With("seq", Int(0))), "event_bad_seq: seq");
    EXPECT_EQ(Refusal(r.type, r.payload.With("seq", Int(-1))), "event_bad_seq: seq");
    EXPECT_EQ(Refusal(r.type, r.payload.With("seq", Int(int64_t{1} << 53))), "event_bad_seq: seq");
    EXPECT_EQ(Refusal(r.type, r.payload.With("seq", Hex("1bffffffffffffffff"))), "event_bad_seq: seq");
    EXPECT_EQ(Refusal(r.type, r.payload.With("seq", Hex("3bffffffffffffffff"))), "event_bad_seq: seq");
    Frame frame;
    const std::string first = Message(r.type, r.payload.With("seq", Int(1)));
    ASSERT_TRUE(DecodeFrame(AsBytes(first), &frame).ok());
    EXPECT_EQ(frame.seq, 1);
    const std::string last = Message(r.type, r.payload.With("seq", Int((int64_t{1} << 53) - 1)));
    ASSERT_TRUE(DecodeFrame(AsBytes(last), &frame).ok());
    EXPECT_EQ(frame.seq, (int64_t{1} << 53) - 1);
    EXPECT_NE(frame.kind, FrameKind::kRejected);
  }
}

TEST(Frame, IdentifiersAreParsed) {
  EXPECT_EQ(Refusal("#commit", CommitPayload().With("repo", Text("did:plc"))), "syntax_did: repo");
  EXPECT_EQ(Refusal("#sync", SyncPayload().With("did", Text(""))), "syntax_did: did");
  EXPECT_EQ(Refusal("#account", AccountPayload().With("did", Text("alice.test"))), "syntax_did: did");
  EXPECT_EQ(Refusal("#commit", CommitPayload().With("rev", Text("3mchgnqhak22"))), "syntax_tid: rev");
  EXPECT_EQ(Refusal("#commit", CommitPayload().With("rev", Text(""))), "syntax_tid: rev");
  EXPECT_EQ(Refusal("#sync", SyncPayload().With("rev", Text("zzzzzzzzzzzzz"))), "syntax_tid: rev");
  EXPECT_EQ(Refusal("#commit", CommitPayload().With("since", Text("never"))), "syntax_tid: since");
  // A handle is a hint, no identifier to rely on (2.3).
  EXPECT_EQ(Refusal("#identity", IdentityPayload().With("handle", Text("not a handle"))), "identity");
}

TEST(Frame, OpsAreChecked) {
  EXPECT_EQ(Refusal("#commit", CommitPayload(std::vector<Item>{})), "commit");
  EXPECT_EQ(Refusal("#commit", CommitPayload({Int(1)})), "event_wrong_type: ops");
  for (const std::string field : {"action", "path", "cid"}) {
    EXPECT_EQ(Refusal("#commit", CommitPayload({CreateOp().Without(field).Encode()})),
              "event_missing_field: " + field);
    EXPECT_EQ(Refusal("#commit", CommitPayload({CreateOp().With(field, Int(1)).Encode()})),
              "event_wrong_type: " + field);
  }
  EXPECT_EQ(Refusal("#commit", CommitPayload({CreateOp().With("action", Text("upsert")).Encode()})),
            "event_wrong_type: action");
  EXPECT_EQ(Refusal("#commit", CommitPayload({CreateOp().With("new", Float()).Encode()})), "commit");
  // What the ops mean is not the frame's business: a double path, a cid on a delete, an empty path.
  EXPECT_EQ(Refusal("#commit", CommitPayload({CreateOp().Encode(), CreateOp().Encode()})), "commit");
  EXPECT_EQ(Refusal("#commit", CommitPayload({DeleteOp().With("cid", Link("x")).Encode()})), "commit");
  EXPECT_EQ(Refusal("#commit", CommitPayload({CreateOp("").Encode()})), "commit");
}

TEST(Frame, OpsAreCounted) {
  std::vector<Item> ops(kMaxOps, DeleteOp().Encode());
  Frame frame;
  std::string message = Message("#commit", CommitPayload(ops));
  ASSERT_EQ(Outcome(message, &frame), "commit");
  EXPECT_EQ(frame.ops.size(), kMaxOps);
  ops.push_back(DeleteOp().Encode());
  message = Message("#commit", CommitPayload(ops));
  EXPECT_EQ(Refusal(message), "commit_too_many_ops: ops");
  (void)Outcome(message, &frame);
  EXPECT_EQ(frame.ops.size(), kMaxOps);
  // Those beyond are passed strictly all the same.
  ops.push_back(
      Hex("a162"
          "7f7f"
          "f7"));
  EXPECT_EQ(Outcome(Message("#commit", CommitPayload(ops))), "cbor_unsupported_simple");
}

TEST(Frame, SizesAreBounded) {
  const std::string most(kMaxBlocksBytes, 'b');
  EXPECT_EQ(Refusal("#commit", CommitPayload().With("blocks", ByteString(most))), "commit");
  EXPECT_EQ(Refusal("#sync", SyncPayload().With("blocks", ByteString(most))), "sync");
  EXPECT_EQ(Refusal("#commit", CommitPayload().With("blocks", ByteString(most + "b"))),
            "commit_blocks_too_large: blocks");
  EXPECT_EQ(Refusal("#sync", SyncPayload().With("blocks", ByteString(most + "b"))),
            "commit_blocks_too_large: blocks");

  const std::string small = Message("#info", InfoPayload().With("x", Text("")));
  const std::string largest =
      Message("#info", InfoPayload().With("x", Text(std::string(kMaxFrameBytes - small.size() - 4, 'x'))));
  ASSERT_EQ(largest.size(), kMaxFrameBytes);
  EXPECT_EQ(Outcome(largest), "info");
  EXPECT_EQ(Outcome(largest + "x"), "frame_too_large");
}

TEST(Frame, UnknownFieldsArePassed) {
  const std::vector<Item> items = {Null(), Float(), Text("x"),
                                   Map{{"a", Array({Float(), Link("x")})}}.Encode()};
  for (const Item& item : items) {
    for (const Sample& sample : Samples()) {
      for (const std::string key : {"", "z", "did2", "$type", "a field of the future"}) {
        EXPECT_EQ(Refusal(sample.type, sample.payload.With(key, item)), sample.kind)
            << sample.type << " " << key;
      }
    }
    EXPECT_EQ(
        Outcome(Map{{"t", Text("#sync")}, {"op", Int(1)}, {"x", item}}.Encode() + SyncPayload().Encode()),
        "sync");
  }
  // `did` means nothing in a #commit, `repo` nothing elsewhere.
  EXPECT_EQ(Refusal("#commit", CommitPayload().With("did", Int(1))), "commit");
  EXPECT_EQ(Refusal("#commit", CommitPayload().Without("repo").With("did", Text(kDid))),
            "event_missing_field: repo");
  EXPECT_EQ(Refusal("#sync", SyncPayload().Without("did").With("repo", Text(kDid))),
            "event_missing_field: did");
}

TEST(Frame, RetiredAndUnknownTypesAreIgnoredWithTheirSeq) {
  const Map retired{{"seq", Int(7)}, {"did", Text(kDid)}, {"time", Text(kTime)}, {"handle", Text("a.test")}};
  for (const std::string type :
       {"#handle", "#migrate", "#tombstone", "#labels", "#somethingNew", "", "commit", "#Commit"}) {
    Frame frame;
    std::string message = Message(type, retired);
    ASSERT_EQ(Outcome(message, &frame), "ignored") << type;
    EXPECT_EQ(frame.type, type);
    EXPECT_EQ(frame.seq, 7);
    EXPECT_EQ(frame.did.text(), kDid);

    message = Message(type, Map{{"seq", Text("7")}, {"did", Text("nobody")}});
    ASSERT_EQ(Outcome(message, &frame), "ignored") << type;
    EXPECT_EQ(frame.seq, std::nullopt);
    EXPECT_EQ(frame.did.text(), "");
    for (const Item& seq : {Int(0), Int(-5), Hex("1bffffffffffffffff"), Float()}) {
      message = Message(type, Map{{"seq", seq}, {"did", Int(1)}});
      ASSERT_EQ(Outcome(message, &frame), "ignored") << type;
      EXPECT_EQ(frame.seq, std::nullopt);
    }
    EXPECT_EQ(Outcome(Message(type, Map())), "ignored");
  }
}

TEST(Frame, UnknownOpsAreIgnoredUnread) {
  for (const Item& op :
       {Int(0), Int(2), Int(-2), Int(INT64_MIN), Hex("1bffffffffffffffff"), Hex("3bffffffffffffffff")}) {
    Frame frame;
    const std::string typed = Map{{"t", Text("#commit")}, {"op", op}}.Encode() + CommitPayload().Encode();
    ASSERT_EQ(Outcome(typed, &frame), "ignored");
    EXPECT_EQ(frame.seq, std::nullopt);
    EXPECT_EQ(frame.type, "#commit");
    EXPECT_EQ(Outcome(Map{{"op", op}}.Encode() + Map().Encode()), "ignored");
    // But it must be a frame.
    EXPECT_EQ(Outcome(Map{{"op", op}}.Encode()), "frame_bad_payload");
    EXPECT_EQ(Outcome(Map{{"op", op}}.Encode() + Map{{"x", "\xf7"}}.Encode()), "cbor_unsupported_simple");
  }
}

TEST(Frame, BadHeadersDropTheConnection) {
  const Item payload = CommitPayload().Encode();
  EXPECT_EQ(Outcome(""), "frame_bad_header");
  EXPECT_EQ(Outcome(Array({}) + payload), "frame_bad_header");
  EXPECT_EQ(Outcome(Text("#commit") + payload), "frame_bad_header");
  EXPECT_EQ(Outcome(Map().Encode() + payload), "frame_bad_header");
  EXPECT_EQ(Outcome(Map{{"t", Text("#commit")}}.Encode() + payload), "frame_bad_header");
  EXPECT_EQ(Outcome(Map{{"op", Int(1)}}.Encode() + payload), "frame_bad_header");
  EXPECT_EQ(Outcome(Map{{"op", Text("1")}, {"t", Text("#commit")}}.Encode() + payload), "frame_bad_header");
  EXPECT_EQ(Outcome(Map{{"op", Float()}, {"t", Text("#commit")}}.Encode() + payload), "frame_bad_header");
  EXPECT_EQ(Outcome(Map{{"op", Int(1)}, {"t", Null()}}.Encode() + payload), "frame_bad_header");
  EXPECT_EQ(Outcome(Map{{"op", Int(1)}, {"t", Int(1)}}.Encode() + payload), "frame_bad_header");
}

TEST(Frame, BadPayloadsDropTheConnection) {
  const Item header = Header("#commit");
  EXPECT_EQ(Outcome(header), "frame_bad_payload");
  for (const Item& item : {Array({Int(1)}), Int(1), Null(), Text(""), ByteString(""), Link("x"), Float()}) {
    EXPECT_EQ(Outcome(header + item), "frame_bad_payload");
  }
  for (const Sample& sample : Samples()) {
    EXPECT_EQ(Outcome(Message(sample.type, sample.payload) + std::string(1, '\0')), "frame_trailing_bytes");
    EXPECT_EQ(Outcome(Message(sample.type, sample.payload) + Map().Encode()), "frame_trailing_bytes");
  }
}

TEST(Frame, WhatIsNoDrislDropsTheConnection) {
  EXPECT_EQ(Outcome(Hex("a2617467"
                        "23636f6d6d6974"
                        "626f701801") +
                    CommitPayload().Encode()),
            "cbor_non_minimal");
  EXPECT_EQ(Outcome(Hex("bf617467"
                        "23636f6d6d6974"
                        "626f7001ff")),
            "cbor_indefinite");
  EXPECT_EQ(Outcome(Hex("a2626f7001617467"
                        "23636f6d6d6974") +
                    CommitPayload().Encode()),
            "cbor_map_key_order");
  EXPECT_EQ(Outcome(Hex("a2626f7001626f7001")), "cbor_map_key_duplicate");
  EXPECT_EQ(Outcome(Hex("a1"
                        "01"
                        "01")),
            "cbor_map_key_not_text");
  const std::vector<std::pair<Item, std::string>> broken = {
      {Hex("f93e00"), "cbor_unsupported_float"},
      {Hex("fa3fc00000"), "cbor_unsupported_float"},
      {Hex("fb7ff8000000000000"), "cbor_unsupported_float"},
      {Hex("f7"), "cbor_unsupported_simple"},
      {Hex("62c328"), "cbor_bad_utf8"},
      {Hex("1801"), "cbor_non_minimal"},
      {Hex("9fff"), "cbor_indefinite"},
      {Hex("c11a00000000"), "cbor_unsupported_tag"},
      {Hex("d82a4100"), "cbor_bad_link"},
      {Hex("a26161016161"
           "02"),
       "cbor_map_key_duplicate"},
      {Hex("a2616201616102"), "cbor_map_key_order"}};
  for (const auto& [item, reject] : broken) {
    for (const Sample& sample : Samples()) {
      // In a field that nobody knows, in one that nobody reads, in one that is read, and after the schema has
      // failed.
      EXPECT_EQ(Outcome(Message(sample.type, sample.payload.With("z", item))), reject) << sample.type;
      EXPECT_EQ(Outcome(Message(sample.type, sample.payload.With("blobs", item))), reject) << sample.type;
      for (const std::string field :
           {"seq", "did", "repo", "rev", "ops", "commit", "name", "time", "since", "status", "active",
            "handle", "message", "prevData", "rebase", "blocks"}) {
        EXPECT_EQ(Outcome(Message(sample.type, sample.payload.With(field, item))), reject)
            << sample.type << " " << field;
      }
      EXPECT_EQ(Outcome(Message(sample.type, Map{{"a", Null()}, {"seq", Null()}, {"zzzzzzzzzz", item}})),
                reject);
    }
    EXPECT_EQ(Outcome(Message("#handle", Map{{"z", item}})), reject);
    EXPECT_EQ(Outcome(Message("#commit", CommitPayload({CreateOp().With("zz", item).Encode()}))), reject);
    EXPECT_EQ(Outcome(Message("#commit", CommitPayload({CreateOp().With("action", item).Encode()}))), reject);
  }
  // A field that needs no look and comes twice.
  EXPECT_EQ(Outcome(Header("#info") + Hex("a2"
                                          "646e616d65"
                                          "6161"
                                          "646e616d65"
                                          "6161")),
            "cbor_map_key_duplicate");
}

TEST(Frame, ARefusedMessageKeepsSeqAndAccount) {
  Frame frame;
  for (const Map& payload :
       {CommitPayload().Without("rev"), CommitPayload().With("ops", Int(1)),
        CommitPayload().With("blocks", ByteString(std::string(kMaxBlocksBytes + 1, 'x')))}) {
    const std::string message = Message("#commit", payload);
    ASSERT_EQ(Outcome(message, &frame), "rejected");
    EXPECT_EQ(frame.type, "#commit");
    EXPECT_EQ(frame.seq, 1000);
    EXPECT_EQ(frame.did.text(), kDid);
  }
  std::string message = Message("#account", AccountPayload().With("seq", Int(0)).With("active", Null()));
  ASSERT_EQ(Outcome(message, &frame), "rejected");
  EXPECT_EQ(frame.seq, std::nullopt);
  EXPECT_EQ(frame.did.text(), kDid);
  EXPECT_EQ(frame.reject, Reject::kEventBadSeq);  // the first fault
  message = Message("#account", AccountPayload().With("did", Text("x")));
  ASSERT_EQ(Outcome(message, &frame), "rejected");
  EXPECT_EQ(frame.seq, 1003);
  EXPECT_EQ(frame.did.text(), "");
}

TEST(Frame, EveryTruncationIsAFramingError) {
  std::vector<std::string> messages = {ErrorMessage(), Message("#handle", Map{{"seq", Int(7)}}),
                                       Message("#commit", CommitPayload().Without("rev"))};
  for (const Sample& sample : Samples()) messages.push_back(Message(sample.type, sample.payload));
  for (const std::string& message : messages) {
    for (size_t n = 0; n < message.size(); ++n) {
      // A copy of just these bytes, so that a sanitizer sees a read beyond them.
      const std::vector<uint8_t> cut(message.begin(), message.begin() + static_cast<ptrdiff_t>(n));
      Frame frame;
      const absl::Status status = DecodeFrame(Bytes(cut), &frame);
      ASSERT_FALSE(status.ok()) << "cut at " << n;
      const std::optional<Reject> reject = RejectOf(status);
      ASSERT_TRUE(reject.has_value());
      EXPECT_TRUE(*reject == Reject::kCborTruncated || *reject == Reject::kFrameBadHeader ||
                  *reject == Reject::kFrameBadPayload)
          << RejectName(*reject) << " cut at " << n;
    }
  }
}

TEST(Frame, AReusedFrameKeepsNothingOfTheLast) {
  Frame frame;
  std::vector<std::string> messages = {ErrorMessage()};
  for (const Sample& sample : Samples()) messages.push_back(Message(sample.type, sample.payload));
  for (const std::string& before : messages) {
    ASSERT_TRUE(DecodeFrame(AsBytes(before), &frame).ok());
    const std::string empty = Message("#unknown", Map());
    ASSERT_EQ(Outcome(empty, &frame), "ignored");
    EXPECT_EQ(frame.seq, std::nullopt);
    EXPECT_EQ(frame.did.text(), "");
    EXPECT_EQ(frame.time, "");
    EXPECT_EQ(frame.rev, "");
    EXPECT_EQ(frame.since, "");
    EXPECT_TRUE(frame.commit.empty());
    EXPECT_TRUE(frame.prev_data.empty());
    EXPECT_TRUE(frame.blocks.empty());
    EXPECT_TRUE(frame.ops.empty());
    EXPECT_EQ(frame.handle, std::nullopt);
    EXPECT_EQ(frame.status, std::nullopt);
    EXPECT_EQ(frame.name, "");
    EXPECT_EQ(frame.message, std::nullopt);

    ASSERT_TRUE(DecodeFrame(AsBytes(before), &frame).ok());
    ASSERT_FALSE(DecodeFrame(AsBytes(std::string_view(before).substr(0, before.size() - 1)), &frame).ok());
    EXPECT_EQ(frame.seq, std::nullopt);
    EXPECT_EQ(frame.type, "");
    EXPECT_TRUE(frame.ops.empty());
  }
}

TEST(Frame, SteadyStateAllocatesNothing) {
  std::vector<std::string> messages = {ErrorMessage(), Message("#handle", Map{{"seq", Int(7)}}),
                                       Message("#commit", CommitPayload().Without("rev"))};
  for (const Sample& sample : Samples()) messages.push_back(Message(sample.type, sample.payload));
  Frame frame;
  for (const std::string& message : messages) ASSERT_TRUE(DecodeFrame(AsBytes(message), &frame).ok());
  const uint64_t before = AllocationCount();
  bool ok = true;
  for (int round = 0; round < 100; ++round) {
    for (const std::string& message : messages) ok = DecodeFrame(AsBytes(message), &frame).ok() && ok;
  }
  EXPECT_EQ(AllocationCount() - before, 0u);
  EXPECT_TRUE(ok);
}

}  // namespace
}  // namespace penstock::firehose
