#pragma once

// One page of one listing: asked for, looked through, and turned into what is saved with its cursor. On the finder's thread
// alone.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "backfill/find_accounts.h"
#include "sync/backfill.h"

namespace penstock::backfill {

// What is remembered of a listing between its pages, in this process.
struct ListingProgress {
  absl::flat_hash_set<uint64_t> cursors;  // hashes of those that it was given, so that it cannot lead in circles
  int empty_pages = 0;                    // in a row
  uint64_t served = 0;                    // when it had its turn, so that each has one
};

class FindPage : public std::enable_shared_from_this<FindPage> {
 public:
  // Pages without an entry that are taken in a row; a host may send some (protocol 8.1), not for ever.
  static constexpr int kMaxEmptyPages = 100;
  // Accounts that a stranger's host may list: several times the largest PDS there is.
  static constexpr uint64_t kMaxStrangers = 5'000'000;
  // In a row, until what a stranger's host refuses is taken as its last word.
  static constexpr int64_t kMaxRefusals = 12;
  // In a row, until accounts that nobody says anything about no longer hold their page up.
  static constexpr int64_t kPatience = 5;

  // `run`: the listing's. `progress` outlives the page.
  FindPage(const FindContext* context, const sync::BackfillRun& run, sync::Listing listing, ListingProgress* progress,
           uint64_t random);

  void Start();
  // After answers came, and when due() has come.
  void Tick();
  bool ended() const { return ended_; }
  bool asking() const;  // requests are under way; otherwise it ended or rests
  int64_t due() const;

  // ---- After it ended
  // Of our own store: nothing is to be saved, the page is to be asked for again.
  const absl::Status& store_status() const { return store_status_; }
  // What is to be saved.
  const sync::Listing& listing() const { return listing_; }
  const std::vector<sync::TaskSeed>& seeds() const { return seeds_; }
  const std::vector<sync::Listing>& further() const { return further_; }
  bool fault() const { return fault_; }

 private:
  void ListKnown();
  void Compare();
  void DescribeOne();
  void OnRepos(const net::XrpcOutcome& outcome, const net::ListedPage<net::ListedRepo>& page);
  void OnHosts(const net::XrpcOutcome& outcome, const net::ListedPage<net::ListedHost>& page);
  // False if it ended the page: a fault, or a cursor that leads nowhere.
  bool AcceptPage(const net::XrpcOutcome& outcome, std::string_view cursor, size_t entries, size_t malformed);
  // Whether a listed account is a task, or a question first (then it is in `questions`).
  absl::Status Sort(const net::ListedRepo& repo, std::vector<AccountQuestion>* questions);
  void Ask(AccountRound::Method method, std::vector<std::string> patterns, std::vector<AccountQuestion> questions);
  void OnRoundEnd();
  void AddSeed(std::string_view did, std::string_view rev, std::string_view host);
  sync::Listing LaterDescription(std::string_view did) const;
  bool Wanted(std::string_view did) const;
  bool IsRelay() const;

  // What ends the page.
  void Finish();
  void Fault(std::string_view cause, int64_t retry_after_us, bool refused);
  void NotServed();
  void StoreFault(const absl::Status& status);

  const FindContext* const context_;
  const sync::BackfillRun run_;
  sync::Listing listing_;
  ListingProgress* const progress_;
  const uint64_t random_;

  std::shared_ptr<AccountRound> round_;
  std::vector<sync::TaskSeed> seeds_;
  std::vector<sync::Listing> further_;
  std::string next_cursor_;
  bool last_ = false;
  bool waiting_ = false;  // for the page itself
  bool ended_ = false, fault_ = false;
  absl::Status store_status_;
};

}  // namespace penstock::backfill
