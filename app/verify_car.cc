#include "app/verify_car.h"

#include <map>
#include <vector>

#include "app/inspect_text.h"
#include "app/progress.h"
#include "base/status.h"
#include "car/block_index.h"
#include "cbor/json_out.h"
#include "cbor/record_data.h"
#include "fmt/format.h"
#include "repo/commit_check.h"
#include "repo/export.h"
#include "repo/mst_node.h"
#include "repo/record_proof.h"
#include "repo/verify.h"

namespace penstock::app {
namespace {

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
  const std::string rev = commit.rev.empty() ? "none" : fmt::format("{} ({})", commit.rev, TimeOfRev(commit.rev));
  report->Ok("commit", fmt::format("{} of {}, rev {}, version {}", cid.ToString(), commit.did.text(), rev, commit.version));
  report->Member("did", commit.did.text());
  report->Member("rev", commit.rev);
  report->Member("version", commit.version);
  report->Member("commit", cid.ToString());
  report->Member("data", commit.data.ToString());
}

// The last two steps of a repository, the middle ones of a record. False: a step failed.
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
  report->Ok("key", fmt::format("{} ({}), from {}{}", key->did_key(), crypto::CurveName(key->curve()), signer.origin, more));
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

// The step at which repo::ExportVerifier refused `car`, found by the parts that it is made of.
std::string_view RefusedStep(const RepositoryQuestion& question, repo::CommitVersions versions) {
  car::BlockIndex blocks;
  if (!blocks.Load(question.car, car::HashCheck::kVerify, car::kMaxRepositoryBlocks).ok()) return "blocks";
  const std::optional<Bytes> root = blocks.Find(blocks.root());
  if (!root || !blocks.root().IsBlessedData()) return "commit";
  const absl::StatusOr<repo::CommitObject> commit = repo::DecodeCommit(*root, versions);
  if (!commit.ok() || !CheckRev(commit->rev, question.now_us).ok()) return "commit";
  repo::PartialTree tree;
  const absl::Status loaded = tree.Load(blocks, commit->data, repo::PartialTree::kAnyEntries);
  return loaded.ok() && tree.complete() ? "records" : "tree";
}

// What the records are, beyond their hashes: the account signed them, good data or not.
void TellRecords(const repo::ExportVerifier& repository, VerifyReport* report) {
  std::map<std::string, int64_t, std::less<>> collections;
  std::vector<std::string> odd;
  const auto look = [&](const repo::ExportedRecord& record) {
    ++collections.try_emplace(std::string(record.path.collection.text()), 0).first->second;
    cbor::RecordReport ignored;
    const absl::Status data = cbor::CheckRecord(record.block, record.path.collection.text(), &ignored);
    if (!data.ok()) odd.push_back(fmt::format("{}: {}", record.key, Message(data)));
    return absl::OkStatus();
  };
  (void)repository.VisitRecords(look);  // `look` has no errors
  report->Ok("records", fmt::format("{} in {}, each hashes to its CID in the tree", Grouped(repository.record_count()),
                                    Counted(collections.size(), "collection")));
  if (!odd.empty()) {
    report->Remark(fmt::format("{} of them are no valid data, signed all the same: {}", Grouped(odd.size()), FirstOf(odd)));
  }
  for (const repo::UnusableRecord& unusable : repository.unusable()) {
    report->Remark(fmt::format("not a record: {} -> {}: {}", Printable(unusable.key), unusable.cid.ToString(), RejectName(unusable.reject)));
  }
  report->Member("records", static_cast<int64_t>(repository.record_count()));
  report->Member("invalid_records", static_cast<int64_t>(odd.size()));
  report->Member("unusable_keys", static_cast<int64_t>(repository.unusable().size()));
  std::string json = "{";
  for (const auto& [nsid, count] : collections) json.append(fmt::format("{}\"{}\":{}", json.size() > 1 ? "," : "", nsid, count));
  report->MemberJson("collections", json + "}");
}

// A node on the way to a key.
struct PathNode {
  cbor::Cid cid;
  int height = 0;
  size_t keys = 0;
};

// From the root to where `path` is or would be; the tree was verified.
std::vector<PathNode> NodesTo(std::string_view path, const car::BlockIndex& blocks, const cbor::CidView& root) {
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
    report->Remark(fmt::format("node {}, height {}, {}", node.cid.ToString(), node.height, Counted(node.keys, "key")));
    json.append(fmt::format("{}{{\"cid\":\"{}\",\"height\":{},\"keys\":{}}}", json.size() > 1 ? "," : "", node.cid.ToString(),
                            node.height, node.keys));
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
  report->Ok("record", fmt::format("{}, {} bytes that hash to it", proof.cid.ToString(), proof.record.size()));
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
  repo::ExportOptions options;
  options.now_us = question.now_us;
  options.versions = question.allow_v2 ? repo::CommitVersions::kAlsoV2 : repo::CommitVersions::kV3Only;
  repo::ExportVerifier repository;
  const absl::Status status = repository.Verify(question.car, options);
  if (!status.ok()) {
    const std::string_view step = RefusedStep(question, options.versions);
    if (step != "blocks") report->Ok("blocks", "each hashes to its CID");
    report->Fail(step, status);
    if (RejectOf(status) == Reject::kCommitBadVersion && !question.allow_v2) {
      report->Remark("of an old file at hand --allow-v2 also reads version 2");
    }
    if (RejectOf(status) == Reject::kMstPartial) {
      report->Remark("this is a part of a repository: what it proves of one record, --record COLLECTION/RKEY tells");
    }
    return;
  }
  const Signed of{repository.commit(), repository.commit_block()};
  report->Ok("blocks", fmt::format("{}; each hashes to its CID", Counted(question.car.size(), "byte")));
  TellCommit(of, repository.commit_cid(), report);
  const repo::PartialTree& tree = repository.tree();
  report->Ok("tree", fmt::format("{}, {}, {}, nothing missing", of.commit.data.ToString(), Counted(tree.node_count(), "node"),
                                 Counted(tree.items().size(), "key")));
  report->Member("nodes", static_cast<int64_t>(tree.node_count()));
  TellRecords(repository, report);
  if (!CheckSigner(of, signer, report)) return;
  const std::string rev = of.commit.rev.empty() ? "" : fmt::format(" at rev {}", of.commit.rev);
  report->Conclude(fmt::format("the whole repository of {}{}, {}", of.commit.did.text(), rev,
                               Counted(repository.record_count(), "record")));
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
  if (absl::Status status = CheckRev(commit->rev, question.now_us); !status.ok()) return report->Fail("commit", status);
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
