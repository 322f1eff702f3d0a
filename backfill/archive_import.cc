#include "backfill/archive_import.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "backfill/comparison.h"
#include "backfill/policy.h"
#include "backfill/spilled_records.h"
#include "base/file_spill.h"
#include "base/status.h"
#include "indexer/row_builder.h"
#include "repo/export_stream.h"

namespace penstock::backfill {
namespace {

using indexer::ChangeSetPtr;

// "host[:port]" of an origin: the name under which a source is known.
std::string_view HostOf(std::string_view origin) {
  if (const size_t scheme = origin.find("://"); scheme != std::string_view::npos) origin.remove_prefix(scheme + 3);
  return origin.substr(0, origin.find('/'));
}

}  // namespace

class ArchiveImport::Impl final : private repo::ExportVisitor {
 public:
  Impl(ArchiveOptions options, const indexer::Filter* filter, Counters* counters)
      : options_(std::move(options)),
        filter_(filter),
        counters_(counters),
        blocks_(options_.folder),
        stream_(&blocks_),
        records_(options_.folder, options_.memory_bytes),
        builder_(filter) {}

  absl::Status Begin(const Subject& subject);
  absl::Status Feed(Bytes piece);
  absl::Status EndOfArchive();
  absl::Status Apply(pipeline::ImportPort* port, indexer::AccountScan* scan);

  const Result& result() const { return result_; }
  std::string_view rev() const { return head_.rev; }

 private:
  absl::Status OnCommit(const repo::CommitObject& commit, const cbor::CidView& cid, Bytes block) override;
  absl::Status OnRecord(const repo::ExportedRecord& record) override;
  absl::Status OnUnusable(const repo::UnusableRecord& record) override;
  absl::Status PutAside(const repo::RepoPath& path, const cbor::CidView& cid, Bytes block);
  // Gives back the room of the files now, not with the next archive. If that fails, it is tried again then.
  void EmptyFiles();

  // All differences into one change set. False: they are too many; nothing was written, and nothing is counted.
  absl::StatusOr<bool> BuildAtOnce(Comparison* comparison, ChangeSetPtr* change);
  // All differences in chunks, creates and updates before deletes; the last chunk, which may be empty, is left in `*change`.
  absl::Status WriteInChunks(Comparison* comparison, ChangeSetPtr* change);
  absl::Status AddToChunk(const Difference& difference, ChangeSetPtr* change);
  ChangeSetPtr NewChange();
  void Add(const Difference& difference, indexer::ChangeSet* change);
  void AddImport(indexer::ChangeSet* change) const;
  absl::Status Write(ChangeSetPtr change);

  const ArchiveOptions options_;
  const indexer::Filter* const filter_;
  Counters* const counters_;
  FileSpill blocks_;
  repo::ExportStream stream_;
  SpilledRecords records_;
  indexer::RowBuilder builder_;

  // Of the subject.
  std::string did_, have_rev_, host_, source_, letter_source_;
  bool current_is_enough_ = false, is_new_ = false;
  int64_t started_at_ = 0;
  std::vector<std::string> rules_;

