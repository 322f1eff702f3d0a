#include "backfill/comparison.h"

#include <algorithm>

#include "base/status.h"
#include "repo/verification.h"

namespace penstock::backfill {
namespace {

// Rows of ours that are in memory at once: about 200 bytes each.
constexpr size_t kPageRows = 1000;

}  // namespace

repo::Action Difference::action() const {
  switch (kind) {
    case Kind::kMissing:
    case Kind::kWeaker:
      return repo::Action::kCreate;
    case Kind::kChanged:
      return repo::Action::kUpdate;
    case Kind::kGone:
      return repo::Action::kDelete;
  }
  return repo::Action::kCreate;
}

WantedOps WantedOpsOf(const indexer::Filter& filter, std::string_view did, std::string_view collection) {
  if (!filter.WantsAccount(did)) return {};
  repo::RepoOp op;
  op.collection = collection;
  const auto wants = [&](repo::Action action) {
    op.action = action;
    return filter.WantsOp(op);
  };
  return {wants(repo::Action::kCreate), wants(repo::Action::kUpdate), wants(repo::Action::kDelete)};
}

absl::Status Comparison::Run(Visit visit) {
  held_.clear();
  unchanged_ = 0;
  gone_ = 0;
  in_collection_ = false;
  if (scan_ != nullptr) RETURN_IF_ERROR(scan_->LoadCollections(did_, &held_));
  met_.assign(held_.size(), false);
  records_->Rewind();
  SpilledRecord record;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, records_->Next(&record));
    if (!more) break;
    if (!in_collection_ || record.collection != collection_) {
      if (in_collection_) RETURN_IF_ERROR(PassAllRows(visit));
      RETURN_IF_ERROR(EnterCollection(record.collection));
    }
    RETURN_IF_ERROR(PassRowsBefore(record.rkey, visit));
    RETURN_IF_ERROR(CompareRecord(record, visit));
  }
  if (in_collection_) RETURN_IF_ERROR(PassAllRows(visit));
  for (size_t i = 0; i < held_.size(); ++i) {
    if (met_[i]) continue;
    RETURN_IF_ERROR(EnterCollection(held_[i]));
    RETURN_IF_ERROR(PassAllRows(visit));
  }
  return absl::OkStatus();
}

absl::Status Comparison::EnterCollection(std::string_view collection) {
  collection_ = collection;
  in_collection_ = true;
  wanted_ = WantedOpsOf(*filter_, did_, collection_);
  rows_ = row_ = 0;
  last_page_ = true;
  const auto held = std::lower_bound(held_.begin(), held_.end(), collection_);
  if (held == held_.end() || *held != collection_) return absl::OkStatus();
  met_[static_cast<size_t>(held - held_.begin())] = true;
  if (!wanted_.any()) return absl::OkStatus();
  last_page_ = false;
  return LoadRows();
}

absl::Status Comparison::LoadRows() {
  const std::string after = rows_ == 0 ? std::string() : page_[rows_ - 1].rkey;
  rows_ = row_ = 0;
  if (page_.empty()) page_.resize(kPageRows);
  const absl::StatusOr<size_t> count =
      scan_->Read(did_, collection_, after, kPageRows, [this](const indexer::RecordDigest& digest) {
        if (rows_ == kPageRows) return;
        Row& row = page_[rows_++];
        row.rkey = digest.rkey;
        row.cid = digest.cid;
        row.rev = digest.rev;
        row.deleted = digest.deleted;
        row.strong = repo::IsStrong(digest.verification);
        row.whole = digest.verification == repo::Verification::kFull || digest.verification == repo::Verification::kExport;
      });
  if (!count.ok()) return count.status();
  last_page_ = *count < kPageRows;
  return absl::OkStatus();
}

absl::Status Comparison::NextRow() {
  if (++row_ < rows_ || last_page_) return absl::OkStatus();
  return LoadRows();
}

absl::Status Comparison::PassRowsBefore(std::string_view rkey, Visit visit) {
  while (row() != nullptr && row()->rkey < rkey) {
    RETURN_IF_ERROR(PassRow(*row(), visit));
    RETURN_IF_ERROR(NextRow());
  }
  return absl::OkStatus();
}

absl::Status Comparison::PassAllRows(Visit visit) {
  while (row() != nullptr) {
    RETURN_IF_ERROR(PassRow(*row(), visit));
    RETURN_IF_ERROR(NextRow());
  }
  return absl::OkStatus();
}

absl::Status Comparison::PassRow(const Row& row, Visit visit) {
  const int32_t index = -2 - gone_++;
  if (row.strong && row.rev > rev_) return absl::OkStatus();  // newer than the repository
  if (!wanted_.remove || (row.deleted && row.whole)) return absl::OkStatus();
  return visit({Difference::Kind::kGone, collection_, row.rkey, nullptr, index});
}

absl::Status Comparison::CompareRecord(const SpilledRecord& record, Visit visit) {
  const Row* const ours = row();
  Difference difference{Difference::Kind::kMissing, record.collection, record.rkey, &record, record.index};
  if (ours == nullptr || ours->rkey != record.rkey) {
    return wanted_.create ? visit(difference) : absl::OkStatus();
  }
  cid_.clear();
  record.cid.AppendTo(&cid_);
  const bool same = !ours->deleted && ours->cid == cid_;
  bool wanted = false;
  if (ours->strong && ours->rev > rev_) {
    unchanged_ += same;  // newer than the repository
  } else if (ours->deleted) {
    wanted = wanted_.create;
  } else if (!same) {
    difference.kind = Difference::Kind::kChanged;
    wanted = wanted_.update;
  } else if (!ours->whole) {
    difference.kind = Difference::Kind::kWeaker;
    wanted = wanted_.contents();
  } else {
    ++unchanged_;
  }
  if (wanted) RETURN_IF_ERROR(visit(difference));
  return NextRow();
}

}  // namespace penstock::backfill
