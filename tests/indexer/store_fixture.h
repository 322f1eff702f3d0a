#pragma once

// A small vocabulary for tests of the store: made-up commits, and both databases under one name.

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "indexer/change_set.h"
#include "indexer/readers.h"
#include "indexer/store.h"
#include "tests/support/database/postgres_cluster.h"
#include "tests/support/database/temp_folder.h"

namespace penstock::test {

using indexer::ApplyResult;
using indexer::Batch;
using indexer::ChangeSet;
using indexer::ChangeSetPtr;
using indexer::SourceCursor;
using indexer::Store;
using indexer::StoreOptions;
using indexer::Validation;
using indexer::Verification;

inline constexpr std::string_view kAlice = "did:plc:aliceaaaaaaaaaaaaaaaaaaa";
inline constexpr std::string_view kBob = "did:plc:bobbbbbbbbbbbbbbbbbbbbbb";
inline constexpr std::string_view kCarol = "did:web:carol.example";
inline constexpr std::string_view kPost = "space.atbb.post";
inline constexpr std::string_view kRelay = "relay.example";
inline constexpr std::string_view kPds = "pds.example";

// "3kaaaaaaaa" + four digits of base 32, so that a greater number is a greater rev.
std::string Rev(int number);

struct TestRow {
  repo::Action action = repo::Action::kCreate;
  std::string rkey;
  std::string json;                    // the record; its bytes are "cbor of <json>"
  std::vector<std::string> refs = {};  // target URIs
  std::string collection = std::string(kPost);
};
TestRow Create(std::string rkey, std::string json, std::vector<std::string> refs = {});
TestRow Update(std::string rkey, std::string json, std::vector<std::string> refs = {});
TestRow Delete(std::string rkey);

// Makes change sets; each gets the next seq unless told otherwise.
class ChangeMaker {
 public:
  ChangeSetPtr Commit(std::string_view did, int rev, const std::vector<TestRow>& rows,
                      Verification verification = Verification::kFull);
  ChangeSetPtr Account(std::string_view did, bool active, std::string_view status = {});
  ChangeSetPtr DeadLetter(std::string_view did, int32_t op, Reject reject, std::string_view detail);
  ChangeSetPtr Control();  // to add gaps and quarantine to

  // What verification adds.
  ChangeSetPtr Chain(ChangeSetPtr change, sync::SyncState state, int head = 0, std::string_view reason = {});
  ChangeSetPtr Proven(ChangeSetPtr change);  // each of its rows gets a proof of its own
  // A whole repository, of `rows`, that a fetch which began at `started_at` brought.
  ChangeSetPtr Import(std::string_view did, int rev, const std::vector<TestRow>& rows, int64_t started_at,
                      std::vector<std::string> rules = {});
  ChangeSetPtr Purge(std::string_view did, uint64_t rows);
  // An event of the present source, with this seq.
  ChangeSetPtr Held(std::string_view did, int64_t ordinal, int64_t event_seq,
                    std::string_view frame = "frame");
  ChangeSetPtr HeldDone(std::string_view did, int64_t ordinal);
  ChangeSetPtr Identity(std::string_view did, std::string_view handle = {});
  ChangeSetPtr Purged(std::string_view did);

  // For the next change sets.
  std::string_view source = kRelay;
  int64_t seq = 100;

 private:
  ChangeSetPtr Event(indexer::EventKind kind, std::string_view did);
  indexer::ChangeSetRecycler recycler_{64};
};

// The CIDs of the head that Chain gives to an account: the tree and the commit of `rev`.
std::string DataCid(int rev);
std::string CommitCid(int rev);
// A key that parses.
inline constexpr std::string_view kKey = "did:key:zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc";

// To be used with braces: they make the change sets in the order in which they stand.
struct List : std::vector<ChangeSetPtr> {
  template <typename... Changes>
  explicit List(Changes... changes) {
    reserve(sizeof...(changes));
    (push_back(std::move(changes)), ...);
  }
};

// All that the store's tables hold but the times of indexing: table -> rows, each as "column=value" parts.
// JSON is normalised, so that the same content in both databases compares equal.
std::map<std::string, std::vector<std::string>> Contents(Store& store);

// Test parameter: "sqlite" or "postgresql". Each test has a database of its own.
class StoreTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override;
  // A database as good as new; skips the test if there can be none here.
  std::string NewDatabase();

  StoreOptions Options(std::string owner = "first") const;
  std::unique_ptr<Store> NewStore(const StoreOptions& options);
  std::unique_ptr<Store> OpenStore(std::string owner = "first");

  // The queue of the same database, on a connection of its own.
  std::unique_ptr<sync::BackfillStore> NewQueue();

  // Applies with cursors; expects success.
  ApplyResult Apply(const std::vector<ChangeSetPtr>& changes, std::vector<SourceCursor> cursors = {});
  ApplyResult ApplyTo(Store& store, const std::vector<ChangeSetPtr>& changes,
                      std::vector<SourceCursor> cursors = {});
  // The cells of a query's rows, joined by '|'; NULL is "-".
  std::vector<std::string> Rows(std::string_view sql);
  std::vector<std::string> RowsOf(Store& store, std::string_view sql);
  std::string Value(std::string_view sql);

  bool postgres() const { return GetParam() == "postgresql"; }

  FixedClock clock_{1'700'000'000'000'000};
  Counters counters_;
  std::unique_ptr<TempFolder> folder_;
  std::string url_;
  ChangeMaker make_;
  std::unique_ptr<Store> store_;
};

}  // namespace penstock::test
