#include "identity/plc_log.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "identity/did_document.h"
#include "repo/syntax.h"
#include "tests/identity/identity_testing.h"

namespace penstock::identity {
namespace {

using builder::Curve;
using builder::SigningKey;
using test::KeyNamed;
using test::PlcLogBuilder;
using test::json::array;
using test::json::object;
using test::json::value;

constexpr auto Op = PlcLogBuilder::Operation;

std::string Verdict(const PlcLogBuilder& log) {
  const auto verified = PlcLog::Verify(log.did(), log.Json());
  return verified.ok() ? "ok" : test::Outcome(verified.status());
}

class PlcLogTest : public testing::Test {
 protected:
  const SigningKey high_ = KeyNamed("high"), middle_ = KeyNamed("middle", Curve::kP256),
                   low_ = KeyNamed("low"), stranger_ = KeyNamed("stranger");
  const std::vector<SigningKey> all_ = {high_, middle_, low_};
};

TEST_F(PlcLogTest, GenesisAndUpdates) {
  PlcLogBuilder log;
  const int first = log.Add(Op(all_, "one.test", {}), -1, low_, 0);
  const int second = log.Add(Op({middle_}, "two.test", KeyNamed("new").DidKey()), first, high_, 1);
  log.Add(Op(all_, "three.test", {}), second, middle_, 2);
  const auto verified = PlcLog::Verify(log.did(), log.Json());
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->did(), log.did());
  ASSERT_EQ(verified->versions().size(), 3u);
  const PlcVersion& middle = verified->versions()[1];
  EXPECT_EQ(middle.handle, "two.test");
  EXPECT_EQ(middle.pds, "https://pds.lantern.test");
  EXPECT_EQ(middle.signing_key, KeyNamed("new").DidKey());
  EXPECT_EQ(middle.key->did_key(), KeyNamed("new").DidKey());
  EXPECT_EQ(middle.cid.ToString(), log.cid(1));
  EXPECT_FALSE(middle.tombstone);
  EXPECT_EQ(verified->current().handle, "three.test");
}

TEST_F(PlcLogTest, TheDidIsTheHashOfTheFirstOperation) {
  PlcLogBuilder log, other;
  log.Add(Op(all_, "one.test", {}), -1, low_, 0);
  other.Add(Op(all_, "two.test", {}), -1, low_, 0);
  log.entry(0)["did"] = other.did();
  EXPECT_EQ(test::Outcome(PlcLog::Verify(other.did(), log.Json()).status()), "plc_genesis_mismatch");
  EXPECT_EQ(test::Outcome(PlcLog::Verify(log.did(), log.Json()).status()), "plc_bad_operation")
      << "another's entry";
  log.entry(0)["did"] = log.did();
  EXPECT_EQ(Verdict(log), "ok");
  // Also not a beginning of it.
  log.entry(0)["did"] = log.did().substr(0, 31);
  EXPECT_EQ(test::Outcome(PlcLog::Verify(log.did().substr(0, 31), log.Json()).status()),
            "plc_genesis_mismatch");
}

TEST_F(PlcLogTest, SignedByAKeyOfThePredecessor) {
  for (const SigningKey& signer : all_) {
    PlcLogBuilder log;
    log.Add(Op(all_, "one.test", {}), -1, signer, 0);
    EXPECT_EQ(Verdict(log), "ok");
    log.Add(Op({stranger_}, "two.test", {}), 0, signer, 1);
    EXPECT_EQ(Verdict(log), "ok");
    // Now only the stranger may.
    PlcLogBuilder bad = log;
    bad.Add(Op(all_, "three.test", {}), 1, signer, 2);
    EXPECT_EQ(Verdict(bad), "plc_bad_signature");
    log.Add(Op(all_, "three.test", {}), 1, stranger_, 2);
    EXPECT_EQ(Verdict(log), "ok");
  }
  PlcLogBuilder log;
  log.Add(Op(all_, "one.test", {}), -1, stranger_, 0);
  EXPECT_EQ(Verdict(log), "plc_bad_signature") << "the first operation signs for itself";
  PlcLogBuilder by_signing_key;
  by_signing_key.Add(Op(all_, "one.test", {}), -1, low_, 0);
  by_signing_key.Add(Op(all_, "two.test", {}), 0, KeyNamed("signing"), 1);
  EXPECT_EQ(Verdict(by_signing_key), "plc_bad_signature") << "the account's key is no rotation key";
}

TEST_F(PlcLogTest, NoKeysNoUpdates) {
  PlcLogBuilder log;
  log.Add(Op(all_, "one.test", {}), -1, low_, 0);
  log.Add(Op({}, "two.test", {}), 0, low_, 1);
  EXPECT_EQ(Verdict(log), "ok");
  log.Add(Op({}, "three.test", {}), 1, low_, 2);
  EXPECT_EQ(Verdict(log), "plc_bad_signature");
  PlcLogBuilder none;
  none.Add(Op({}, "one.test", {}), -1, low_, 0);
  EXPECT_EQ(Verdict(none), "plc_bad_signature");
}

TEST_F(PlcLogTest, SignaturesAreStrict) {
  PlcLogBuilder log;
  log.Add(Op(all_, "one.test", {}), -1, low_, 0);
  const object signed_operation = log.entry(0).at("operation").as_object();
  const std::string sig(signed_operation.at("sig").as_string());
  const std::vector<uint8_t> bytes = *FromBase64Url(sig);
  builder::Signature signature;
  std::copy(bytes.begin(), bytes.end(), signature.begin());
  const auto with = [&](const value& changed) {
    PlcLogBuilder other;  // hash and CID of the changed operation, so that nothing else is wrong with it
    object operation = signed_operation;
    operation["sig"] = changed;
    other.AddSigned(operation, 0);
    return Verdict(other);
  };
  EXPECT_EQ(with(value(sig.c_str())), "ok");
  std::string padding_bits = sig;  // 86 digits are 516 bits: four to spare
  padding_bits.back() = padding_bits.back() == 'A' ? 'B' : static_cast<char>(padding_bits.back() + 1);
  std::vector<uint8_t> longer = bytes;
  longer.push_back(0);
  for (const std::string& bad :
       {sig + "==", sig + "=", padding_bits, sig + "\n", " " + sig, sig.substr(0, 85), std::string(),
        ToBase64Url(longer), ToBase64Url(Bytes(bytes).first(63)), sig + "A",
        ToBase64Url(builder::WithOtherS(Curve::kK256, signature)), std::string(86, '+')}) {
    EXPECT_EQ(with(value(bad.c_str())), "plc_bad_signature") << bad;
  }
  EXPECT_EQ(with(value(nullptr)), "plc_bad_operation");
  EXPECT_EQ(with(value(7)), "plc_bad_operation");
}

TEST_F(PlcLogTest, HighSOnBothCurves) {
  for (const SigningKey& key : {high_, middle_}) {
    PlcLogBuilder log;
    log.Add(Op({key}, "one.test", {}), -1, key, 0);
    object operation = log.entry(0).at("operation").as_object();
    const std::vector<uint8_t> bytes = *FromBase64Url(std::string_view(operation.at("sig").as_string()));
    builder::Signature signature;
    std::copy(bytes.begin(), bytes.end(), signature.begin());
    operation["sig"] = ToBase64Url(builder::WithOtherS(key.curve(), signature));
    PlcLogBuilder high;
    high.AddSigned(operation, 0);
    EXPECT_EQ(Verdict(high), "plc_bad_signature");
  }
}

// What is signed is what is read: a change of any member breaks it.
TEST_F(PlcLogTest, EveryMemberIsSigned) {
  PlcLogBuilder log;
  log.Add(Op(all_, "one.test", {}), -1, low_, 0);
  const object operation = log.entry(0).at("operation").as_object();
  const auto changed = [&](std::string_view member, value replacement) {
    object other = operation;
    other[member] = std::move(replacement);
    PlcLogBuilder rebuilt;
    rebuilt.AddSigned(other, 0);
    return Verdict(rebuilt);
  };
  EXPECT_EQ(changed("alsoKnownAs", array{"at://mallory.test"}), "plc_bad_signature");
  EXPECT_EQ(changed("verificationMethods", object{{"atproto", stranger_.DidKey()}}), "plc_bad_signature");
  EXPECT_EQ(changed("services", object{}), "plc_bad_signature");
  EXPECT_EQ(changed("rotationKeys", array{low_.DidKey()}), "plc_bad_signature");
  EXPECT_EQ(changed("unknown", "member"), "plc_bad_signature");
}

TEST_F(PlcLogTest, UnknownMembersAreSignedToo) {
  PlcLogBuilder log;
  object operation = Op(all_, "one.test", {});
  operation["later"] = object{{"text", "x"}, {"number", 7}, {"list", array{nullptr, true}}};
  log.Add(operation, -1, low_, 0);
  log.entry(0)["seq"] = 12;
  EXPECT_EQ(Verdict(log), "ok");
}

TEST_F(PlcLogTest, ShapesOfOperations) {
  const auto with = [&](std::string_view member, value replacement) {
    PlcLogBuilder log;
    object operation = Op(all_, "one.test", {});
    operation[member] = std::move(replacement);
    log.Add(operation, -1, low_, 0);
    return Verdict(log);
  };
  EXPECT_EQ(with("prev", nullptr), "ok");
  for (const char* member :
       {"type", "rotationKeys", "verificationMethods", "alsoKnownAs", "services", "prev"}) {
    EXPECT_EQ(with(member, 7), "plc_bad_operation") << member;
    EXPECT_EQ(with(member, true), "plc_bad_operation") << member;
    EXPECT_EQ(with(member, array{7}), "plc_bad_operation") << member;
    EXPECT_EQ(with(member, object{{"a", 7}}), "plc_bad_operation") << member;
    PlcLogBuilder without;
    object operation = Op(all_, "one.test", {});
    operation.erase(member);
    without.Add(operation, -1, low_, 0);
    EXPECT_EQ(Verdict(without), "plc_bad_operation") << member;
  }
  EXPECT_EQ(with("type", "plc_rename"), "plc_bad_operation");
  EXPECT_EQ(with("rotationKeys", array{low_.DidKey(), "did:key:z6Mk"}), "plc_bad_operation");
  EXPECT_EQ(with("services", object{{"a", object{{"type", "x"}}}}), "plc_bad_operation");
  EXPECT_EQ(with("prev", "bafyreid7m4gc"), "plc_bad_chain") << "no first operation";
}

TEST_F(PlcLogTest, Limits) {
  const auto verdict = [&](object operation) {
    PlcLogBuilder log;
    log.Add(std::move(operation), -1, low_, 0);
    return Verdict(log);
  };
  std::vector<SigningKey> keys(10, low_);
  EXPECT_EQ(verdict(Op(keys, "one.test", {})), "ok") << "ten, and all the same";
  keys.push_back(low_);
  EXPECT_EQ(verdict(Op(keys, "one.test", {})), "plc_bad_operation");

  object operation = Op(all_, "one.test", {});
  object methods;
  for (int i = 0; i < 10; ++i) methods["m" + std::to_string(i)] = "did:key:z6Mkanything";
  operation["verificationMethods"] = methods;
  EXPECT_EQ(verdict(operation), "ok");
  methods["one too many"] = "did:key:z6Mkanything";
  operation["verificationMethods"] = methods;
  EXPECT_EQ(verdict(operation), "plc_bad_operation");

  // 7,500 bytes with the signature: "sig" and its 86 characters are 92 of them.
  operation = Op(all_, "one.test", {});
  operation["padding"] = std::string(1'000, 'x');
  const auto bytes = [&] {
    return cbor::JsonToCbor(test::json::serialize(operation), {}, cbor::DataModel::kDrisl)->size() + 92;
  };
  operation["padding"] = std::string(1'000 + kMaxPlcOperationBytes - bytes(), 'x');
  EXPECT_EQ(verdict(operation), "ok");
  operation["padding"] = std::string(operation["padding"].as_string()) + "x";
  EXPECT_EQ(verdict(operation), "plc_bad_operation");

  EXPECT_EQ(test::Outcome(PlcLog::Verify("did:plc:x", std::string(kMaxPlcLogBytes + 1, ' ')).status()),
            "plc_bad_operation");
}

TEST_F(PlcLogTest, WhatIsNoLog) {
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("[]"), std::string("[1]"), std::string("[{}]"),
        std::string("["), std::string("[{\"did\":1}]"), std::string(1'000, '['), std::string("null")})
    EXPECT_EQ(test::Outcome(PlcLog::Verify("did:plc:ewvi7nxzyoun6zhxrhs64oiz", text).status()),
              "plc_bad_operation")
        << text;
}

TEST_F(PlcLogTest, EntriesSayWhatTheOperationIs) {
  PlcLogBuilder log;
  log.Add(Op(all_, "one.test", {}), -1, low_, 0);
  log.Add(Op(all_, "two.test", {}), 0, low_, 1);
  const auto with = [&](std::string_view member, value replacement) {
    PlcLogBuilder other = log;
    other.entry(1)[member] = std::move(replacement);
    return Verdict(other);
  };
  EXPECT_EQ(with("cid", value(log.cid(0).c_str())), "plc_bad_operation");
  EXPECT_EQ(with("cid", nullptr), "plc_bad_operation");
  EXPECT_EQ(with("did", "did:plc:ewvi7nxzyoun6zhxrhs64oiz"), "plc_bad_operation");
  EXPECT_EQ(with("operation", nullptr), "plc_bad_operation");
  EXPECT_EQ(with("createdAt", "yesterday"), "plc_bad_operation");
  EXPECT_EQ(with("createdAt", 7), "plc_bad_operation");
  EXPECT_EQ(with("nullified", "false"), "plc_bad_operation");
  EXPECT_EQ(with("nullified", nullptr), "plc_bad_operation");
  EXPECT_EQ(with("nullified", true), "plc_bad_nullification") << "nothing undid it";
  EXPECT_EQ(with("createdAt", "2025-01-01T00:00:00Z"), "plc_bad_chain");
  EXPECT_EQ(with("createdAt", log.entry(0).at("createdAt")), "ok") << "at the same time";
}

TEST_F(PlcLogTest, TheChainHasNoHoles) {
  PlcLogBuilder log;
  log.Add(Op(all_, "one.test", {}), -1, low_, 0);
  log.Add(Op(all_, "two.test", {}), 0, low_, 1);
  log.Add(Op(all_, "three.test", {}), 1, low_, 2);
  PlcLogBuilder cut = log;
  cut.entries().erase(cut.entries().begin() + 1);
  EXPECT_EQ(Verdict(cut), "plc_bad_chain");
  PlcLogBuilder headless = log;
  headless.entries().erase(headless.entries().begin());
  EXPECT_EQ(Verdict(headless), "plc_bad_chain");
  PlcLogBuilder twice = log;
  twice.entries().push_back(twice.entries().back());
  EXPECT_NE(Verdict(twice), "ok");
  PlcLogBuilder second_start = log;
  second_start.Add(Op(all_, "four.test", {}), -1, low_, 3);
  EXPECT_EQ(Verdict(second_start), "plc_bad_chain");
  PlcLogBuilder no_cid;
  no_cid.Add(Op(all_, "one.test", {}), -1, low_, 0);
  object operation = Op(all_, "two.test", {});
  operation["prev"] = "not a cid";
  no_cid.Add(operation, -1, low_, 1);
  EXPECT_EQ(Verdict(no_cid), "plc_bad_chain");
}

TEST_F(PlcLogTest, AHigherKeyUndoesWithinTheWindow) {
  struct Case {
    const SigningKey& signer;
    const SigningKey& undoer;
    double hours;
    const char* verdict;
  };
  constexpr double kMicrosecond = 1.0 / 3'600'000'000.0;
  for (const Case& c :
       {Case{low_, high_, 1, "ok"}, Case{low_, middle_, 1, "ok"}, Case{middle_, high_, 1, "ok"},
        Case{low_, low_, 1, "plc_bad_nullification"}, Case{middle_, middle_, 1, "plc_bad_nullification"},
        Case{high_, high_, 1, "plc_bad_nullification"}, Case{high_, middle_, 1, "plc_bad_nullification"},
        Case{middle_, low_, 1, "plc_bad_nullification"}, Case{low_, stranger_, 1, "plc_bad_signature"},
        Case{low_, high_, 72, "ok"}, Case{low_, high_, 72 + 2 * kMicrosecond, "plc_bad_nullification"},
        Case{low_, high_, 73, "plc_bad_nullification"}}) {
    PlcLogBuilder log;
    log.Add(Op(all_, "one.test", {}), -1, high_, 0);
    const int bad = log.Add(Op({stranger_}, "stolen.test", {}), 0, c.signer, 5);
    log.Add(Op(all_, "saved.test", {}), 0, c.undoer, 5 + c.hours);
    log.Nullify(bad);
    EXPECT_EQ(Verdict(log), c.verdict) << c.hours;
  }
}

TEST_F(PlcLogTest, UndoesAWholeChain) {
  PlcLogBuilder log;
  log.Add(Op(all_, "one.test", {}), -1, high_, 0);
  const int first = log.Add(Op({stranger_}, "stolen.test", {}), 0, low_, 5);
  const int second = log.Add(Op({stranger_}, "sold.test", {}), first, stranger_, 76.5);
  log.Add(Op(all_, "saved.test", {}), 0, middle_, 77);
  log.Nullify(first);
  log.Nullify(second);
  const auto verified = PlcLog::Verify(log.did(), log.Json());
  ASSERT_TRUE(verified.ok()) << verified.status();
  ASSERT_EQ(verified->versions().size(), 2u);
  EXPECT_EQ(verified->current().handle, "saved.test");
  // The window runs from the first operation that is undone, not from the last.
  PlcLogBuilder late;
  late.Add(Op(all_, "one.test", {}), -1, high_, 0);
  late.Add(Op({stranger_}, "stolen.test", {}), 0, low_, 5);
  late.Add(Op({stranger_}, "sold.test", {}), 1, stranger_, 77);
  late.Add(Op(all_, "saved.test", {}), 0, middle_, 77.5);
  late.Nullify(1);
  late.Nullify(2);
  EXPECT_EQ(Verdict(late), "plc_bad_nullification");
}

TEST_F(PlcLogTest, UndoneTwice) {
  PlcLogBuilder log;
  log.Add(Op(all_, "one.test", {}), -1, high_, 0);
  log.Add(Op({stranger_}, "stolen.test", {}), 0, low_, 1);
  log.Add(Op({stranger_}, "stolen-again.test", {}), 0, middle_, 2);
  log.Add(Op(all_, "saved.test", {}), 0, high_, 3);
  log.Nullify(1);
  log.Nullify(2);
  EXPECT_EQ(Verdict(log), "ok");
  // The flags must be those that follow.
  PlcLogBuilder silent = log;
  silent.entry(1)["nullified"] = false;
  EXPECT_EQ(Verdict(silent), "plc_bad_nullification");
  PlcLogBuilder wrong = log;
  wrong.Nullify(3);
  EXPECT_EQ(Verdict(wrong), "plc_bad_nullification");
}

TEST_F(PlcLogTest, NothingContinuesWhatWasUndone) {
  PlcLogBuilder log;
  log.Add(Op(all_, "one.test", {}), -1, high_, 0);
  log.Add(Op({stranger_}, "stolen.test", {}), 0, low_, 1);
  log.Add(Op(all_, "saved.test", {}), 0, high_, 2);
  log.Add(Op({stranger_}, "again.test", {}), 1, stranger_, 3);
  log.Nullify(1);
  EXPECT_EQ(Verdict(log), "plc_bad_chain");
}

// The place that counts is the first: listed again at the end, the highest key is still the highest.
TEST_F(PlcLogTest, AKeyListedTwiceStandsWhereItIsFirst) {
  for (const auto& [signer, undoer, verdict] :
       {std::tuple(&high_, &low_, "plc_bad_nullification"), std::tuple(&low_, &high_, "ok"),
        std::tuple(&high_, &high_, "plc_bad_nullification")}) {
    PlcLogBuilder log;
    log.Add(Op({high_, low_, high_}, "one.test", {}), -1, low_, 0);
    log.Add(Op(all_, "two.test", {}), 0, *signer, 1);
    log.Add(Op(all_, "three.test", {}), 0, *undoer, 2);
    log.Nullify(1);
    EXPECT_EQ(Verdict(log), verdict);
  }
}

TEST_F(PlcLogTest, Tombstone) {
  PlcLogBuilder log;
  log.Add(Op(all_, "one.test", {}), -1, high_, 0);
  log.Add(PlcLogBuilder::Tombstone(), 0, low_, 1);
  const auto verified = PlcLog::Verify(log.did(), log.Json());
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_TRUE(verified->current().tombstone);
  EXPECT_EQ(verified->current().key, std::nullopt);
  EXPECT_EQ(verified->current().handle, "");

  PlcLogBuilder after = log;
  after.Add(Op(all_, "two.test", {}), 1, high_, 2);
  EXPECT_EQ(Verdict(after), "plc_bad_chain") << "nothing follows a tombstone";
  PlcLogBuilder undone = log;
  undone.Add(Op(all_, "two.test", {}), 0, high_, 2);
  undone.Nullify(1);
  EXPECT_EQ(Verdict(undone), "ok") << "but it can be undone";
  PlcLogBuilder stranger;
  stranger.Add(Op(all_, "one.test", {}), -1, high_, 0);
  stranger.Add(PlcLogBuilder::Tombstone(), 0, stranger_, 1);
  EXPECT_EQ(Verdict(stranger), "plc_bad_signature");
  PlcLogBuilder only;
  only.Add(PlcLogBuilder::Tombstone(), -1, high_, 0);
  EXPECT_EQ(Verdict(only), "plc_bad_chain");
}

TEST_F(PlcLogTest, TheOldFormatForTheFirstOperation) {
  const object create = {{"type", "create"},
                         {"signingKey", low_.DidKey()},
                         {"recoveryKey", high_.DidKey()},
                         {"handle", "Ada.Lantern.test"},
                         {"service", "https://pds.lantern.test"},
                         {"prev", nullptr}};
  PlcLogBuilder log;
  log.Add(create, -1, low_, 0);
  log.Add(Op(all_, "two.test", {}), 0, low_, 1);
  // The recovery key stands before the signing key.
  log.Add(Op(all_, "three.test", {}), 0, high_, 2);
  log.Nullify(1);
  const auto verified = PlcLog::Verify(log.did(), log.Json());
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->versions()[0].handle, "ada.lantern.test");
  EXPECT_EQ(verified->versions()[0].signing_key, low_.DidKey());
  EXPECT_EQ(verified->versions()[0].pds, "https://pds.lantern.test");

  PlcLogBuilder later;
  later.Add(Op(all_, "one.test", {}), -1, low_, 0);
  later.Add(create, 0, low_, 1);
  EXPECT_EQ(Verdict(later), "plc_bad_operation");
  for (const char* member : {"signingKey", "recoveryKey", "handle", "service"}) {
    PlcLogBuilder without;
    object operation = create;
    operation.erase(member);
    without.Add(operation, -1, low_, 0);
    EXPECT_EQ(Verdict(without), "plc_bad_operation") << member;
  }
}

TEST_F(PlcLogTest, WhichVersionWasInForce) {
  PlcLogBuilder log;
  log.Add(Op(all_, "one.test", {}), -1, high_, 0);
  log.Add(Op({stranger_}, "stolen.test", stranger_.DidKey()), 0, low_, 1);
  log.Add(Op(all_, "saved.test", KeyNamed("new").DidKey()), 0, high_, 3);
  log.Nullify(1);
  const auto verified = PlcLog::Verify(log.did(), log.Json());
  ASSERT_TRUE(verified.ok()) << verified.status();
  const int64_t start = repo::Datetime::Parse(PlcLogBuilder::Time(0))->micros;
  EXPECT_EQ(verified->At(start - 1), nullptr);
  EXPECT_EQ(verified->At(start)->handle, "one.test");
  EXPECT_EQ(verified->At(start + 2 * test::kHourUs)->handle, "one.test") << "what was undone never counted";
  EXPECT_EQ(verified->At(start + 3 * test::kHourUs - 1)->handle, "one.test");
  EXPECT_EQ(verified->At(start + 3 * test::kHourUs)->handle, "saved.test");
  EXPECT_EQ(verified->At(INT64_MAX)->key->did_key(), KeyNamed("new").DidKey());
}

TEST_F(PlcLogTest, ADocumentSaysWhatTheLogSays) {
  PlcLogBuilder builder;
  builder.Add(Op(all_, "Ada.test", {}), -1, high_, 0);
  const auto log = PlcLog::Verify(builder.did(), builder.Json());
  ASSERT_TRUE(log.ok()) << log.status();
  const auto check = [&](const Identity& identity) { return test::Outcome(log->CheckDocument(identity)); };

  Identity good;
  good.did = builder.did();
  good.key = *crypto::PublicKey::FromDidKey(KeyNamed("signing").DidKey());
  good.pds = "https://pds.lantern.test";
  good.handle = "ada.test";
  EXPECT_EQ(check(good), "ok");
  Identity bad = good;
  bad.did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
  EXPECT_EQ(check(bad), "plc_document_mismatch");
  bad = good;
  bad.key = *crypto::PublicKey::FromDidKey(stranger_.DidKey());
  EXPECT_EQ(check(bad), "plc_document_mismatch");
  bad = good;
  bad.key.reset();
  bad.fault = Reject::kDidNoKey;
  EXPECT_EQ(check(bad), "plc_document_mismatch");
  bad = good;
  bad.pds = "https://mallory.test";
  EXPECT_EQ(check(bad), "plc_document_mismatch");
  bad = good;
  bad.handle.clear();
  EXPECT_EQ(check(bad), "plc_document_mismatch");
  EXPECT_EQ(check(NoIdentity(builder.did(), Reject::kDidTombstoned)), "plc_document_mismatch");
  EXPECT_EQ(check(NoIdentity(builder.did(), Reject::kDidNotFound)), "plc_document_mismatch");
  EXPECT_EQ(check(NoIdentity(builder.did(), Reject::kDidDocumentInvalid)), "plc_document_mismatch");
}

TEST_F(PlcLogTest, DocumentsOfTombstonesAndOfOtherKeys) {
  PlcLogBuilder gone;
  gone.Add(Op(all_, "one.test", {}), -1, high_, 0);
  gone.Add(PlcLogBuilder::Tombstone(), 0, high_, 1);
  const auto tombstoned = PlcLog::Verify(gone.did(), gone.Json());
  ASSERT_TRUE(tombstoned.ok());
  EXPECT_EQ(test::Outcome(tombstoned->CheckDocument(NoIdentity(gone.did(), Reject::kDidTombstoned))), "ok");
  EXPECT_EQ(test::Outcome(tombstoned->CheckDocument(NoIdentity(gone.did(), Reject::kDidNoKey))),
            "plc_document_mismatch");

  // A key of a curve that atproto does not use is no key, in the log as in the document.
  PlcLogBuilder strange;
  strange.Add(Op(all_, "one.test", "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"), -1, high_, 0);
  const auto log = PlcLog::Verify(strange.did(), strange.Json());
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_EQ(log->current().signing_key, "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK");
  Identity identity = NoIdentity(strange.did(), Reject::kDidNoKey);
  identity.pds = "https://pds.lantern.test";
  identity.handle = "one.test";
  EXPECT_EQ(test::Outcome(log->CheckDocument(identity)), "ok");
}

// Every bit of a log's text that is not merely spelling: never another identity under the same DID.
TEST_F(PlcLogTest, NoChangedByteGivesAnotherIdentity) {
  PlcLogBuilder builder;
  builder.Add(Op(all_, "one.test", {}), -1, high_, 0);
  builder.Add(Op(all_, "two.test", {}), 0, low_, 1);
  const std::string good = builder.Json();
  int accepted = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    std::string text = good;
    text[at] ^= 1;
    const auto log = PlcLog::Verify(builder.did(), text);
    if (!log.ok()) continue;
    ++accepted;  // another time, as long as the order stays
    EXPECT_EQ(log->current().handle, "two.test") << at;
    EXPECT_EQ(log->current().key->did_key(), KeyNamed("signing").DidKey());
  }
  EXPECT_LT(accepted, 60);
}

}  // namespace
}  // namespace penstock::identity
