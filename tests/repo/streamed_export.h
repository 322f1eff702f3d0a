#pragma once

// An archive through repo::ExportStream, beside what repo::ExportVerifier says of it.

#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "repo/export.h"
#include "repo/export_stream.h"
#include "tests/car/memory_spill.h"
#include "tests/repo/tree_testing.h"

namespace penstock::test {

// What was found in an archive.
struct Found {
  std::string outcome;
  std::string commit, rev;                                                  // the commit's CID
  std::vector<std::tuple<std::string, std::string, std::string>> records;   // key, CID, block
  std::vector<std::tuple<std::string, std::string, std::string>> unusable;  // key, CID, name of the Reject
  size_t nodes = 0;

  friend bool operator==(const Found&, const Found&) = default;
};

class Collector : public repo::ExportVisitor {
 public:
  absl::Status OnCommit(const repo::CommitObject& commit, const cbor::CidView& cid, Bytes block) override {
    EXPECT_TRUE(found.commit.empty()) << "once";
    EXPECT_TRUE(cbor::BlockMatches(cid, block));
    found.commit = cid.ToString();
    found.rev = commit.rev;
    return absl::OkStatus();
  }
  absl::Status OnRecord(const repo::ExportedRecord& record) override {
    EXPECT_TRUE(cbor::BlockMatches(record.cid, record.block));
    EXPECT_EQ(std::string(record.path.collection.text()) + "/" + std::string(record.path.rkey.text()), record.key);
    found.records.emplace_back(record.key, record.cid.ToString(), AsText(record.block));
    return absl::OkStatus();
  }
  absl::Status OnUnusable(const repo::UnusableRecord& record) override {
    found.unusable.emplace_back(record.key, record.cid.ToString(), RejectName(record.reject));
    return absl::OkStatus();
  }

  Found found;
};

// In pieces of `piece` bytes, each gone after it was fed.
inline Found Stream(repo::ExportStream& stream, std::string_view car, size_t piece,
                    const repo::ExportStreamOptions& options = {}) {
  Collector collector;
  absl::Status status = stream.Begin(options, &collector);
  while (status.ok() && !car.empty()) {
    std::string bytes(car.substr(0, piece));
    car.remove_prefix(bytes.size());
    status = stream.Feed(AsBytes(bytes));
    bytes.assign(bytes.size(), '?');
  }
  if (status.ok()) status = stream.Finish();
  EXPECT_EQ(stream.Finish(), status) << "the verdict stands";
  EXPECT_EQ(stream.record_count(), collector.found.records.size());
  collector.found.outcome = Outcome(status);
  collector.found.nodes = stream.node_count();
  return collector.found;
}

inline Found Verify(std::string_view car, const repo::ExportOptions& options = {}) {
  repo::ExportVerifier verifier;
  Found found;
  found.outcome = Outcome(verifier.Verify(AsBytes(car), options));
  if (found.outcome != "ok") return found;
  found.commit = verifier.commit_cid().ToString();
  found.rev = verifier.commit().rev;
  EXPECT_TRUE(verifier
                  .VisitRecords([&](const repo::ExportedRecord& record) {
                    found.records.emplace_back(record.key, record.cid.ToString(), AsText(record.block));
                    return absl::OkStatus();
                  })
                  .ok());
  for (const repo::UnusableRecord& record : verifier.unusable()) {
    found.unusable.emplace_back(record.key, record.cid.ToString(), RejectName(record.reject));
  }
  found.nodes = verifier.tree().node_count();
  return found;
}

}  // namespace penstock::test
