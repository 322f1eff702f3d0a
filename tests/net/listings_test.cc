// Listings, descriptions and latest commits, asked of hosts over real sockets.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fixtures/builder/account.h"
#include "fixtures/builder/fake_time.h"
#include "fixtures/directory/directory.h"
#include "net/xrpc_client.h"

namespace penstock::net {
namespace {

using fixtures::Directory;
using fixtures::HostedRepo;
using fixtures::HostingFault;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

template <typename Value>
struct Answer {
  XrpcOutcome outcome;
  Value value;
};

class ListingsTest : public testing::Test {
 protected:
  ListingsTest() {
    options_.http.allow_private_addresses = true;
    options_.timeout = std::chrono::milliseconds(500);
    options_.gate.per_second = options_.gate.burst = 1000;
    for (int i = 0; i < 25; ++i) {
      HostedRepo repo;
      repo.did = "did:web:a" + std::to_string(100 + i) + ".lantern.test";
      repo.rev = "3l4abcdefgh2k";
      repo.head = "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm";
      repo.collections = {"app.lantern.post"};
      if (i % 5 == 0) repo.collections.emplace_back("space.atbb.post");
      repos_.push_back(repo);
      host_->hosting().SetRepo("", std::move(repo));
    }
  }

  // Calls `ask` with a callback, and waits for what it is called with.
  template <typename Value, typename Ask>
  Answer<Value> Wait(Ask ask) {
    if (client_ == nullptr) client_ = *XrpcClient::Create(options_, &clock_, &counters_);
    std::promise<Answer<Value>> promise;
    ask([&](const XrpcOutcome& outcome, const Value& value) { promise.set_value({outcome, value}); });
    return promise.get_future().get();
  }
  XrpcHost Host() const { return {host_->url(), false}; }
  Answer<ListedPage<ListedRepo>> Repos(std::string_view cursor) {
    return Wait<ListedPage<ListedRepo>>([&](auto done) { client_->ListRepos(Host(), cursor, done); });
  }
  Answer<ListedPage<ListedRepo>> ReposOf(std::string_view collection, std::string_view cursor) {
    return Wait<ListedPage<ListedRepo>>(
        [&](auto done) { client_->ListReposByCollection(Host(), collection, cursor, done); });
  }
  Answer<ListedPage<ListedHost>> Hosts(std::string_view cursor) {
    return Wait<ListedPage<ListedHost>>([&](auto done) { client_->ListHosts(Host(), cursor, done); });
  }
  Answer<std::vector<std::string>> Collections(std::string_view did) {
    return Wait<std::vector<std::string>>([&](auto done) { client_->DescribeRepo(Host(), did, done); });
  }
  Answer<LatestCommit> Latest(std::string_view did) {
    return Wait<LatestCommit>([&](auto done) { client_->GetLatestCommit(Host(), did, done); });
  }

