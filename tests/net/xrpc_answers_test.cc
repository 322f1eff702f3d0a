// Answers of hosts, read: right, wrong, hostile.

#include "net/xrpc_answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::net {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kDid[] = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
constexpr char kCid[] = "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm";
constexpr char kRev[] = "3l4abcdefgh2k";

std::string Repo(const std::string& members) { return "{\"repos\":[{" + members + "}]}"; }

ListedPage<ListedRepo> Page(const std::string& body, std::string_view cursor = {}) {
  ListedPage<ListedRepo> page;
  const absl::Status status = ReadRepoPage(body, cursor, kReposPerPage, &page);
  EXPECT_TRUE(status.ok()) << status << " " << body;
  return page;
}

absl::Status PageFault(const std::string& body, std::string_view cursor = {}, size_t most = kReposPerPage) {
  ListedPage<ListedRepo> page;
  return ReadRepoPage(body, cursor, most, &page);
}

TEST(XrpcAnswers, APageOfRepositories) {
  const auto page = Page("{\"cursor\":\"next\",\"repos\":[{\"did\":\"" + std::string(kDid) + "\",\"head\":\"" + kCid +
                         "\",\"rev\":\"" + kRev + "\",\"active\":false,\"status\":\"takendown\"}," +
                         "{\"did\":\"did:web:lantern.test\"}]}");
  EXPECT_EQ(page.cursor, "next");
  EXPECT_EQ(page.malformed, 0u);
  ASSERT_EQ(page.entries.size(), 2u);
  EXPECT_EQ(page.entries[0].did, kDid);
  EXPECT_EQ(page.entries[0].head, kCid);
  EXPECT_EQ(page.entries[0].rev, kRev);
  EXPECT_FALSE(page.entries[0].active);
  EXPECT_EQ(page.entries[0].status, "takendown");
  EXPECT_TRUE(page.entries[1].active) << "if nothing else is said";
  EXPECT_EQ(page.entries[1].rev + page.entries[1].head + page.entries[1].status, "");
}

TEST(XrpcAnswers, EntriesThatNameNobodyAreLeftOut) {
  const auto page = Page(
      "{\"repos\":[1,null,[],{},{\"did\":7},{\"did\":\"\"},{\"did\":\"ada.lantern.test\"},"
      "{\"did\":\"did:plc:\"},{\"did\":\"did:web:a b\"},{\"did\":\"" +
      std::string(kDid) + "\"}]}");
  EXPECT_EQ(page.malformed, 9u);
  EXPECT_EQ(page.entries.size(), 1u);
  EXPECT_EQ(page.cursor, "");
}

TEST(XrpcAnswers, WhatIsNoRevOrCidIsNotTold) {
  const std::string did = "\"did\":\"" + std::string(kDid) + "\"";
  for (const char* rev : {"3l4", "3l4abcdefgh2k2", "zl4abcdefgh2k", "3L4ABCDEFGH2K", "\\u00003l4abcdefgh2"}) {
    EXPECT_EQ(Page(Repo(did + ",\"rev\":\"" + rev + "\"")).entries.at(0).rev, "") << rev;
  }
  for (const char* head : {"", "bafy", "Bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm",
                           "bafkreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm",
                           "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpn"}) {
    EXPECT_EQ(Page(Repo(did + ",\"head\":\"" + head + "\"")).entries.at(0).head, "") << head;
  }
  EXPECT_EQ(Page(Repo(did + ",\"status\":\"line\\nbreak\"")).entries.at(0).status, "");
}

