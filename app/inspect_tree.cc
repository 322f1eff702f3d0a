#include "app/inspect_tree.h"

#include <optional>
#include <string_view>
#include <vector>

#include "app/inspect_text.h"
#include "base/status.h"
#include "car/block_index.h"
#include "fmt/format.h"
#include "repo/commit.h"
#include "repo/mst_node.h"
#include "repo/partial_tree.h"

namespace penstock::app {
namespace {

// A good tree has 129 levels at most. What goes deeper is refused, and would take the stack with it here.
constexpr size_t kMaxDepth = 130;

// Prints one node after the other as it finds them, right or wrong: that is what one wants to see of a tree that is refused.
// Every node is shown once, so links that go round end.
class TreePrinter {
 public:
  TreePrinter(const car::BlockIndex& blocks, std::string* out)
      : blocks_(blocks), shown_(blocks.blocks().size()), out_(out) {}

  // `level` is what the parent's makes it; nullopt for the root, whose first key says it.
  void Print(const cbor::CidView& cid, std::optional<int> level, size_t depth) {
    const uint32_t position = blocks_.PositionOf(cid);
    if (position == car::BlockIndex::kNotFound) {
      ++missing_;
      return Write(depth, fmt::format("node {}  level {}  NOT HERE", CidText(cid), LevelText(level)));
    }
    if (shown_[position]) {
      return Write(depth, fmt::format("node {}  REFUSED: linked twice", CidText(cid)));
    }
    if (depth > kMaxDepth) return Write(0, "REFUSED: deeper than a tree can be");
    shown_[position] = true;
    ++nodes_;
    repo::MstNode node;
    if (const absl::Status status = node.Decode(blocks_.blocks()[position].data); !status.ok()) {
      return Write(depth, fmt::format("node {}  REFUSED: {}", CidText(cid), Printable(Message(status))));
    }
    if (!level && !node.entries.empty()) level = repo::KeyHeight(node.entries.front().suffix);
    Write(depth, fmt::format("node {}  level {}{}", CidText(cid), LevelText(level),
                             node.entries.empty() ? "  no keys" : ""));
    const std::optional<int> below = level ? std::optional(*level - 1) : std::nullopt;
    if (!node.left.empty()) Print(node.left, below, depth + 1);
    std::string key;
    for (const repo::MstEntry& entry : node.entries) {
      if (entry.prefix > key.size()) {
        return Write(depth + 1, fmt::format("REFUSED: a key that shares {} bytes with one of {}", entry.prefix, key.size()));
      }
      key.resize(static_cast<size_t>(entry.prefix));
      key += entry.suffix;
      ++keys_;
      const int height = repo::KeyHeight(key);
      Write(depth + 1, fmt::format("{} -> {}{}", Printable(key), CidText(entry.value),
                                   height == level ? "" : fmt::format("  REFUSED: its height is {}", height)));
      if (!entry.right.empty()) Print(entry.right, below, depth + 1);
    }
  }

  void Totals() {
    out_->append(fmt::format("{} nodes, {} keys, {} subtrees not here\n", nodes_, keys_, missing_));
  }

 private:
  static std::string LevelText(std::optional<int> level) { return level ? std::to_string(*level) : "-"; }
  void Write(size_t depth, std::string_view line) {
    out_->append(2 * depth, ' ').append(line).append("\n");
  }

  const car::BlockIndex& blocks_;
  std::vector<bool> shown_;
  std::string* out_;
  size_t nodes_ = 0, keys_ = 0, missing_ = 0;
};

}  // namespace

bool InspectTree(Bytes car, std::string* out) {
  car::BlockIndex blocks;
  const absl::Status loaded = blocks.Load(car, car::HashCheck::kVerify, car::kMaxRepositoryBlocks);
  if (!loaded.ok()) return Refused(loaded, {}, out);
  const std::optional<Bytes> root = blocks.Find(blocks.root());
  if (!root) return Refused(RejectError(Reject::kCarMissingBlock, "the root"), {}, out);
  cbor::CidView data = blocks.root();
  if (const auto commit = repo::DecodeCommit(*root, repo::CommitVersions::kAlsoV2); commit.ok()) {
    Line(out, "commit", CidText(blocks.root()));
    Line(out, "  did", commit->did.text());
    Line(out, "  rev", commit->rev);
    data = commit->data;
  }
  repo::PartialTree tree;
  const absl::Status status = tree.Load(blocks, data, repo::PartialTree::kAnyEntries);
  TreePrinter printer(blocks, out);
  printer.Print(data, std::nullopt, 0);
  printer.Totals();
  return status.ok() || Refused(status, {}, out);
}

}  // namespace penstock::app
