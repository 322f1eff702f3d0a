// `penstock verify --store`: an intact store holds, and whatever somebody changes in it is found.

#include "app/verify_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "base/encoding.h"
#include "base/status.h"
#include "boost/json.hpp"
#include "cbor/json_out.h"
#include "tests/indexer/store_fixture.h"
#include "tests/repo/account_testing.h"
#include "tests/support/database/fault_proxy.h"
#include "tests/support/database/sql.h"

namespace penstock::test {
namespace {

using app::VerifyStoreOptions;
using app::VerifyStoreReport;
using builder::Write;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr std::string_view kCollection = "app.bsky.feed.post";

std::string Path(int i) { return std::string(kCollection) + "/" + std::to_string(1000 + i); }

class VerifyStoreTest : public StoreTest {
 protected:
  // A commit of `account` as rows with their proofs.
  ChangeSetPtr Rows(builder::Account& account, const std::vector<Write>& writes, bool proofs = true) {
    const ClaimedCommit message(account.Commit(writes, builder::kFixtureEpoch));
    repo::CheckedCommit checked;
    EXPECT_TRUE(checker_.Check(message.claim(), builder::kFixtureEpoch + builder::kDay, &checked).ok());
    ChangeSetPtr change = make_.Commit(account.did(), 1, {});
    Arena& arena = change->arena;
    change->rev = arena.Copy(message.message().rev);
    change->commit_cid = arena.Copy(message.message().commit.ToString());
    if (proofs) change->proof_key = arena.Copy(account.key().DidKey());
    for (size_t i = 0; i < message.claim().ops.size(); ++i) {
      const repo::RepoOp& op = message.claim().ops[i];
      indexer::RecordRow row;
      row.collection = arena.Copy(op.collection);
      row.rkey = arena.Copy(op.rkey);
      row.op = op.action;
      if (op.action != repo::Action::kDelete) {
        row.cid = arena.Copy(op.cid.ToString());
        row.cbor = arena.Copy(checked.records[i]);
        std::string json;
        cbor::JsonOptions options;
        options.replace_nul = true;
        EXPECT_TRUE(cbor::AppendJson(row.cbor, options, &json, &row.value_lossy).ok());
        row.value = arena.Copy(json);
        std::string car;
        EXPECT_TRUE(writer_.Append(checked, checker_.blocks(), op.path, &car).ok());
        if (proofs) row.proof = arena.Copy(AsBytes(car));
      }
      change->records.push_back(row);
    }
    return change;
  }
  // Some of everything: creates, an update, a delete, text with U+0000, two accounts and both curves.
  void Fill() {
    std::vector<Write> writes;
    for (int i = 0; i < 20; ++i) writes.push_back(Write::Create(Path(i), Post("post " + std::to_string(i))));
    writes.push_back(Write::Create(Path(20), Post(std::string_view("nul \0 <\"> \xC3\xA9", 13))));
    Apply(List{Rows(alice_, writes),
               Rows(alice_, {Write::Update(Path(3), Post("changed")), Write::Delete(Path(4))}),
               Rows(bob_, {Write::Create(Path(1), Post("of another curve"))})});
    Apply(List{Rows(bob_, {Write::Create(Path(2), Post("without a proof"))}, /*proofs=*/false)});
  }

  VerifyStoreReport Verify(VerifyStoreOptions options = {}) {
    options.url = options.url.empty() ? url_ : options.url;
    char* text = nullptr;
    size_t size = 0;
    options.out = open_memstream(&text, &size);
    VerifyStoreReport report;
    status_ = app::VerifyStore(options, &report);
    std::fclose(options.out);
    const std::string all(text, size);
    free(text);
    lines_.clear();
    for (size_t at = 0; at < all.size();) {
      const size_t end = all.find('\n', at);
      lines_.push_back(all.substr(at, end - at));
      at = end + 1;
    }
    return report;
  }
  // The findings' names, each with its row's last three digits.
  std::vector<std::string> Findings() {
    Verify();
    EXPECT_TRUE(status_.ok()) << status_;
    std::vector<std::string> findings;
    for (size_t i = 0; i + 1 < lines_.size(); ++i) {
      const size_t colon = lines_[i].find(": ");
      const size_t end = lines_[i].find(": ", colon + 2);
      findings.push_back(lines_[i].substr(colon - 3, 5) + lines_[i].substr(colon + 2, end - colon - 2));
    }
    return findings;
  }
  std::string Where(int i) {
    return " WHERE rkey = '" + std::to_string(1000 + i) + "' AND did = '" + alice_.did() + "'";
  }
  std::string Bytes(const std::string& hex) {
    return postgres() ? "'\\x" + hex + "'::bytea" : "x'" + hex + "'";
  }
  // Flips one bit of what a column of one row holds.
  void Flip(const std::string& table, const std::string& column, int row, size_t bit) {
    const std::string hex = Value("SELECT " + column + " FROM " + table + Where(row));
    std::vector<uint8_t> bytes = *FromHex(hex);
    ASSERT_LT(bit / 8, bytes.size());
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    RunSql(url_, "UPDATE " + table + " SET " + column + " = " + Bytes(ToHex(bytes)) + Where(row));
  }

