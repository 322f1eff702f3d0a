// Which listings a rule and a gap come to.

#include "backfill/find_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::backfill {
namespace {

using sync::Listing;
using testing::ElementsAre;
using testing::IsEmpty;

const std::vector<std::string> kNsids = {"com.huddle.booking", "space.atbb.forum.board", "space.atbb.membership",
                                         "space.atbb.post"};

std::vector<std::string> Text(const std::vector<Listing>& listings) {
  std::vector<std::string> lines;
  for (const Listing& listing : listings) {
    EXPECT_TRUE(listing.cursor.empty());
    EXPECT_FALSE(listing.done);
    lines.push_back(listing.host + " " + listing.method + " [" + listing.argument + "]" + (listing.trusted ? "" : " stranger"));
  }
  return lines;
}

FinderOptions Options(std::vector<FinderHost> hosts, std::vector<std::string> collection_hosts = {}) {
  FinderOptions options;
  options.hosts = std::move(hosts);
  options.collection_hosts = std::move(collection_hosts);
  options.known_nsids = kNsids;
  options.rules = {"space.atbb.*", "com.huddle.booking:create"};
  return options;
}
const FinderHost kRelay{"https://relay.example", false}, kSecondRelay{"https://relay2.example", false};
const FinderHost kPds{"https://pds.example", true};

std::vector<std::string> ForRule(std::string_view rule, const FinderOptions& options,
                                 const std::vector<std::string>& nsids = kNsids) {
  return Text(ListingsForRule(rule, nsids, options));
}

TEST(ListingsForRule, AnExactNsidIsAskedForByCollection) {
  EXPECT_THAT(ForRule("space.atbb.post", Options({kRelay})),
              ElementsAre("https://relay.example listReposByCollection [space.atbb.post]"));
  EXPECT_THAT(ForRule("space.atbb.post:create,delete", Options({kRelay})),
              ElementsAre("https://relay.example listReposByCollection [space.atbb.post]"));
  EXPECT_THAT(ForRule("nobody.knows.this", Options({kRelay, kSecondRelay})),
              ElementsAre("https://relay.example listReposByCollection [nobody.knows.this]",
                          "https://relay2.example listReposByCollection [nobody.knows.this]"));
}

TEST(ListingsForRule, ADirectoryOfCollectionsIsAskedInsteadOfTheRelays) {
  EXPECT_THAT(ForRule("space.atbb.post", Options({kRelay}, {"https://directory.example"})),
              ElementsAre("https://directory.example listReposByCollection [space.atbb.post]"));
}

TEST(ListingsForRule, APrefixIsExpanded) {
  EXPECT_THAT(ForRule("space.atbb.*", Options({kRelay})),
              ElementsAre("https://relay.example listReposByCollection [space.atbb.forum.board]",
                          "https://relay.example listReposByCollection [space.atbb.membership]",
                          "https://relay.example listReposByCollection [space.atbb.post]"));
}

TEST(ListingsForRule, WhereNobodyKnowsWhatIsBelowAllAccountsAreLookedAt) {
  EXPECT_THAT(ForRule("app.other.*", Options({kRelay}, {"https://directory.example"})),
              ElementsAre("https://relay.example listHosts [app.other.*]"));
  EXPECT_THAT(ForRule("space.atbb.*", Options({kRelay}), {}), ElementsAre("https://relay.example listHosts [space.atbb.*]"));
}

TEST(ListingsForRule, APdsListsAllThatItHas) {
  EXPECT_THAT(ForRule("space.atbb.*", Options({kPds})), ElementsAre("https://pds.example listRepos [space.atbb.*]"));
  EXPECT_THAT(ForRule("space.atbb.post", Options({kRelay, kPds})),
              ElementsAre("https://relay.example listReposByCollection [space.atbb.post]",
                          "https://pds.example listRepos [space.atbb.post]"));
}

TEST(ListingsForRule, Everything) {
  EXPECT_THAT(ForRule("*", Options({kRelay, kPds}, {"https://directory.example"})),
              ElementsAre("https://relay.example listHosts []", "https://pds.example listRepos []"));
}

TEST(ListingsForRule, NobodyToAsk) { EXPECT_THAT(ForRule("*", Options({})), IsEmpty()); }

sync::OpenGap Gap(std::string source) { return {std::move(source), "0/1", 5, "outdated_cursor", 1}; }

TEST(ListingsForGap, OfARelay) {
  EXPECT_THAT(Text(ListingsForGap(Gap("relay.example"), Options({kRelay, kPds}))),
              ElementsAre("https://relay.example compare []",
                          "https://relay.example listReposByCollection [space.atbb.forum.board]",
                          "https://relay.example listReposByCollection [space.atbb.membership]",
                          "https://relay.example listReposByCollection [space.atbb.post]",
                          "https://relay.example listReposByCollection [com.huddle.booking]"));
}

TEST(ListingsForGap, OfAPds) {
  EXPECT_THAT(Text(ListingsForGap(Gap("PDS.example"), Options({kRelay, kPds}))),
              ElementsAre("https://pds.example compare []", "https://pds.example listRepos [space.atbb.* com.huddle.booking]"));
}

TEST(ListingsForGap, OfASourceThatIsNotFollowedAnyMore) {
  FinderOptions options = Options({kRelay, kSecondRelay, kPds});
  options.rules = {"*"};
  EXPECT_THAT(Text(ListingsForGap(Gap("gone.example"), options)),
              ElementsAre("https://relay.example compare []", "https://relay.example listHosts []",
                          "https://relay2.example listHosts []", "https://pds.example compare []",
                          "https://pds.example listRepos []"));
}

Listing At(std::string host, std::string method, std::string argument) {
  Listing listing;
  listing.run = 3;
  listing.host = std::move(host);
  listing.method = std::move(method);
  listing.argument = std::move(argument);
  listing.trusted = true;
  return listing;
}

TEST(FallbackFor, GoesFromWhatIsCheapToWhatAlwaysWorks) {
  const FinderOptions options = Options({kRelay, kPds}, {"https://directory.example"});
  const auto fallback = [&](const Listing& listing) {
    const std::vector<Listing> next = FallbackFor(listing, options);
    for (const Listing& l : next) EXPECT_EQ(l.run, 3);
    return Text(next);
  };
  EXPECT_THAT(fallback(At("https://directory.example", "listReposByCollection", "a.b.c")),
              ElementsAre("https://relay.example listReposByCollection [a.b.c]"));
  EXPECT_THAT(fallback(At("https://relay.example", "listReposByCollection", "a.b.c")),
              ElementsAre("https://relay.example listHosts [a.b.c]"));
  EXPECT_THAT(fallback(At("https://relay.example", "listHosts", "a.b.c")),
              ElementsAre("https://relay.example listRepos [a.b.c]"));
  EXPECT_THAT(fallback(At("https://relay.example", "listRepos", "a.b.c")), IsEmpty());
  Listing stranger = At("https://other.example", "listReposByCollection", "a.b.c");
  stranger.trusted = false;
  EXPECT_THAT(fallback(stranger), ElementsAre("https://other.example listHosts [a.b.c] stranger"));
}

TEST(Patterns, SplitJoinMatch) {
  EXPECT_THAT(SplitPatterns(""), IsEmpty());
  EXPECT_THAT(SplitPatterns(" a.b.c  d.* "), ElementsAre("a.b.c", "d.*"));
  EXPECT_EQ(JoinPatterns({"a.b.c", "d.*:create", "a.b.c:update"}), "a.b.c d.*");
  EXPECT_EQ(JoinPatterns({"a.b.c", "*"}), "");
  EXPECT_TRUE(MatchesPatterns({}, "x.y.z"));
  EXPECT_TRUE(MatchesPatterns({"a.b.c", "d.*"}, "d.e.f"));
  EXPECT_FALSE(MatchesPatterns({"a.b.c", "d.*"}, "de.f.g"));
}

TEST(HostOf, Origins) {
  EXPECT_EQ(HostOf("https://Relay.example"), "relay.example");
  EXPECT_EQ(HostOf("http://127.0.0.1:2583/"), "127.0.0.1:2583");
  EXPECT_EQ(HostOf("relay.example:443"), "relay.example:443");
}

}  // namespace
}  // namespace penstock::backfill