  FixedClock clock_{0};
  Counters counters_;
  XrpcClientOptions options_;
  std::vector<HostedRepo> repos_;
  std::unique_ptr<Directory> host_ = *Directory::Start();
  std::unique_ptr<XrpcClient> client_;
};

TEST_F(ListingsTest, PageByPageToTheEnd) {
  host_->hosting().SetPageLimit(10);
  std::set<std::string> dids;
  std::string cursor;
  int pages = 0;
  do {
    const auto [outcome, page] = Repos(cursor);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    for (const ListedRepo& repo : page.entries) {
      dids.insert(repo.did);
      EXPECT_EQ(repo.rev, "3l4abcdefgh2k");
      EXPECT_FALSE(repo.head.empty());
      EXPECT_TRUE(repo.active);
    }
    cursor = page.cursor;
    ++pages;
  } while (!cursor.empty());
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(dids.size(), repos_.size());
  const auto log = host_->hosting().log();
  EXPECT_THAT(log[0].target, EndsWith("listRepos?limit=1000"));
  EXPECT_THAT(log[1].target, HasSubstr("?limit=1000&cursor=did:web:a109.lantern.test"));
}

TEST_F(ListingsTest, ThoseThatHaveACollection) {
  host_->hosting().SetPageLimit(3);
  const auto [outcome, first] = ReposOf("space.atbb.post", "");
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  ASSERT_EQ(first.entries.size(), 3u);
  EXPECT_EQ(first.entries[1].did, "did:web:a105.lantern.test");
  EXPECT_EQ(first.entries[1].rev, "");
  const auto second = ReposOf("space.atbb.post", first.cursor).value;
  EXPECT_EQ(second.entries.size(), 2u);
  EXPECT_EQ(second.cursor, "");
  EXPECT_EQ(ReposOf("space.atbb.forum", "").value.entries.size(), 0u);
  EXPECT_THAT(host_->hosting().log()[0].target, EndsWith("?collection=space.atbb.post&limit=2000"));
}

TEST_F(ListingsTest, Hosts) {
  EXPECT_EQ(Hosts("").outcome.error, kMethodNotServed) << "a PDS";
  host_->hosting().SetHosts("", {{"a.lantern.test", "active", 3}, {"b.lantern.test", "offline", 0}});
  host_->hosting().SetPageLimit(1);
  const auto [outcome, page] = Hosts("");
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(page.entries.at(0).hostname, "a.lantern.test");
  EXPECT_EQ(page.entries.at(0).account_count, 3);
  EXPECT_EQ(Hosts(page.cursor).value.entries.at(0).status, "offline");
  EXPECT_EQ(Hosts(page.cursor).value.cursor, "");
}

TEST_F(ListingsTest, AHostThatDoesNotServeTheMethod) {
  for (const HostingFault& fault : {HostingFault::NotServed(), HostingFault::Status(404), HostingFault::Status(501),
                                    HostingFault::Status(404, "XRPCNotSupported")}) {
    host_->hosting().ClearFaults();
    host_->hosting().AddFault(fault);
    for (const XrpcOutcome& outcome : {Repos("").outcome, ReposOf("space.atbb.post", "").outcome, Hosts("").outcome}) {
      EXPECT_TRUE(absl::IsFailedPrecondition(outcome.status)) << outcome.status;
      EXPECT_EQ(outcome.error, kMethodNotServed);
    }
  }
  int64_t retry_after = 0;
  EXPECT_FALSE(client_->IsBusy(host_->url(), &retry_after)) << "it works, but does not have this";
}

TEST_F(ListingsTest, FaultsOnTheWay) {
  host_->hosting().AddFault(HostingFault::Status(500).Times(1));
  EXPECT_TRUE(absl::IsUnavailable(Repos("").outcome.status));
  host_->hosting().AddFault(HostingFault::Page().Times(1));
  const XrpcOutcome page = Repos("").outcome;
  EXPECT_TRUE(absl::IsUnavailable(page.status)) << page.status;
  EXPECT_GE(page.retry_after_us, 10'000'000) << "not a matter of seconds";
  host_->hosting().AddFault(HostingFault::CutAt(100).Times(1));
  EXPECT_TRUE(absl::IsUnavailable(Repos("").outcome.status));
  HostingFault stuck;
  stuck.reply = fixtures::DirectoryReply::Of(200, R"({"cursor":"here","repos":[]})");
  host_->hosting().AddFault(stuck);
  EXPECT_TRUE(Repos("").outcome.status.ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Repos("here").outcome.status));
}

TEST_F(ListingsTest, PagesAreBoundedInBytes) {
  options_.max_page_bytes = 500;
  const auto [outcome, page] = Repos("");
  EXPECT_TRUE(absl::IsFailedPrecondition(outcome.status)) << outcome.status;
  EXPECT_EQ(page.entries.size(), 0u);
}

TEST_F(ListingsTest, DescriptionsAndLatestCommits) {
  EXPECT_THAT(Collections(repos_[0].did).value, ElementsAre("app.lantern.post", "space.atbb.post"));
  const auto [outcome, latest] = Latest(repos_[0].did);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(latest.rev, repos_[0].rev);
  EXPECT_EQ(latest.cid, repos_[0].head);
  EXPECT_EQ(host_->hosting().Count("describeRepo", repos_[0].did), 1u);

  EXPECT_TRUE(absl::IsNotFound(Collections("did:web:nobody.lantern.test").outcome.status));
  host_->hosting().SetStatus("", repos_[0].did, false, "deactivated");
  EXPECT_EQ(Latest(repos_[0].did).outcome.error, "RepoDeactivated");
  EXPECT_EQ(Collections(repos_[0].did).outcome.error, "RepoDeactivated");
  const ListedRepo listed = Repos("").value.entries.at(0);
  EXPECT_FALSE(listed.active);
  EXPECT_EQ(listed.status, "deactivated");
}

TEST_F(ListingsTest, TheHostKnowsWhatAnArchiveSays) {
  builder::Account account({.seed = 7, .handle = "ada.lantern.test"});
  const builder::Item record = builder::Item::Map({{"text", "hello"}});
  account.Commit({builder::Write::Create("space.atbb.post/a", record), builder::Write::Create("app.lantern.post/a", record)},
                 builder::kFixtureEpoch);
  host_->hosting().SetRepo("", *HostedRepo::FromAccount(account));
  EXPECT_EQ(Latest(account.did()).value.rev, account.rev());
  EXPECT_THAT(Collections(account.did()).value, ElementsAre("app.lantern.post", "space.atbb.post"));
  EXPECT_FALSE(HostedRepo::FromCar("no archive").ok());
}

// Every listing and question passes the gate, also where it is redirected to.
TEST_F(ListingsTest, RedirectsAreFollowed) {
  const auto other = *Directory::Start();
  other->hosting().SetRepo("", repos_[3]);
  host_->hosting().AddFault(HostingFault::RedirectTo(other->url()));
  const auto [outcome, page] = Repos("");
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  ASSERT_EQ(page.entries.size(), 1u);
  EXPECT_EQ(page.entries[0].did, repos_[3].did);
  EXPECT_EQ(counters_.Of("xrpc_redirects"), 1u);
}

}  // namespace
}  // namespace penstock::net