  sync::Head head_;
  std::string commit_cid_;
  std::string collection_;  // of the record before
  WantedOps wanted_;        // in it
  absl::Status verdict_;    // of the archive so far
  bool proven_ = false;
  Result result_;
  pipeline::ImportPort* port_ = nullptr;
};

absl::Status ArchiveImport::Impl::Begin(const Subject& subject) {
  proven_ = false;
  result_ = {};
  head_ = {};
  commit_cid_.clear();
  collection_.clear();
  wanted_ = {};
  did_ = subject.did;
  have_rev_ = subject.have_rev;
  current_is_enough_ = subject.current_is_enough;
  is_new_ = subject.is_new;
  host_ = subject.host;
  source_.assign("getRepo:").append(HostOf(host_));
  letter_source_.assign(source_).append(" ").append(did_);
  started_at_ = subject.started_at;
  rules_.assign(subject.rules.begin(), subject.rules.end());

  // Export rows are signed rows.
  verdict_ = InternalError("no archive was begun");
  if (subject.key == nullptr) return InternalError("an import without a key");
  repo::ExportStreamOptions options;
  options.key = subject.key;
  options.proven_commit = subject.proven_commit;
  options.did = repo::Did::Parse(did_);
  if (!options.did) return RejectError(Reject::kSyntaxDid);
  if (!options.did->IsResolvable()) return RejectError(Reject::kUnsupportedDidMethod, options.did->method());
  options.now_us = subject.now_us;
  options.max_blocks = options_.max_blocks;
  options.max_bytes = options_.max_bytes;
  verdict_ = records_.Clear(options_.max_bytes);
  if (verdict_.ok()) verdict_ = stream_.Begin(options, this);
  return verdict_;
}

absl::Status ArchiveImport::Impl::OnCommit(const repo::CommitObject& commit, const cbor::CidView& cid, Bytes) {
  if (commit.rev < have_rev_) return FailedPreconditionError(kCauseStaleExport);
  if (commit.rev == have_rev_ && current_is_enough_) return FailedPreconditionError(kCauseAlreadyCurrent);
  head_ = {std::string(commit.rev), cbor::Cid(commit.data), cbor::Cid(cid)};
  commit_cid_ = cid.ToString();
  return absl::OkStatus();
}

absl::Status ArchiveImport::Impl::OnRecord(const repo::ExportedRecord& record) {
  ++result_.records;
  return PutAside(record.path, record.cid, record.block);
}

absl::Status ArchiveImport::Impl::OnUnusable(const repo::UnusableRecord& record) {
  ++result_.unusable;
  const std::optional<repo::RepoPath> path = repo::RepoPath::Parse(record.key);
  // No row has such a key, so there is no more to be said of it.
  if (!path) {
    counters_->Count(record.reject);
    return absl::OkStatus();
  }
  return PutAside(*path, record.cid, {});
}

absl::Status ArchiveImport::Impl::PutAside(const repo::RepoPath& path, const cbor::CidView& cid, Bytes block) {
  if (path.collection.text() != collection_) {
    collection_ = path.collection.text();
    wanted_ = WantedOpsOf(*filter_, did_, collection_);
  }
  if (!wanted_.any()) return absl::OkStatus();
  // To know what is gone, the key of what is not is enough.
  if (!wanted_.contents()) block = {};
  result_.wanted += wanted_.contents();
  const int32_t index = static_cast<int32_t>(stream_.key_count()) - 1;
  return records_.Add({path.collection.text(), path.rkey.text(), cid, block, index});
}

absl::Status ArchiveImport::Impl::Feed(Bytes piece) {
  if (!verdict_.ok()) return verdict_;
  verdict_ = stream_.Feed(piece);
  if (!verdict_.ok()) EmptyFiles();
  return verdict_;
}

absl::Status ArchiveImport::Impl::EndOfArchive() {
  if (verdict_.ok()) verdict_ = stream_.Finish();
  if (verdict_.ok()) verdict_ = records_.End();
  if (!verdict_.ok()) {
    EmptyFiles();
    return verdict_;
  }
  result_.bytes = stream_.bytes();
  result_.blocks = stream_.block_count();
  (void)blocks_.Clear();  // what the filter wants of them has been put aside
  proven_ = true;
  return absl::OkStatus();
}

void ArchiveImport::Impl::EmptyFiles() {
  proven_ = false;
  (void)blocks_.Clear();
  (void)records_.Clear(options_.max_bytes);
}

absl::Status ArchiveImport::Impl::Apply(pipeline::ImportPort* port, indexer::AccountScan* scan) {
  if (!proven_) return InternalError("an archive that is not proven");
  port_ = port;
  Comparison comparison(filter_, did_, head_.rev, &records_, is_new_ ? nullptr : scan);
  bool current = false;
  bool at_once = !(is_new_ && records_.count() > options_.rows_at_once);
  ChangeSetPtr change;
  if (at_once) {
    RETURN_IF_ERROR(port->Begin(did_, head_, /*long_term=*/false, &current));
    change = NewChange();
    ASSIGN_OR_RETURN(at_once, BuildAtOnce(&comparison, &change));
    result_.unchanged = comparison.unchanged();
  }
  if (!at_once) {
    result_.large = true;
    change.reset();
    RETURN_IF_ERROR(port->Begin(did_, head_, /*long_term=*/true, &current));
    change = NewChange();
    RETURN_IF_ERROR(WriteInChunks(&comparison, &change));
  }
  AddImport(change.get());
  const bool tracked = !is_new_ || result_.wanted > 0;
  RETURN_IF_ERROR(port->Finish(did_, head_, tracked, std::move(change)));
  EmptyFiles();
  return absl::OkStatus();
}

absl::StatusOr<bool> ArchiveImport::Impl::BuildAtOnce(Comparison* comparison, ChangeSetPtr* change) {
  const Result before = result_;
  bool too_many = false;
  const absl::Status status = comparison->Run([&](const Difference& difference) {
    too_many = (*change)->records.size() == options_.rows_at_once || (*change)->cost() > options_.bytes_at_once;
    if (too_many) return absl::CancelledError();
    Add(difference, change->get());
    return absl::OkStatus();
  });
  if (!too_many) {
    RETURN_IF_ERROR(status);
    return true;
  }
  result_ = before;
  return false;
}

absl::Status ArchiveImport::Impl::WriteInChunks(Comparison* comparison, ChangeSetPtr* change) {
  for (const bool deletes : {false, true}) {
    const auto add = [&](const Difference& difference) {
      return (difference.kind == Difference::Kind::kGone) == deletes ? AddToChunk(difference, change) : absl::OkStatus();
    };
    RETURN_IF_ERROR(comparison->Run(add));
    if (!deletes) result_.unchanged = comparison->unchanged();  // the second time, the rows just written are
    // Nothing goes before what takes its place is there. After the last deletes the head goes with what is left.
    if (!deletes) {
      RETURN_IF_ERROR(Write(std::move(*change)));
      *change = NewChange();
    }
    RETURN_IF_ERROR(port_->WaitDurable());
  }
  return absl::OkStatus();
}

absl::Status ArchiveImport::Impl::AddToChunk(const Difference& difference, ChangeSetPtr* change) {
  if ((*change)->records.size() >= options_.chunk_rows || (*change)->cost() >= options_.chunk_bytes) {
    RETURN_IF_ERROR(Write(std::move(*change)));
    *change = NewChange();
  }
  Add(difference, change->get());
  return absl::OkStatus();
}

ChangeSetPtr ArchiveImport::Impl::NewChange() {
  ChangeSetPtr change = port_->NewChange();
  Arena& arena = change->arena;
  change->source = arena.Copy(source_);
  change->did = arena.Copy(did_);
  change->rev = arena.Copy(head_.rev);
  change->commit_cid = arena.Copy(commit_cid_);
  change->verification = repo::Verification::kExport;
  change->letter_source = arena.Copy(letter_source_);
  change->letter_seq = static_cast<int64_t>(repo::Tid::Parse(head_.rev).value_or(repo::Tid()).value());
  return change;
}

void ArchiveImport::Impl::Add(const Difference& difference, indexer::ChangeSet* change) {
  repo::RepoOp op;
  op.action = difference.action();
  op.collection = difference.collection;
  op.rkey = difference.rkey;
  Bytes block;
  if (difference.record != nullptr) {
    op.cid = difference.record->cid;
    block = difference.record->block;
  }
  const size_t letters = change->dead_letters.size();
  builder_.AddImported(op, difference.index, block, change);
  result_.invalid += change->dead_letters.size() - letters;
  switch (difference.kind) {
    case Difference::Kind::kMissing:
      ++result_.created;
      break;
    case Difference::Kind::kChanged:
    case Difference::Kind::kWeaker:
      ++result_.updated;
      break;
    case Difference::Kind::kGone:
      ++result_.deleted;
      break;
  }
}

absl::Status ArchiveImport::Impl::Write(ChangeSetPtr change) {
  if (change->records.empty()) return absl::OkStatus();
  // Of what goes through Finish the account's worker counts them.
  for (const indexer::DeadLetterRow& letter : change->dead_letters) counters_->Count(letter.reject);
  return port_->Write(std::move(change));
}

void ArchiveImport::Impl::AddImport(indexer::ChangeSet* change) const {
  Arena& arena = change->arena;
  const std::span<std::string_view> rules = arena.Array<std::string_view>(rules_.size());
  for (size_t i = 0; i < rules.size(); ++i) rules[i] = arena.Copy(rules_[i]);
  indexer::ImportRow import;
  import.rev = change->rev;
  import.host = arena.Copy(host_);
  import.rules = rules;
  import.started_at = started_at_;
  import.records = result_.wanted;
  import.bytes = result_.bytes;
  change->import = import;
}

ArchiveImport::ArchiveImport(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ArchiveImport::~ArchiveImport() = default;

absl::StatusOr<std::unique_ptr<ArchiveImport>> ArchiveImport::Create(const ArchiveOptions& options,
                                                                     const indexer::Filter* filter, Counters* counters) {
  ArchiveOptions with_folder = options;
  if (with_folder.folder.empty()) with_folder.folder = DefaultSpillDirectory();
  // Files are made when they are needed; that it cannot be done should be known before a host is asked for anything.
  if (access(with_folder.folder.c_str(), W_OK | X_OK) != 0) {
    return UnavailableError("temporary files: " + with_folder.folder + ": " + std::strerror(errno));
  }
  return std::unique_ptr<ArchiveImport>(new ArchiveImport(std::make_unique<Impl>(std::move(with_folder), filter, counters)));
}

absl::Status ArchiveImport::Begin(const Subject& subject) { return impl_->Begin(subject); }
absl::Status ArchiveImport::Feed(Bytes piece) { return impl_->Feed(piece); }
absl::Status ArchiveImport::EndOfArchive() { return impl_->EndOfArchive(); }
absl::Status ArchiveImport::Apply(pipeline::ImportPort* port, indexer::AccountScan* scan) { return impl_->Apply(port, scan); }
const ArchiveImport::Result& ArchiveImport::result() const { return impl_->result(); }
std::string_view ArchiveImport::rev() const { return impl_->rev(); }

}  // namespace penstock::backfill
