#include "indexer/filter.h"

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/firehose/allocation_count.h"

namespace penstock::indexer {
namespace {

using repo::Action;
using testing::AllOf;
using testing::HasSubstr;

constexpr std::string_view kAlice = "did:plc:aliceaaaaaaaaaaaaaaaaaaa";
constexpr std::string_view kBob = "did:plc:bobbbbbbbbbbbbbbbbbbbbbb";

repo::RepoOp Op(std::string_view collection, Action action = Action::kCreate) {
  repo::RepoOp op;
  op.action = action;
  op.collection = collection;
  op.rkey = "self";
  return op;
}

Filter Collections(std::vector<std::string> collections) {
  FilterOptions options;
  options.collections = std::move(collections);
  absl::StatusOr<Filter> filter = Filter::Make(options);
  EXPECT_TRUE(filter.ok()) << filter.status();
  return *std::move(filter);
}

std::string Refusal(const FilterOptions& options) {
  const absl::StatusOr<Filter> filter = Filter::Make(options);
  return filter.ok() ? "accepted" : std::string(filter.status().message());
}

std::string Refusal(const std::string& collection) {
  FilterOptions options;
  options.collections = {"space.atbb.post", collection};
  return Refusal(options);
}

TEST(Filter, AnNsidTakesItsOwnCollectionOnly) {
  const Filter filter = Collections({"space.atbb.post"});
  EXPECT_TRUE(filter.WantsOp(Op("space.atbb.post")));
  EXPECT_FALSE(filter.WantsOp(Op("space.atbb.posts")));
  EXPECT_FALSE(filter.WantsOp(Op("space.atbb.post.draft")));
  EXPECT_FALSE(filter.WantsOp(Op("space.atbb")));
  EXPECT_FALSE(filter.WantsOp(Op("space.atbb.Post"))) << "the name of an NSID is case-sensitive";
}

TEST(Filter, APrefixTakesEverythingBelowItAtAnyDepth) {
  const Filter filter = Collections({"space.atbb.*"});
  EXPECT_TRUE(filter.WantsOp(Op("space.atbb.post")));
  EXPECT_TRUE(filter.WantsOp(Op("space.atbb.forum.board")));
  EXPECT_FALSE(filter.WantsOp(Op("space.atbbs.post"))) << "a prefix ends where a segment ends";
  EXPECT_FALSE(filter.WantsOp(Op("space.atbb")));
  EXPECT_TRUE(Collections({"sh.*"}).WantsOp(Op("sh.tangled.repo")));
}

TEST(Filter, AnExclusionWinsWhereverItStands) {
  for (const Filter& filter : {Collections({"-app.bsky.feed.like", "app.bsky.*", "-app.bsky.graph.*"}),
                               Collections({"app.bsky.*", "-app.bsky.graph.*", "-app.bsky.feed.like"})}) {
    EXPECT_TRUE(filter.WantsOp(Op("app.bsky.feed.post")));
    EXPECT_FALSE(filter.WantsOp(Op("app.bsky.feed.like")));
    EXPECT_FALSE(filter.WantsOp(Op("app.bsky.graph.follow")));
    EXPECT_FALSE(filter.everything());
  }
  EXPECT_FALSE(Collections({"app.bsky.feed.like", "-app.bsky.*"}).WantsOp(Op("app.bsky.feed.like")))
      << "also over an entry that is more exact";
}

TEST(Filter, AnEntryMayNameItsActions) {
  const Filter filter =
      Collections({"space.atbb.post:create,update", "space.atbb.*:delete", "-space.atbb.reaction:delete"});
  EXPECT_TRUE(filter.WantsOp(Op("space.atbb.post", Action::kCreate)));
  EXPECT_TRUE(filter.WantsOp(Op("space.atbb.post", Action::kUpdate)));
  EXPECT_TRUE(filter.WantsOp(Op("space.atbb.post", Action::kDelete))) << "what several entries take adds up";
  EXPECT_FALSE(filter.WantsOp(Op("space.atbb.membership", Action::kCreate)));
  EXPECT_TRUE(filter.WantsOp(Op("space.atbb.membership", Action::kDelete)));
  EXPECT_FALSE(filter.WantsOp(Op("space.atbb.reaction", Action::kDelete)));
}

TEST(Filter, ActionsForAllHoldOverThoseOfAnEntry) {
  FilterOptions options;
  options.collections = {"*", "space.atbb.post:update"};
  options.actions = {"create"};
  const Filter filter = Filter::Make(options).value();
  EXPECT_TRUE(filter.WantsOp(Op("space.atbb.post", Action::kCreate)));
  EXPECT_FALSE(filter.WantsOp(Op("space.atbb.post", Action::kUpdate)));
  EXPECT_FALSE(filter.everything());
}

TEST(Filter, EverythingIsOnlyWhatHasNoRestrictionAtAll) {
  EXPECT_TRUE(Filter::Everything().everything());
  EXPECT_TRUE(Filter::Everything().WantsOp(Op("any.thing.there")));
  EXPECT_TRUE(Collections({"*"}).everything());
  EXPECT_TRUE(Collections({"space.atbb.post", "*"}).everything());
  EXPECT_FALSE(Collections({"*:create"}).everything());
  EXPECT_FALSE(Collections({"*", "-space.atbb.post"}).everything());
  EXPECT_FALSE(Collections({"space.atbb.*"}).everything());
  FilterOptions options;
  options.collections = {"*"};
  options.exclude_dids = {std::string(kBob)};
  EXPECT_FALSE(Filter::Make(options)->everything());
  options.exclude_dids = {};
  options.dids = {std::string(kAlice)};
  EXPECT_FALSE(Filter::Make(options)->everything());
  options.dids = {};
  options.actions = {"create", "update", "delete"};
  EXPECT_TRUE(Filter::Make(options)->everything());
}

TEST(Filter, AccountsAreTakenBySetAndNeverWhenExcluded) {
  FilterOptions options;
  options.collections = {"*"};
  options.dids = {std::string(kAlice), std::string(kBob)};
  options.exclude_dids = {std::string(kBob)};
  const Filter filter = Filter::Make(options).value();
  EXPECT_TRUE(filter.WantsAccount(kAlice));
  EXPECT_FALSE(filter.WantsAccount(kBob)) << "the exclusion wins";
  EXPECT_FALSE(filter.WantsAccount("did:web:carol.example"));
  const std::vector<repo::RepoOp> ops = {Op("space.atbb.post")};
  EXPECT_TRUE(filter.Matches(kAlice, ops));
  EXPECT_FALSE(filter.Matches(kBob, ops));
  EXPECT_TRUE(Collections({"*"}).WantsAccount(kBob));
}

TEST(Filter, ACommitMatchesByAnyOfItsOps) {
  const Filter filter = Collections({"space.atbb.*"});
  EXPECT_TRUE(
      filter.Matches(kAlice, std::vector{Op("app.bsky.feed.post"), Op("space.atbb.post", Action::kDelete)}));
  EXPECT_FALSE(filter.Matches(kAlice, std::vector{Op("app.bsky.feed.post"), Op("app.bsky.feed.like")}));
  EXPECT_FALSE(filter.Matches(kAlice, {})) << "nothing in it";
}

TEST(Filter, AnOpWithoutAValidPathMatchesNoNamedCollection) {
  EXPECT_FALSE(Collections({"space.atbb.*"}).WantsOp(Op("")));
  EXPECT_TRUE(Filter::Everything().WantsOp(Op(""))) << "the commit's check refuses it then, by name";
}

TEST(Filter, ABadEntryIsNamed) {
  for (const char* entry :
       {"app.bsky.fo*", "*.atbb.post", "space.*.post", "space.atbb.**", ".*", "-", "", "space.atbb",
        "space.atbb.post ", "space..atbb.*", "-space.atbb", "1.2.3.*", "space.atbb.post/self", "**"}) {
    EXPECT_THAT(Refusal(entry), HasSubstr("'" + std::string(entry) + "'")) << entry;
  }
  for (const char* entry :
       {"space.atbb.post:creates", "space.atbb.post:", "space.atbb.post:create,", "*:Create"}) {
    EXPECT_THAT(Refusal(entry),
                AllOf(HasSubstr("'" + std::string(entry) + "'"), HasSubstr("create, update or delete")))
        << entry;
  }
}

TEST(Filter, BadDidsAndActionsAreNamed) {
  FilterOptions options;
  options.collections = {"*"};
  options.dids = {"alice.example"};
  EXPECT_THAT(Refusal(options), HasSubstr("'alice.example' is no DID"));
  options.dids = {};
  options.exclude_dids = {std::string(kAlice) + "\n"};
  EXPECT_THAT(Refusal(options), HasSubstr("is no DID"));
  options.exclude_dids = {};
  options.actions = {"create", "upsert"};
  EXPECT_THAT(Refusal(options), HasSubstr("'upsert'"));
}

TEST(Filter, NothingIncludedIsAMistake) {
  EXPECT_THAT(Refusal(FilterOptions()), HasSubstr("no collection is wanted"));
  FilterOptions options;
  options.collections = {"-app.bsky.*"};
  EXPECT_THAT(Refusal(options), HasSubstr("no collection is wanted"));
}

TEST(Filter, MatchingAllocatesNothing) {
  FilterOptions options;
  options.collections = {"space.atbb.*", "sh.tangled.repo", "-space.atbb.reaction", "com.huddle.*:create"};
  options.dids = {std::string(kAlice)};
  options.exclude_dids = {std::string(kBob)};
  const Filter filter = Filter::Make(options).value();
  const std::vector<repo::RepoOp> ops = {Op("app.bsky.feed.post"), Op("com.huddle.booking", Action::kUpdate),
                                         Op("space.atbb.forum.themePolicy")};
  size_t matched = 0;
  const uint64_t before = test::AllocationCount();
  for (int i = 0; i < 1000; ++i) matched += filter.Matches(kAlice, ops) && !filter.Matches(kBob, ops);
  EXPECT_EQ(test::AllocationCount(), before);
  EXPECT_EQ(matched, 1000u);
}

}  // namespace
}  // namespace penstock::indexer
