#include "app/verify_car.h"

#include <map>
#include <vector>

#include "app/inspect_text.h"
#include "app/progress.h"
#include "base/file_spill.h"
#include "base/status.h"
#include "car/block_index.h"
#include "cbor/json_out.h"
#include "cbor/record_data.h"
#include "fmt/format.h"
#include "repo/commit_check.h"
#include "repo/export_stream.h"
#include "repo/mst_node.h"
#include "repo/record_proof.h"
#include "repo/verify.h"

namespace penstock::app {
namespace {

constexpr size_t kPieceBytes = size_t{256} * 1024;  // of a file, at once

// One commit with the block that it was read from.
struct Signed {
  const repo::CommitObject& commit;
  Bytes block;
};

std::string TimeOfRev(std::string_view rev) {
  const std::optional<repo::Tid> tid = repo::Tid::Parse(rev);
  return tid ? TimeText(tid->micros()) : "";
}

void TellCommit(const Signed& of, const cbor::CidView& cid, VerifyReport* report) {
  const repo::CommitObject& commit = of.commit;
  const std::string rev =
      commit.rev.empty() ? "none" : fmt::format("{} ({})", commit.rev, TimeOfRev(commit.rev));
  report->Ok("commit", fmt::format("{} of {}, rev {}, version {}", cid.ToString(), commit.did.text(), rev,
                                   commit.version));
  report->Member("did", commit.did.text());
  report->Member("rev", commit.rev);
  report->Member("version", commit.version);
  report->Member("commit", cid.ToString());
  report->Member("data", commit.data.ToString());
}

// Whose the commit is. False: a step failed.
bool CheckSigner(const Signed& of, const Signer& signer, VerifyReport* report) {
  std::optional<crypto::PublicKey> key = signer.key;
  std::string more;
  if (!key) {
    const absl::StatusOr<identity::IdentityPtr> found = signer.find(of.commit.did.text());
    if (!found.ok()) {
      report->Fail("key", found.status());
      return false;
    }
    const identity::Identity& identity = **found;
    if (identity.fault) {
      report->Fail("key", RejectError(*identity.fault, of.commit.did.text()));
      return false;
    }
    key = identity.key;
    if (!identity.handle.empty()) more.append(", claims ").append(identity.handle);
    if (!identity.pds.empty()) more.append(", on ").append(identity.pds);
    report->Member("handle", identity.handle);
    report->Member("pds", identity.pds);
  }
  report->Ok("key", fmt::format("{} ({}), from {}{}", key->did_key(), crypto::CurveName(key->curve()),
                                signer.origin, more));
  report->Member("key", key->did_key());
  report->Member("key_from", signer.origin);
  std::string scratch;
  if (absl::Status status = repo::CheckCommitSignature(*key, of.block, of.commit, &scratch); !status.ok()) {
    report->Fail("signature", status);
    return false;
  }
  report->Ok("signature", "this key signed the commit");
  return true;
}

absl::Status CheckRev(std::string_view rev, int64_t now_us) {
  const std::optional<repo::Tid> tid = repo::Tid::Parse(rev);
  if (tid && tid->micros() > now_us + repo::kMaxFutureUs) return RejectError(Reject::kCommitFutureRev, rev);
  return absl::OkStatus();
}

std::string_view StepName(repo::ExportStep step) {
  switch (step) {
    case repo::ExportStep::kBlocks:
      return "blocks";
    case repo::ExportStep::kCommit:
      return "commit";
    case repo::ExportStep::kTree:
      return "tree";
    case repo::ExportStep::kRecords:
      return "records";
  }
  return "";
}

// Looks at a repository as it comes: whose it is at once, what is in it at the end.
class RepositoryTale final : public repo::ExportVisitor {
 public:
  RepositoryTale(const Signer& signer, VerifyReport* report) : signer_(signer), report_(report) {}

  // A step of ours failed: the rest need not come.
  bool ended() const { return ended_; }

  absl::Status OnCommit(const repo::CommitObject& commit, const cbor::CidView& cid, Bytes block) override {
    const Signed of{commit, block};
    TellCommit(of, cid, report_);
    ended_ = !CheckSigner(of, signer_, report_);
    return ended_ ? FailedPreconditionError("told already") : absl::OkStatus();
  }
  // The account signed them all, good data or not.
  absl::Status OnRecord(const repo::ExportedRecord& record) override {
    ++collections_.try_emplace(std::string(record.path.collection.text()), 0).first->second;
    cbor::RecordReport ignored;
    const absl::Status data = cbor::CheckRecord(record.block, record.path.collection.text(), &ignored);
    if (!data.ok() && invalid_++ < kExamples)
      odd_.push_back(fmt::format("{}: {}", record.key, Message(data)));
    return absl::OkStatus();
  }
  absl::Status OnUnusable(const repo::UnusableRecord& record) override {
    if (unusable_++ < kExamples) {
      odd_.push_back(fmt::format("{} -> {}: {}", Printable(record.key), record.cid.ToString(),
                                 RejectName(record.reject)));
    }
    return absl::OkStatus();
  }

