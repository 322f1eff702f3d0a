#include "app/inspect.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "app/inspect_text.h"
#include "base/encoding.h"
#include "base/status.h"
#include "car/block_index.h"
#include "car/reader.h"
#include "cbor/cid.h"
#include "cbor/json_out.h"
#include "cbor/reader.h"
#include "cbor/record_data.h"
#include "firehose/frame.h"
#include "fmt/format.h"
#include "sync/judge.h"
#include "repo/commit.h"
#include "repo/commit_check.h"
#include "repo/mst_node.h"
#include "repo/partial_tree.h"

namespace penstock::app {
namespace {

std::string_view KindOfBlock(Bytes block) {
  if (repo::DecodeCommit(block, repo::CommitVersions::kAlsoV2).ok()) return "commit";
  repo::MstNode node;
  if (node.Decode(block).ok()) return "mst node";
  cbor::RecordReport report;
  if (cbor::CheckRecord(block, "", &report).ok()) return "record";
  return cbor::CheckItem(block).ok() ? "dag-cbor" : "no strict dag-cbor";
}

void AppendCommit(const repo::CommitObject& commit, std::string* out) {
  Line(out, "  did", commit.did.text());
  Line(out, "  rev", commit.rev);
  Line(out, "  data", CidText(commit.data));
  Line(out, "  prev", CidText(commit.prev));
  Line(out, "  sig", fmt::format("{} bytes", commit.sig.size()));
}

void AppendTree(const repo::PartialTree& tree, std::string* out) {
  size_t keys = 0, opaque = 0;
  for (const repo::PartialTree::Item& item : tree.items()) {
    (item.opaque() ? opaque : keys)++;
    const std::string indent(static_cast<size_t>(2 * std::max(0, 8 - item.level)), ' ');
    if (item.opaque()) {
      out->append(fmt::format("{}[subtree not here: {}]\n", indent, CidText(item.value)));
    } else {
      out->append(fmt::format("{}{} {} -> {}\n", indent, item.level, Printable(item.key), CidText(item.value)));
    }
  }
  out->append(fmt::format("{} nodes, {} keys, {} subtrees not here\n", tree.node_count(), keys, opaque));
}

}  // namespace

bool InspectFrame(Bytes message, int64_t now_us, std::string* out) {
  firehose::Frame frame;
  Line(out, "bytes", std::to_string(message.size()));
  if (absl::Status status = firehose::DecodeFrame(message, &frame); !status.ok()) {
    return Refused(status, message, out, /*sequence=*/true);
  }
  Line(out, "kind", firehose::FrameKindName(frame.kind));
  if (!frame.type.empty()) Line(out, "type", frame.type);
  if (frame.seq) Line(out, "seq", std::to_string(*frame.seq));
  if (!frame.did.text().empty()) Line(out, "did", frame.did.text());
  if (!frame.time.empty()) Line(out, "time", frame.time);
  if (frame.handle) Line(out, "handle", *frame.handle);
  if (frame.kind == firehose::FrameKind::kAccount) Line(out, "active", frame.active ? "true" : "false");
  if (frame.status) Line(out, "status", *frame.status);
  if (!frame.name.empty()) Line(out, "name", frame.name);
  if (frame.message) Line(out, "message", *frame.message);
  if (frame.kind == firehose::FrameKind::kRejected) {
    return Refused(RejectError(frame.reject, frame.reject_field), message, out, /*sequence=*/true);
  }
  const bool commit = frame.kind == firehose::FrameKind::kCommit;
  if (!commit && frame.kind != firehose::FrameKind::kSync) return true;
  Line(out, "rev", frame.rev);
  if (commit) {
    Line(out, "since", frame.since.empty() ? "-" : frame.since);
    Line(out, "commit", CidText(frame.commit));
    Line(out, "prevData", CidText(frame.prev_data));
    for (const repo::RepoOp& op : frame.ops) {
      out->append(fmt::format("op         {} {} cid {} prev {}\n", repo::ActionName(op.action), op.path, CidText(op.cid),
                              CidText(op.prev)));
    }
  }
  out->append(fmt::format("blocks     {} bytes\n", frame.blocks.size()));
  if (!InspectCar(frame.blocks, out)) return false;
  if (!commit) return true;
  repo::CommitChecker checker;
  repo::CheckedCommit checked;
  if (absl::Status status = checker.Check(sync::ClaimOf(frame), now_us, &checked); !status.ok()) return Refused(status, {}, out);
  out->append("verdict    holds at level cid: hashes, tree and every op\n");
  return true;
}

bool InspectCar(Bytes car, std::string* out) {
  car::Reader reader(car);
  if (absl::Status status = reader.ReadHeader(); !status.ok()) return Refused(status, {}, out);
  Line(out, "root", CidText(reader.root()));
  if (reader.root_count() != 1) Line(out, "roots", std::to_string(reader.root_count()));
  bool good = true;
  size_t count = 0;
  car::Block block;
  while (reader.Next(&block)) {
    ++count;
    const bool hashable = block.cid.hash_code() == cbor::kHashSha256;
    const bool matches = cbor::BlockMatches(block.cid, block.data);
    good = good && (matches || !hashable);
    out->append(fmt::format("block      {} {:>7} bytes  {}  {}\n", CidText(block.cid), block.data.size(),
                            matches    ? "ok"
                            : hashable ? "DOES NOT HASH TO ITS CID"
                                       : "cannot be verified (hash not SHA-256)",
                            block.cid.codec() == cbor::kCodecRaw ? "raw" : KindOfBlock(block.data)));
  }
  if (!reader.status().ok()) return Refused(reader.status(), {}, out);
  Line(out, "blocks", std::to_string(count));
  return good;
}

bool InspectMst(Bytes car, std::string* out) {
  car::BlockIndex blocks;
  if (absl::Status status = blocks.Load(car); !status.ok()) return Refused(status, {}, out);
  const std::optional<Bytes> root = blocks.Find(blocks.root());
  if (!root) return Refused(RejectError(Reject::kCarMissingBlock, "the root"), {}, out);
  cbor::CidView data = blocks.root();
  if (auto commit = repo::DecodeCommit(*root, repo::CommitVersions::kAlsoV2); commit.ok()) {
    Line(out, "commit", CidText(blocks.root()));
    AppendCommit(*commit, out);
    data = commit->data;
  }
  Line(out, "tree", CidText(data));
  repo::PartialTree tree;
  if (absl::Status status = tree.Load(blocks, data); !status.ok()) return Refused(status, {}, out);
  AppendTree(tree, out);
  return true;
}

bool InspectCbor(Bytes item, std::string* out) {
  if (absl::Status status = cbor::CheckItem(item); !status.ok()) return Refused(status, item, out);
  Line(out, "bytes", std::to_string(item.size()));
  Line(out, "cid", cbor::Cid::OfBlock(item).ToString());
  std::string json;
  if (absl::Status status = cbor::AppendJson(item, {}, &json); !status.ok()) return Refused(status, item, out);
  Line(out, "json", json);
  cbor::RecordReport report;
  const absl::Status record = cbor::CheckRecord(item, "", &report);
  Line(out, "as record", record.ok() ? "valid data" : Message(record));
  if (report.empty_key) Line(out, "warning", "an empty map key");
  if (report.has_nul) Line(out, "warning", "U+0000 in a text: a database column shows U+FFFD");
  return true;
}

bool InspectCid(std::string_view text, std::string* out) {
  const absl::StatusOr<cbor::Cid> cid = cbor::Cid::FromString(text);
  if (!cid.ok()) return Refused(cid.status(), {}, out);
  const cbor::CidView view = cid->view();
  Line(out, "version", std::to_string(view.version()));
  const std::string_view codec = view.codec() == cbor::kCodecDagCbor ? " (dag-cbor)"
                                 : view.codec() == cbor::kCodecRaw   ? " (raw)"
                                                                     : "";
  Line(out, "codec", fmt::format("0x{:x}{}", view.codec(), codec));
  Line(out, "hash", fmt::format("0x{:x}{}", view.hash_code(), view.hash_code() == cbor::kHashSha256 ? " (SHA-256)" : ""));
  Line(out, "digest", ToHex(view.digest()));
  Line(out, "bytes", ToHex(view.bytes()));
  Line(out, "blessed", view.IsBlessed() ? "yes: what atproto writes" : "no");
  return true;
}

}  // namespace penstock::app