  builder::Account alice_ = MakeAccount(builder::Curve::kK256, 1);
  builder::Account bob_ = MakeAccount(builder::Curve::kP256, 2);
  repo::CommitChecker checker_;
  repo::RecordProofWriter writer_;
  absl::Status status_;
  std::vector<std::string> lines_;
};
INSTANTIATE_TEST_SUITE_P(Store, VerifyStoreTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& param) { return param.param; });

TEST_P(VerifyStoreTest, AnIntactStoreHolds) {
  Fill();
  const VerifyStoreReport report = Verify();
  EXPECT_TRUE(status_.ok()) << status_;
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.counts.rows, 23u);
  EXPECT_EQ(report.counts.tombstones, 1u);
  EXPECT_EQ(report.counts.proofs, 21u);
  EXPECT_EQ(report.counts.signatures, 21u);
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_THAT(lines_[0], StartsWith("23 rows, "));
  EXPECT_THAT(lines_[0], HasSubstr("1 tombstones, 21 proofs (21 to the signature): all of it holds"));
}

TEST_P(VerifyStoreTest, AnEmptyStoreHolds) {
  const VerifyStoreReport report = Verify();
  EXPECT_TRUE(status_.ok());
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.counts.rows, 0u);
}

TEST_P(VerifyStoreTest, EveryBitOfTheSignedBytesCounts) {
  Fill();
  const size_t bits = Value("SELECT cbor FROM record" + Where(7)).size() * 4;
  for (size_t bit = 0; bit < bits; bit += 37) {
    Flip("record", "cbor", 7, bit);
    EXPECT_THAT(Findings(), testing::Contains("007: row_cid_mismatch")) << bit;
    Flip("record", "cbor", 7, bit);
  }
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_P(VerifyStoreTest, EveryPartOfTheProofCounts) {
  Fill();
  const size_t bits = Value("SELECT proof FROM record_proof" + Where(7)).size() * 4;
  for (size_t bit = 0; bit < bits; bit += 203) {
    Flip("record_proof", "proof", 7, bit);
    EXPECT_EQ(Findings().size(), 1u) << bit;
    Flip("record_proof", "proof", 7, bit);
  }
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_P(VerifyStoreTest, WhatIsChangedInARowIsFound) {
  Fill();
  const auto finds = [&](const std::string& table, const std::string& change, const auto& matcher) {
    SCOPED_TRACE(change);
    RunSql(url_, "CREATE TABLE saved AS SELECT * FROM " + table + "; UPDATE " + table + " SET " + change);
    EXPECT_THAT(Findings(), matcher);
    RunSql(url_,
           "DELETE FROM " + table + "; INSERT INTO " + table + " SELECT * FROM saved; DROP TABLE saved");
    EXPECT_THAT(Findings(), IsEmpty());
  };
  const std::string other = "(SELECT cid FROM record" + Where(8) + ")";
  finds("record", "cid = " + other + Where(7),
        ElementsAre("007: row_cid_mismatch", "007: proof_cid_mismatch"));
  finds("record", "cid = 'nonsense'" + Where(7),
        ElementsAre("007: cid_malformed", "007: proof_cid_mismatch"));
  finds("record", "cid = 'bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku'" + Where(7),
        ElementsAre("007: cid_unsupported", "007: proof_cid_mismatch"));
  finds("record", "cid = NULL" + Where(7), ElementsAre("007: row_without_bytes", "007: proof_cid_mismatch"));
  finds("record", "cbor = NULL" + Where(7), ElementsAre("007: row_without_bytes"));
  finds("record", "cbor = (SELECT cbor FROM record" + Where(8) + ")" + Where(7),
        ElementsAre("007: row_cid_mismatch", "007: row_value_mismatch"));
  finds("record", "value = '{}'" + Where(7), ElementsAre("007: row_value_mismatch"));
  finds("record", "value = NULL" + Where(7), ElementsAre("007: row_value_mismatch"));
  finds("record", "value_lossy = FALSE" + Where(20), ElementsAre("020: row_value_mismatch"));
  finds("record", "rev = '3kaaaaaaaaaaa'" + Where(7), ElementsAre("007: proof_other_state"));
  finds("record", "rev = 'soon'" + Where(7), ElementsAre("007: syntax_tid", "007: proof_other_state"));
  finds("record", "commit_cid = cid" + Where(7), ElementsAre("007: proof_other_state"));
  finds("record", "verification = 'sworn'" + Where(7), ElementsAre("007: row_bad_word"));
  finds("record", "validation = 'invalid'" + Where(7), ElementsAre("007: row_value_mismatch"));
  finds("record", "deleted = TRUE" + Where(7), ElementsAre("007: row_tombstone_with_data"));
  finds("record", "collection = 'app.bsky.feed.like'" + Where(7), ElementsAre("007: record_type_mismatch"));
  // Proofs: of another account, of another commit, under another key.
  finds("record_proof",
        "proof = (SELECT proof FROM record_proof WHERE did = '" + bob_.did() + "')" + Where(7),
        ElementsAre("007: commit_did_mismatch"));
  finds("record_proof",
        "(proof, rev, commit_cid) = (SELECT proof, rev, commit_cid FROM record_proof" + Where(3) + ")" +
            Where(7),
        ElementsAre(testing::AnyOf("007: proof_other_state", "007: mst_partial")));
  finds("record_proof", "did_key = '" + bob_.key().DidKey() + "'" + Where(7),
        ElementsAre("007: signature_mismatch"));
  finds("record_proof", "did_key = 'did:key:z'" + Where(7), ElementsAre("007: key_malformed"));
  finds("record_proof", "rev = '3kaaaaaaaaaaa'" + Where(7), ElementsAre("007: proof_other_state"));
}

TEST_P(VerifyStoreTest, AProofKeptWithoutAKeyHoldsAsFarAsItGoes) {
  Fill();
  RunSql(url_, "UPDATE record_proof SET did_key = NULL" + Where(7));
  const VerifyStoreReport report = Verify();
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.counts.proofs, 21u);
  EXPECT_EQ(report.counts.signatures, 20u);
}

TEST_P(VerifyStoreTest, WhatIsNoValidDataIsHashedAllTheSame) {
  auto change = Rows(alice_, {Write::Create(Path(1), builder::Item::Int(5))}, false);
  change->records[0].validation = Validation::kInvalid;
  change->records[0].value = {};
  auto unhashable = Rows(alice_, {Write::Create(Path(2), Post("x"))}, false);
  unhashable->records[0].validation = Validation::kInvalid;
  unhashable->records[0].cid = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
  unhashable->records[0].cbor = {};
  unhashable->records[0].value = {};
  Apply(List{std::move(change), std::move(unhashable)});
  const VerifyStoreReport report = Verify();
  EXPECT_TRUE(report.ok()) << lines_[0];
  EXPECT_EQ(report.counts.unhashable, 1u);
  Flip("record", "cbor", 1, 0);
  EXPECT_THAT(Findings(), ElementsAre("001: row_cid_mismatch"));
}

TEST_P(VerifyStoreTest, SpeaksJson) {
  Fill();
  Flip("record", "cbor", 7, 100);
  VerifyStoreOptions options;
  options.json = true;
  const VerifyStoreReport report = Verify(options);
  EXPECT_FALSE(report.ok());
  EXPECT_TRUE(report.complete);
  EXPECT_EQ(report.counts.failed, 1u);
  ASSERT_GE(lines_.size(), 2u);
  const auto first = boost::json::parse(lines_[0]).as_object();
  EXPECT_EQ(first.at("uri").as_string(), "at://" + alice_.did() + "/" + Path(7));
  EXPECT_EQ(first.at("finding").as_string(), "row_cid_mismatch");
  const auto last = boost::json::parse(lines_.back()).as_object();
  EXPECT_EQ(last.at("verdict").as_string(), "failed");
  EXPECT_EQ(last.at("rows").to_number<int>(), 23);
  EXPECT_EQ(last.at("failed").to_number<int>(), 1);
}

TEST_P(VerifyStoreTest, CanBeStoppedAndTakenUpAgain) {
  std::vector<Write> writes;
  for (int i = 0; i < 150; ++i) writes.push_back(Write::Create(Path(i), Post("post")));
  Apply(List{Rows(alice_, writes)});
  Flip("record", "cbor", 2, 100);
  VerifyStoreOptions options;
  const TempFolder folder;
  options.resume_file = (folder.path() / "resume").string();
  // Stopped while it prints its first finding.
  std::atomic<bool> stop = false;
  options.stop = &stop;
  VerifyStoreReport report;
  options.url = url_;
  cookie_io_functions_t io = {};
  io.write = [](void* cookie, const char*, size_t size) -> ssize_t {
    static_cast<std::atomic<bool>*>(cookie)->store(true);
    return static_cast<ssize_t>(size);
  };
  options.out = fopencookie(&stop, "w", io);
  setvbuf(options.out, nullptr, _IONBF, 0);
  ASSERT_TRUE(app::VerifyStore(options, &report).ok());
  std::fclose(options.out);
  EXPECT_FALSE(report.complete);
  EXPECT_EQ(report.counts.rows, 3u);
  EXPECT_EQ(report.counts.failed, 1u);
  EXPECT_EQ(report.after, "at://" + alice_.did() + "/" + Path(2));
  EXPECT_TRUE(std::filesystem::exists(options.resume_file));

  // By hand: only the rest is seen.
  VerifyStoreOptions by_hand;
  by_hand.after = report.after;
  EXPECT_EQ(Verify(by_hand).counts.rows, 147u);
  // By the file: the first finding is not forgotten, and the file goes.
  stop = false;
  const VerifyStoreReport whole = Verify(options);
  EXPECT_TRUE(whole.complete);
  EXPECT_EQ(whole.counts.rows, 150u);
  EXPECT_EQ(whole.counts.failed, 1u);
  EXPECT_THAT(lines_, ElementsAre(HasSubstr("150 rows")));
  EXPECT_THAT(lines_[0], HasSubstr("1 ROWS DO NOT VERIFY"));
  EXPECT_FALSE(std::filesystem::exists(options.resume_file));
}

TEST_P(VerifyStoreTest, AResumeFileThatDoesNotFitIsRefused) {
  const TempFolder folder;
  VerifyStoreOptions options;
  options.resume_file = (folder.path() / "resume").string();
  std::ofstream(options.resume_file) << "store 00\nafter at://did:plc:x/a.b.c/y\nrows 5\n";
  Verify(options);
  EXPECT_EQ(status_.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(lines_, IsEmpty());
  options.after = "at://did:plc:x/a.b.c/y";
  Verify(options);
  EXPECT_EQ(status_.code(), absl::StatusCode::kInvalidArgument);
  options.resume_file.clear();
  for (const char* after : {"did:plc:x", "at://did:plc:x", "at://did:plc:x/a.b.c"}) {
    options.after = after;
    Verify(options);
    EXPECT_EQ(status_.code(), absl::StatusCode::kInvalidArgument) << after;
  }
}

TEST_P(VerifyStoreTest, MoreRowsThanOneStatementReads) {
  std::vector<ChangeSetPtr> changes;
  for (int commit = 0; commit < 13; ++commit) {
    std::vector<Write> writes;
    for (int i = 0; i < 180; ++i) writes.push_back(Write::Create(Path(commit * 180 + i), Post("post")));
    changes.push_back(Rows(alice_, writes, false));
  }
  Apply(changes);
  const VerifyStoreReport report = Verify();
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.counts.rows, 2340u);
}

TEST_P(VerifyStoreTest, AStoreThatIsNotThereIsSaidAtOnce) {
  VerifyStoreOptions options;
  options.url = "sqlite:/nowhere/at/all.db";
  EXPECT_FALSE(Verify(options).ok());
  EXPECT_EQ(status_.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(lines_, IsEmpty());
}

TEST_P(VerifyStoreTest, AConnectionThatIsLostIsMadeAgain) {
  if (!postgres()) return;  // a file has none
  std::vector<Write> writes;
  for (int i = 0; i < 190; ++i) writes.push_back(Write::Create(Path(i), Post("post")));
  Apply(List{Rows(alice_, writes)});
  std::string why_not;
  FaultProxy proxy(PostgresCluster::Shared(&why_not)->socket_path());
  VerifyStoreOptions options;
  options.url = PostgresCluster::Through(url_, proxy.port());
  using enum FaultProxy::Direction;
  Verify(options);
  const uint64_t bytes = proxy.bytes(kToClient);
  proxy.CutAfter(kToClient, bytes * 2 / 3);
  const VerifyStoreReport report = Verify(options);
  EXPECT_TRUE(status_.ok()) << status_;
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.counts.rows, 190u) << "each once";
  EXPECT_EQ(proxy.connections(), 3);
}

}  // namespace
}  // namespace penstock::test
