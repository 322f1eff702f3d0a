#include "identity/recorded.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/identity/identity_testing.h"

namespace penstock::identity {
namespace {

constexpr char kAda[] = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
constexpr char kBob[] = "did:plc:oky5czdrnfjpqslsw2a5iclo";

// A line of a version whose handle is `name`.test; `more` are further members.
std::string Line(std::string_view did, std::string_view name, std::string_view more = {}) {
  const std::string did_text(did);
  return "{\"did\":\"" + did_text + "\",\"doc\":{\"id\":\"" + did_text + "\",\"alsoKnownAs\":[\"at://" +
         std::string(name) +
         ".test\"],\"verificationMethod\":[{\"id\":\"#atproto\",\"type\":\"Multikey\",\"controller\":\"" +
         did_text + "\",\"publicKeyMultibase\":\"" + test::KeyNamed(name).Multikey() + "\"}]}" +
         std::string(more) + "}\n";
}

absl::Status Load(RecordedResolver& resolver, const std::string& text,
                  const RecordedResolver::Scope& scope = {}) {
  std::istringstream lines(text);
  return resolver.Load(lines, "dids.ndjson", scope);
}

// The handle in force, or "-".
std::string Found(RecordedResolver& resolver, std::string_view did, std::string_view source, int64_t seq) {
  const IdentityPtr identity = resolver.Find(did, {source, seq});
  return identity == nullptr ? "-" : identity->handle;
}

TEST(Recorded, TheVersionInForce) {
  RecordedResolver resolver;
  ASSERT_EQ(test::Outcome(Load(resolver, Line(kAda, "third", ",\"from_seq\":30") +
                                             Line(kAda, "first", ",\"from_seq\":10") + "\n" +
                                             Line(kAda, "second", ",\"from_seq\":20") + Line(kBob, "bob"))),
            "ok");
  EXPECT_EQ(resolver.version_count(), 4u);
  EXPECT_EQ(Found(resolver, kAda, "relay", 9), "-");
  EXPECT_EQ(Found(resolver, kAda, "relay", 10), "first.test");
  EXPECT_EQ(Found(resolver, kAda, "relay", 19), "first.test");
  EXPECT_EQ(Found(resolver, kAda, "relay", 20), "second.test");
  EXPECT_EQ(Found(resolver, kAda, "relay", INT64_MAX), "third.test");
  EXPECT_EQ(Found(resolver, kBob, "relay", 0), "bob.test");
  EXPECT_EQ(Found(resolver, "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "relay", 5), "-");
  const IdentityPtr identity = resolver.Find(kAda, {"relay", 10});
  EXPECT_EQ(identity->did, kAda);
  EXPECT_EQ(identity->key->did_key(), test::KeyNamed("first").DidKey());
  EXPECT_EQ(identity->asked_us, kAlwaysCurrent);
  EXPECT_EQ(identity, resolver.Find(kAda, {"relay", 11})) << "made once";
}

TEST(Recorded, OneNumberPerStream) {
  const std::string lines = Line(kAda, "first", ",\"from_seq\":{\"a\":3,\"b\":null}") +
                            Line(kAda, "second", ",\"from_seq\":{\"a\":null,\"b\":7}") +
                            Line(kAda, "third", ",\"from_seq\":{\"a\":9,\"b\":9}");
  RecordedResolver resolver;
  ASSERT_TRUE(Load(resolver, lines, {"pds-a", "a"}).ok());
  ASSERT_TRUE(Load(resolver, lines, {"pds-b", "b"}).ok());
  EXPECT_EQ(Found(resolver, kAda, "pds-a", 2), "-");
  EXPECT_EQ(Found(resolver, kAda, "pds-a", 8), "first.test");
  EXPECT_EQ(Found(resolver, kAda, "pds-a", 9), "third.test");
  EXPECT_EQ(Found(resolver, kAda, "pds-b", 6), "-");
  EXPECT_EQ(Found(resolver, kAda, "pds-b", 8), "second.test");
  EXPECT_EQ(Found(resolver, kAda, "pds-b", 9), "third.test");
  EXPECT_EQ(Found(resolver, kAda, "pds-c", 9), "-");
  EXPECT_EQ(resolver.version_count(), 4u);
}

TEST(Recorded, SourcesAndAllSources) {
  RecordedResolver resolver;
  ASSERT_TRUE(Load(resolver, Line(kAda, "everywhere") + Line(kAda, "late", ",\"from_seq\":20")).ok());
  ASSERT_TRUE(Load(resolver, Line(kAda, "here", ",\"from_seq\":10"), {"here", ""}).ok());
  EXPECT_EQ(Found(resolver, kAda, "here", 9), "everywhere.test");
  EXPECT_EQ(Found(resolver, kAda, "here", 10), "here.test");
  EXPECT_EQ(Found(resolver, kAda, "there", 10), "everywhere.test");
  EXPECT_EQ(Found(resolver, kAda, "here", 20), "late.test");
  // The last one loaded wins where two begin at once.
  ASSERT_TRUE(Load(resolver, Line(kAda, "corrected", ",\"from_seq\":20")).ok());
  EXPECT_EQ(Found(resolver, kAda, "here", 20), "corrected.test");
}

TEST(Recorded, ResolveAnswersAtOnce) {
  RecordedResolver resolver;
  ASSERT_TRUE(Load(resolver, Line(kAda, "ada", ",\"from_seq\":10")).ok());
  const auto ask = [&](std::string_view did, int64_t seq) {
    std::vector<Answer> answers;
    resolver.Resolve(did, {"relay", seq}, Ask::kRefresh,
                     [&](const Answer& answer) { answers.push_back(answer); });
    EXPECT_EQ(answers.size(), 1u);
    return answers.at(0);
  };
  const Answer known = ask(kAda, 10);
  EXPECT_TRUE(known.status.ok());
  EXPECT_EQ(known.identity, resolver.Find(kAda, {"relay", 10}));
  for (const Answer& unknown : {ask(kBob, 10), ask(kAda, 9)}) {
    EXPECT_TRUE(unknown.status.ok());
    EXPECT_EQ(unknown.identity->fault, Reject::kDidNotFound);
    EXPECT_EQ(unknown.identity->asked_us, kAlwaysCurrent);
  }
  EXPECT_EQ(ask(kBob, 10).identity->did, kBob);
  resolver.Purge(kAda);
  resolver.Keep(ask(kBob, 10).identity);
  EXPECT_EQ(Found(resolver, kAda, "relay", 10), "ada.test");
  EXPECT_EQ(Found(resolver, kBob, "relay", 10), "-");
}

TEST(Recorded, VersionsThatCannotBeUsed) {
  RecordedResolver resolver;
  ASSERT_TRUE(Load(resolver, Line(kAda, "ada") + "{\"did\":\"" + kAda +
                                 "\",\"doc\":null,\"from_seq\":5}\n{\"did\":\"" + kAda +
                                 "\",\"doc\":{\"id\":\"" + kBob + "\"},\"from_seq\":6}")
                  .ok());
  EXPECT_EQ(resolver.Find(kAda, {"", 4})->fault, std::nullopt);
  EXPECT_EQ(resolver.Find(kAda, {"", 5})->fault, Reject::kDidNotFound);
  EXPECT_EQ(resolver.Find(kAda, {"", 6})->fault, Reject::kDidDocumentInvalid);
}

TEST(Recorded, BadLinesAreNamed) {
  const std::string good = Line(kAda, "ada");
  for (const std::string& bad :
       {std::string("{"), std::string("[]"), std::string("{}"), std::string("{\"did\":7,\"doc\":{}}"),
        std::string("{\"did\":\"ada\",\"doc\":{}}"), "{\"did\":\"" + std::string(kAda) + "\"}",
        "{\"did\":\"" + std::string(kAda) + "\",\"doc\":[]}", Line(kAda, "x", ",\"from_seq\":-1"),
        Line(kAda, "x", ",\"from_seq\":\"1\""), Line(kAda, "x", ",\"from_seq\":1.5"),
        Line(kAda, "x", ",\"from_seq\":9223372036854775808"), Line(kAda, "x", ",\"from_seq\":{\"a\":1}"),
        Line(kAda, "x", ",\"from_seq\":[1]"), good + "x"}) {
    RecordedResolver resolver;
    const absl::Status status = Load(resolver, good + "\r\n" + bad);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_EQ(RejectOf(status), std::nullopt);
    const bool third_line = bad != good + "x";
    EXPECT_TRUE(Message(status).starts_with(third_line ? "dids.ndjson:3: " : "dids.ndjson:4: ")) << status;
    EXPECT_EQ(Found(resolver, kAda, "", 0), "ada.test") << "what came before stays";
  }
  RecordedResolver resolver;
  EXPECT_FALSE(Load(resolver, Line(kAda, "x", ",\"from_seq\":{\"a\":1}"), {"", "b"}).ok());
  EXPECT_FALSE(Load(resolver, Line(kAda, "x", ",\"from_seq\":{\"b\":true}"), {"", "b"}).ok());
  EXPECT_TRUE(Load(resolver, Line(kAda, "x", ",\"from_seq\":{\"b\":1},\"more\":[1,2]"), {"", "b"}).ok());
  EXPECT_TRUE(Load(resolver, Line(kAda, "x", ",\"from_seq\":null"), {"", "b"}).ok());
}

TEST(Recorded, TheFilesOfTheFixtures) {
  RecordedResolver resolver;
  std::ifstream lines("fixtures/data/forum-small.dids.ndjson");
  ASSERT_EQ(test::Outcome(resolver.Load(lines, "forum-small", {})), "ok");
  EXPECT_GT(resolver.version_count(), 0u);
  std::ifstream absent("fixtures/data/no-such-file");
  EXPECT_EQ(resolver.Load(absent, "no-such-file", {}).code(), absl::StatusCode::kInvalidArgument);
}

TEST(Recorded, ManyReaders) {
  RecordedResolver resolver;
  ASSERT_TRUE(Load(resolver, Line(kAda, "first") + Line(kAda, "second", ",\"from_seq\":500")).ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int64_t seq = 0; seq < 1'000; ++seq)
        EXPECT_EQ(Found(resolver, kAda, "relay", seq), seq < 500 ? "first.test" : "second.test");
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace penstock::identity