  void TellRecords(size_t count) const {
    report_->Ok("records", fmt::format("{} in {}, each hashes to its CID in the tree", Grouped(count),
                                       Counted(collections_.size(), "collection")));
    if (invalid_ > 0)
      report_->Remark(fmt::format("{} of them no valid data, signed all the same", Grouped(invalid_)));
    if (unusable_ > 0)
      report_->Remark(fmt::format("{} that cannot be records", Counted(unusable_, "more key")));
    for (const std::string& odd : odd_) report_->Remark("  " + odd);
    report_->Member("records", static_cast<int64_t>(count));
    report_->Member("invalid_records", static_cast<int64_t>(invalid_));
    report_->Member("unusable_keys", static_cast<int64_t>(unusable_));
    std::string json = "{";
    for (const auto& [nsid, records] : collections_) {
      json.append(fmt::format("{}\"{}\":{}", json.size() > 1 ? "," : "", nsid, records));
    }
    report_->MemberJson("collections", json + "}");
  }

 private:
  static constexpr uint64_t kExamples = 3;

  const Signer& signer_;
  VerifyReport* report_;
  bool ended_ = false;
  std::map<std::string, int64_t, std::less<>> collections_;
  uint64_t invalid_ = 0, unusable_ = 0;
  std::vector<std::string> odd_;  // the first of both
};

// A node on the way to a key.
struct PathNode {
  cbor::Cid cid;
  int height = 0;
  size_t keys = 0;
};

// From the root to where `path` is or would be; the tree was verified.
std::vector<PathNode> NodesTo(std::string_view path, const car::BlockIndex& blocks,
                              const cbor::CidView& root) {
  std::vector<PathNode> nodes;
  repo::MstNode node;
  std::string key;
  cbor::CidView at = root;
  while (!at.empty()) {
    const std::optional<Bytes> block = blocks.Find(at);
    if (!block || !node.Decode(*block).ok()) break;
    // A node without keys is one level below its parent.
    const int height = !node.entries.empty() ? repo::KeyHeight(node.entries.front().suffix)
                       : nodes.empty()       ? 0
                                             : nodes.back().height - 1;
    nodes.push_back({cbor::Cid(at), height, node.entries.size()});
    at = node.left;
    key.clear();
    for (const repo::MstEntry& entry : node.entries) {
      key.resize(static_cast<size_t>(entry.prefix));
      key += entry.suffix;
      if (key == path) return nodes;
      if (key > path) break;
      at = entry.right;
    }
  }
  return nodes;
}

void TellPath(const std::vector<PathNode>& nodes, std::string_view detail, VerifyReport* report) {
  report->Ok("path", detail);
  std::string json = "[";
  for (const PathNode& node : nodes) {
    report->Remark(
        fmt::format("node {}, height {}, {}", node.cid.ToString(), node.height, Counted(node.keys, "key")));
    json.append(fmt::format("{}{{\"cid\":\"{}\",\"height\":{},\"keys\":{}}}", json.size() > 1 ? "," : "",
                            node.cid.ToString(), node.height, node.keys));
  }
  report->MemberJson("nodes", json + "]");
}

// False: it cannot be told what the record is.
bool TellRecord(const repo::RecordProof& proof, const RecordQuestion& question, VerifyReport* report) {
  report->Member("cid", proof.cid.ToString());
  if (!proof.cid.IsBlessedData()) {
    report->Fail("record", RejectError(Reject::kRecordUnverifiable, proof.cid.ToString()));
    return false;
  }
  if (proof.record.empty()) {
    if (question.need_record) {
      report->Fail("record", RejectError(Reject::kCarMissingBlock, proof.cid.ToString()));
      return false;
    }
    report->Ok("record", proof.cid.ToString() + "; its bytes are not in this file");
    return true;
  }
  cbor::RecordReport ignored;
  const std::string_view collection = std::string_view(question.path).substr(0, question.path.find('/'));
  const absl::Status data = cbor::CheckRecord(proof.record, collection, &ignored);
  report->Ok("record",
             fmt::format("{}, {} bytes that hash to it", proof.cid.ToString(), proof.record.size()));
  if (!data.ok()) report->Remark(fmt::format("no valid data, signed all the same: {}", Message(data)));
  report->Member("valid_data", data.ok());
  std::string json;
  if (cbor::AppendJson(proof.record, {}, &json).ok()) {
    report->Remark(json);
    report->MemberJson("record", json);
  }
  return true;
}

}  // namespace

void VerifyRepository(const RepositoryQuestion& question, const Signer& signer, VerifyReport* report) {
  repo::ExportStreamOptions options;
  options.now_us = question.now_us;
  options.versions = question.allow_v2 ? repo::CommitVersions::kAlsoV2 : repo::CommitVersions::kV3Only;
  RepositoryTale tale(signer, report);
  FileSpill spill(DefaultSpillDirectory());
  repo::ExportStream stream(&spill);
  absl::Status status = stream.Begin(options, &tale);
  std::vector<char> piece(kPieceBytes);
  while (status.ok() && *question.car) {
    question.car->read(piece.data(), static_cast<std::streamsize>(piece.size()));
    status =
        stream.Feed(AsBytes(std::string_view(piece.data(), static_cast<size_t>(question.car->gcount()))));
  }
  if (status.ok()) status = stream.Finish();
  if (tale.ended()) return;
  if (!status.ok()) {
    report->Fail(StepName(stream.failed_at()), status);
    if (RejectOf(status) == Reject::kCommitBadVersion && !question.allow_v2) {
      report->Remark("of an old file at hand --allow-v2 also reads version 2");
    }
    if (RejectOf(status) == Reject::kMstPartial) {
      report->Remark(
          "this is a part of a repository: what it proves of one record, --record COLLECTION/RKEY tells");
    }
    return;
  }
  const repo::CommitObject& commit = stream.commit();
  report->Ok("blocks", fmt::format("{} in {}, each hashes to its CID", Counted(stream.block_count(), "block"),
                                   Counted(stream.bytes(), "byte")));
  report->Ok("tree", fmt::format("{}, {}, {}, nothing missing", commit.data.ToString(),
                                 Counted(stream.node_count(), "node"), Counted(stream.key_count(), "key")));
  report->Member("blocks", static_cast<int64_t>(stream.block_count()));
  report->Member("nodes", static_cast<int64_t>(stream.node_count()));
  tale.TellRecords(stream.record_count());
  const std::string rev = commit.rev.empty() ? "" : fmt::format(" at rev {}", commit.rev);
  report->Conclude(fmt::format("the whole repository of {}{}, {}", commit.did.text(), rev,
                               Counted(stream.record_count(), "record")));
}

void VerifyRecord(const RecordQuestion& question, const Signer& signer, VerifyReport* report) {
  car::BlockIndex blocks;
  if (absl::Status status = blocks.Load(question.car); !status.ok()) return report->Fail("blocks", status);
  report->Ok("blocks", fmt::format("{}, each hashes to its CID", blocks.blocks().size()));

  const std::optional<Bytes> root = blocks.Find(blocks.root());
  if (!root) return report->Fail("commit", RejectError(Reject::kCarMissingBlock, blocks.root().ToString()));
  const absl::StatusOr<repo::CommitObject> commit = repo::DecodeCommit(*root);
  if (!commit.ok()) return report->Fail("commit", commit.status());
  if (!question.did.empty() && commit->did.text() != question.did) {
    return report->Fail("commit", RejectError(Reject::kCommitDidMismatch, commit->did.text()));
  }
  if (absl::Status status = CheckRev(commit->rev, question.now_us); !status.ok())
    return report->Fail("commit", status);
  const Signed of{*commit, *root};
  TellCommit(of, blocks.root(), report);
  if (!CheckSigner(of, signer, report)) return;

  // The signature has been told; all the rest in one, the same checks once more included.
  repo::RecordProofVerifier verifier;
  repo::RecordProof proof;
  const absl::Status status = verifier.Verify(question.car, commit->did, question.path, nullptr, &proof);
  if (!status.ok()) return report->Fail("path", status);
  const std::string uri = fmt::format("at://{}/{}", commit->did.text(), question.path);
  const std::vector<PathNode> nodes = NodesTo(question.path, blocks, commit->data);
  report->Member("path", question.path);
  report->Member("included", proof.included);
  if (!proof.included) {
    TellPath(nodes, fmt::format("the tree holds no {}", question.path), report);
    return report->Conclude(fmt::format("{} does not exist at rev {}", uri, commit->rev));
  }
  TellPath(nodes, fmt::format("the tree holds {} -> {}", question.path, proof.cid.ToString()), report);
  if (!TellRecord(proof, question, report)) return;
  report->Conclude(fmt::format("{} is in the repository at rev {}", uri, commit->rev));
}

}  // namespace penstock::app