TEST(XrpcAnswers, PagesThatAreNone) {
  for (const char* body : {"", "[]", "{}", "<html>", "{\"repos\":{}}", "{\"repos\":null}", "{\"repos\":[", "{\"hosts\":[]}"}) {
    EXPECT_TRUE(absl::IsUnavailable(PageFault(body))) << body;
  }
  EXPECT_TRUE(absl::IsUnavailable(PageFault("{\"repos\":" + std::string(100'000, '['))));
}

TEST(XrpcAnswers, CursorsThatWouldHideTheRest) {
  EXPECT_EQ(Page("{\"repos\":[],\"cursor\":\"\"}").cursor, "");
  EXPECT_EQ(Page("{\"repos\":[],\"cursor\":null}").cursor, "");
  EXPECT_EQ(Page("{\"repos\":[],\"cursor\":\"on\"}").cursor, "on") << "empty pages may go on";
  EXPECT_TRUE(absl::IsFailedPrecondition(PageFault("{\"repos\":[],\"cursor\":7}")));
  EXPECT_TRUE(absl::IsFailedPrecondition(PageFault("{\"repos\":[],\"cursor\":\"" + std::string(5000, 'x') + "\"}")));
  const absl::Status again = PageFault("{\"repos\":[],\"cursor\":\"here\"}", "here");
  EXPECT_TRUE(absl::IsFailedPrecondition(again));
  EXPECT_THAT(again.ToString(), HasSubstr("repeats its cursor"));
}

TEST(XrpcAnswers, PagesAreBounded) {
  const std::string two = "{\"repos\":[{\"did\":\"did:web:a.test\"},{\"did\":\"did:web:b.test\"}]}";
  EXPECT_TRUE(PageFault(two, "", 2).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(PageFault(two, "", 1)));
}

TEST(XrpcAnswers, APageOfHosts) {
  ListedPage<ListedHost> page;
  ASSERT_TRUE(ReadHostPage(R"({"hosts":[{"hostname":"PDS.Lantern.test","status":"active","accountCount":12},
      {"hostname":"localhost:2583","accountCount":-1},{"hostname":"https://pds.lantern.test"},{"hostname":"a/b"},
      {"hostname":"user@pds.lantern.test"},{"hostname":"pds.lantern.test?x"},{"hostname":""},{"hostname":"a b"},{}]})",
                           "", kHostsPerPage, &page)
                  .ok());
  ASSERT_EQ(page.entries.size(), 2u);
  EXPECT_EQ(page.entries[0].hostname, "pds.lantern.test");
  EXPECT_EQ(page.entries[0].status, "active");
  EXPECT_EQ(page.entries[0].account_count, 12);
  EXPECT_EQ(page.entries[1].hostname, "localhost:2583");
  EXPECT_EQ(page.entries[1].account_count, 0);
  EXPECT_EQ(page.malformed, 7u);
}

TEST(XrpcAnswers, LatestCommits) {
  LatestCommit commit;
  ASSERT_TRUE(ReadLatestCommit("{\"cid\":\"" + std::string(kCid) + "\",\"rev\":\"" + kRev + "\"}", &commit).ok());
  EXPECT_EQ(commit.cid, kCid);
  EXPECT_EQ(commit.rev, kRev);
  EXPECT_TRUE(absl::IsUnavailable(ReadLatestCommit("{\"cid\":\"" + std::string(kCid) + "\",\"rev\":\"3l4\"}", &commit)));
  EXPECT_TRUE(absl::IsUnavailable(ReadLatestCommit("{\"cid\":\"x\",\"rev\":\"" + std::string(kRev) + "\"}", &commit)));
}

TEST(XrpcAnswers, Descriptions) {
  std::vector<std::string> collections;
  const std::string body = "{\"did\":\"" + std::string(kDid) +
                           "\",\"collections\":[\"app.lantern.post\",7,\"no\",\"a/b\",\"app.lantern.like\"]}";
  ASSERT_TRUE(ReadCollections(body, kDid, &collections).ok());
  EXPECT_THAT(collections, ElementsAre("app.lantern.post", "app.lantern.like"));
  EXPECT_TRUE(absl::IsUnavailable(ReadCollections(body, "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", &collections)));
  EXPECT_TRUE(absl::IsUnavailable(ReadCollections("{}", kDid, &collections)));
}

TEST(XrpcAnswers, ErrorsByName) {
  const auto judge = [](int status, std::string_view body) { return JudgeAnswer(status, "https://pds.lantern.test", body); };
  EXPECT_TRUE(judge(200, "").status.ok());
  for (const char* name : {"RepoTakendown", "RepoSuspended", "RepoDeactivated"}) {
    const XrpcOutcome outcome = judge(400, std::string("{\"error\":\"") + name + "\"}");
    EXPECT_TRUE(absl::IsFailedPrecondition(outcome.status));
    EXPECT_EQ(outcome.error, name);
  }
  EXPECT_TRUE(absl::IsNotFound(judge(400, "{\"error\":\"RepoNotFound\"}").status));
  EXPECT_TRUE(absl::IsNotFound(judge(404, "<html>").status));
  EXPECT_EQ(judge(404, "<html>").error, "");
  EXPECT_TRUE(absl::IsUnavailable(judge(502, "<html>").status));
  EXPECT_TRUE(absl::IsUnavailable(judge(429, "").status));
  EXPECT_TRUE(absl::IsFailedPrecondition(judge(403, "<html>").status));
  for (const XrpcOutcome& unserved : {judge(501, "<html>"), judge(400, "{\"error\":\"MethodNotImplemented\"}"),
                                      judge(404, "{\"error\":\"XRPCNotSupported\"}")}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(unserved.status));
    EXPECT_EQ(unserved.error, kMethodNotServed);
  }
}

}  // namespace
}  // namespace penstock::net
