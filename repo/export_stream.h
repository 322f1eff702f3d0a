#pragma once

// A whole repository, as com.atproto.sync.getRepo gives it, verified while it is still coming (protocol 3.5, 4,
// 5), in memory that does not grow with its records' bytes. The same checks as repo/export.h, on an archive of
// any size and with its blocks in any order.
//
// The tree is walked in key order, and the walk wants one block at a time: the commit, the root, then nodes and
// records. In an archive in tree order the wanted block is the next to come, and records are given out while
// the download goes on. A block that is not wanted yet is put away in a Spill and found again when the walk
// gets there. So is one that was used: two keys may have the same record, whose block comes once.
//
// Memory: 21 to 43 bytes a block (car/spilled_blocks.h), the nodes from the root down to where the walk is, and
// one section. docs/formats/car.md has the figures.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/spill.h"
#include "car/spilled_blocks.h"
#include "car/stream_reader.h"
#include "cbor/cid.h"
#include "repo/commit.h"
#include "repo/export.h"
#include "repo/mst_node.h"

namespace penstock::repo {

struct ExportStreamOptions : ExportOptions {
  uint64_t max_bytes = car::kMaxRepositoryBytes;  // bounds the Spill, too: it holds no more than came
  size_t max_section_bytes = car::kMaxSectionBytes;
  // A commit whose signature was checked when it came, by the key of that time: in an archive of this very commit it is not checked
  // again. (After a migration a PDS serves the last commit as it was, signed by the key that the account had before.)
  std::optional<cbor::Cid> proven_commit;
};

// Who gets what an archive holds. An error ends the stream and is what Feed or Finish returns.
class ExportVisitor {
 public:
  virtual ~ExportVisitor() = default;

  // First, once, when the commit has been checked (and signed, if a key was given): whoever has this rev
  // already need not let the rest come. The views are good until the stream begins anew.
  virtual absl::Status OnCommit(const CommitObject& commit, const cbor::CidView& cid, Bytes block) = 0;
  // In key order. The views are good during the call.
  virtual absl::Status OnRecord(const ExportedRecord& record) = 0;
  // In key order among the records: a key that is not given out as one.
  virtual absl::Status OnUnusable(const UnusableRecord& record) = 0;
};

// What a stream was at when it was refused.
enum class ExportStep : uint8_t { kBlocks, kCommit, kTree, kRecords };

// The contract: what the visitor gets is final only when Finish() has returned OK.
//
// Each record that is given out hangs by hashes from the commit, whose signature has been checked by then. But
// that these are all records, that none of them is hidden behind a node that never comes, and that the archive
// is none that a host has cut or spoilt, is known at the end only. Until then nothing of it may become visible,
// unless it can be undone, and nothing may be concluded from a key's absence.
//
// Reusable: Begin() keeps the tables of small repositories. Not thread-safe.
class ExportStream {
 public:
  // `spill` is this object's alone, and outlives it.
  explicit ExportStream(Spill* spill);
  ExportStream(const ExportStream&) = delete;
  ExportStream& operator=(const ExportStream&) = delete;

  // Begins an archive, and forgets the one before. `options.key` and `visitor` must live until the end of it.
  // Errors: those of Spill::Clear.
  absl::Status Begin(const ExportStreamOptions& options, ExportVisitor* visitor);

  // The archive's next bytes, any number of them; keeps no view. After an error every later call returns the
  // same one. Rejects: those of car::StreamReader; kCommit…, kSignature…, kCbor…, kCidUnsupported; kMst….
  // Other errors: those of the Spill and the visitor. Where an archive has several faults, the first to arrive
  // is named.
  absl::Status Feed(Bytes piece);

  // There are no more bytes. Rejects, besides those of Feed: kCarTruncated; kMstPartial (a node is missing, so
  // this is no whole repository); kCarMissingBlock (the commit, the tree's root, or a record).
  absl::Status Finish();

  // Of what has come so far. The commit is empty before OnCommit.
  const CommitObject& commit() const { return commit_; }
  Bytes commit_block() const { return AsBytes(commit_block_); }
  const cbor::Cid& commit_cid() const { return reader_.root(); }  // empty before the header
  size_t record_count() const { return record_count_; }           // given out
  size_t key_count() const { return key_count_; }                 // of the tree, usable or not
  size_t node_count() const { return node_count_; }
  size_t block_count() const { return reader_.blocks(); }  // repeated ones included
  uint64_t bytes() const { return reader_.bytes(); }
  // The walk is over: nothing that may still come is needed.
  bool tree_is_complete() const { return want_ == Want::kNothing; }
  // After a refusal. Of no meaning after another error.
  ExportStep failed_at() const { return step_; }
  // Bytes of memory that follow from the archive's size and shape.
  size_t memory() const;

 private:
  // The block that the walk cannot go on without.
  enum class Want : uint8_t { kCommit, kNode, kRecord, kNothing };

  // A node between the root and where the walk is. Buffers stay for the next node at this depth.
  struct OpenNode {
    std::string block;
    cbor::CidView left;  // a view of `block`, as are the entries
    std::vector<MstEntry> entries;
    std::string key;  // whole, of the entry that was read last
    int level = 0;
    size_t next = 0;  // 0: the left subtree; 2 i + 1: entry i; 2 i + 2: its right subtree
  };

  absl::Status Take(const car::Block& block);
  // Looks for what is wanted among the blocks put away, and goes on as long as it is found.
  absl::Status Walk();
  // The next step from the deepest open node. Sets `want_` when it needs a block.
  absl::Status Step();
  absl::Status StepToEntry(OpenNode& node, const MstEntry& entry);
  // `block` is the wanted one.
  absl::Status Use(Bytes block);
  absl::Status UseCommit(Bytes block);
  absl::Status UseNode(Bytes block);
  absl::Status UseRecord(Bytes block);
  // What is wanted will not come. Notes it, for the walk to go on without.
  void GoWithout();
  absl::Status Unusable(std::string_view key, const cbor::CidView& cid, Reject reject);

  car::StreamReader reader_;
  car::SpilledBlocks kept_;
  ExportStreamOptions options_;
  ExportVisitor* visitor_ = nullptr;
  absl::Status verdict_;
  ExportStep step_ = ExportStep::kBlocks;

  Want want_ = Want::kCommit;
  cbor::CidView wanted_;  // of an open node, of the reader's root, or of the commit
  bool at_end_ = false;   // no more blocks will come
  bool node_is_missing_ = false, record_is_missing_ = false;

  std::string commit_block_;
  CommitObject commit_;  // views of `commit_block_`
  std::vector<OpenNode> open_;
  size_t depth_ = 0;       // open nodes; the walk is in the last one
  size_t open_bytes_ = 0;  // of their blocks
  std::string last_key_;   // of the walk
  size_t record_count_ = 0, key_count_ = 0, node_count_ = 0;
  std::string found_;     // a block that was put away
  std::string unsigned_;  // scratch
};

}  // namespace penstock::repo
