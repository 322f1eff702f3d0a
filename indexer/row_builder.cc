#include "indexer/row_builder.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string_view>

#include "base/status.h"
#include "cbor/json_out.h"
#include "cbor/reader.h"
#include "repo/syntax.h"

namespace penstock::indexer {
namespace {

using firehose::Frame;
using firehose::FrameKind;

// The text of `createdAt` at the top level of a good record; empty if there is none.
std::string_view CreatedAt(Bytes record) {
  constexpr std::string_view kKey = "createdAt";
  cbor::Reader reader(record);
  cbor::MapCursor map;
  std::string_view key, text;
  if (!reader.BeginMap(&map)) return {};
  // Keys come by length, so most records are read no further than this key's own length.
  while (reader.NextKey(&map, &key) && key.size() <= kKey.size()) {
    if (key != kKey) {
      if (!reader.Skip()) break;
      continue;
    }
    if (reader.Peek() == cbor::Kind::kText && reader.ReadText(&text)) return text;
    break;
  }
  return {};
}

// Adds `"name":` to JSON members. `name` needs no escape.
void AppendName(std::string_view name, std::string* members) {
  if (!members->empty()) members->push_back(',');
  members->append("\"").append(name).append("\":");
}

void AppendMember(std::string_view name, std::string_view text, std::string* members) {
  AppendName(name, members);
  cbor::AppendJsonString(text, members);
}

// `null` for a text that is absent, which is not the same as an empty one.
void AppendMember(std::string_view name, const std::optional<std::string_view>& text, std::string* members) {
  if (text) return AppendMember(name, *text, members);
  AppendName(name, members);
  members->append("null");
}

// The status's words without the name, which has a column of its own.
std::string_view DetailOf(const absl::Status& why, Reject reject) {
  std::string_view detail = Message(why);
  if (detail.starts_with(RejectName(reject))) detail.remove_prefix(RejectName(reject).size());
  if (detail.starts_with(": ")) detail.remove_prefix(2);
  return detail;
}

// `collection` and `rkey` are the arena's already. The frame goes with the event's first letter only.
void AddDeadLetter(int32_t op, std::string_view collection, std::string_view rkey, const absl::Status& why,
                   Bytes raw_frame, ChangeSet* change) {
  DeadLetterRow letter;
  letter.op = op;
  letter.collection = collection;
  letter.rkey = rkey;
  letter.reject = *RejectOf(why);
  letter.detail = change->arena.Copy(DetailOf(why, letter.reject));
  if (change->dead_letters.empty()) {
    letter.frame = change->arena.Copy(raw_frame.first(std::min(raw_frame.size(), kMaxDeadLetterFrame)));
  }
  change->dead_letters.push_back(letter);
}

// A frame that broke its schema still says by its type what it wanted to be.
EventKind KindOf(const Frame& frame) {
  if (frame.kind == FrameKind::kSync || frame.type == "#sync") return EventKind::kSync;
  if (frame.kind == FrameKind::kIdentity || frame.type == "#identity") return EventKind::kIdentity;
  if (frame.kind == FrameKind::kAccount || frame.type == "#account") return EventKind::kAccount;
  return EventKind::kCommit;
}

}  // namespace

std::string_view RowBuilder::CidText(const cbor::CidView& cid, ChangeSet* change) {
  text_.clear();
  if (!cid.empty()) cid.AppendTo(&text_);
  return change->arena.Copy(text_);
}

bool RowBuilder::Begin(const Frame& frame, EventKind kind, Bytes raw_frame, ChangeSet* change) {
  change->kind = kind;
  change->seq = frame.seq.value_or(change->seq);
  change->did = change->arena.Copy(frame.did.text());
  change->rev = change->arena.Copy(frame.rev);
  const bool wanted = kind == EventKind::kCommit
                          ? filter_->everything() || filter_->Matches(frame.did.text(), frame.ops)
                          : filter_->WantsAccount(frame.did.text());
  if (!wanted) return false;
  if (!frame.did.IsResolvable()) {
    const absl::Status why = RejectError(Reject::kUnsupportedDidMethod, frame.did.method());
    AddDeadLetter(-1, {}, {}, why, raw_frame, change);
    return false;
  }
  change->passed = true;
  return true;
}

void RowBuilder::BuildCommit(const Frame& frame, const repo::CheckedCommit& checked,
                             Verification verification, Bytes raw_frame, ChangeSet* change) {
  if (!Begin(frame, EventKind::kCommit, raw_frame, change)) return;
  change->commit_cid = CidText(frame.commit, change);
  change->verification = verification;
  for (size_t i = 0; i < frame.ops.size(); ++i) {
    if (!filter_->WantsOp(frame.ops[i])) continue;
    const int32_t index = static_cast<int32_t>(i);
    const absl::Status data =
        AddRow(frame.ops[i], index, checked.records[i], cbor::kMaxRecordBytesInCommit, change);
    if (data.ok()) continue;
    const RecordRow& row = change->records.back();
    AddDeadLetter(index, row.collection, row.rkey, data, raw_frame, change);
  }
  text_.clear();
  AppendMember("time", frame.time, &text_);
  change->event_json = change->arena.Copy(text_);
}

absl::Status RowBuilder::AddRow(const repo::RepoOp& op, int32_t index, Bytes record, size_t max_bytes,
                                ChangeSet* change) {
  RecordRow& row = change->records.emplace_back();
  row.collection = change->arena.Copy(op.collection);
  row.rkey = change->arena.Copy(op.rkey);
  row.op = op.action;
  row.op_index = index;
  if (op.action == repo::Action::kDelete) return absl::OkStatus();
  row.cid = CidText(op.cid, change);
  row.cbor = change->arena.Copy(record);
  absl::Status status;
  if (op.cid.IsBlessedData()) {
    status = FillFromRecord(&row, max_bytes, change);
  } else {
    status = RejectError(Reject::kRecordUnverifiable, "its CID is not dag-cbor and SHA-256");
  }
  // Kept out of every view, but its CID stays, so that what was at this path before disappears and later ops
  // line up.
  if (!status.ok()) row.validation = Validation::kInvalid;
  return status;
}

void RowBuilder::AddImported(const repo::RepoOp& op, int32_t index, Bytes record, ChangeSet* change) {
  const absl::Status data = AddRow(op, index, record, cbor::kMaxRecordBytes, change);
  if (data.ok()) return;
  const RecordRow& row = change->records.back();
  AddDeadLetter(index, row.collection, row.rkey, data, {}, change);
  // There is no frame that the first letter could hold for all.
  change->dead_letters.back().frame = row.cbor.first(std::min(row.cbor.size(), kMaxDeadLetterFrame));
}

absl::Status RowBuilder::FillFromRecord(RecordRow* row, size_t max_bytes, ChangeSet* change) {
  cbor::RecordReport report;
  RETURN_IF_ERROR(cbor::CheckRecord(row->cbor, row->collection, &report, max_bytes));
  text_.clear();
  cbor::JsonOptions options;
  options.replace_nul = true;
  RETURN_IF_ERROR(cbor::AppendJson(row->cbor, options, &text_, &row->value_lossy));
  row->value = change->arena.Copy(text_);

  // A datetime has a year of four digits, so its microseconds are far from the ends of int64.
  row->created_at = change->arena.Copy(CreatedAt(row->cbor));
  if (const auto created = repo::Datetime::Parse(row->created_at)) row->created_us = created->micros;

  refs_.clear();
  const bool all_refs = FindRefs(row->cbor, &change->arena, &refs_);
  const std::span<RefRow> refs = change->arena.Array<RefRow>(refs_.size());
  std::copy(refs_.begin(), refs_.end(), refs.begin());
  row->refs = refs;

  const bool warn = report.empty_key || report.has_nul || !all_refs;
  row->validation = warn ? Validation::kWarn : Validation::kUnknown;
  return absl::OkStatus();
}

void RowBuilder::BuildIdentity(const Frame& frame, ChangeSet* change) {
  if (!Begin(frame, EventKind::kIdentity, {}, change)) return;
  text_.clear();
  AppendMember("time", frame.time, &text_);
  AppendMember("handle", frame.handle, &text_);
  change->event_json = change->arena.Copy(text_);
}

void RowBuilder::BuildAccount(const Frame& frame, ChangeSet* change) {
  if (!Begin(frame, EventKind::kAccount, {}, change)) return;
  change->account = AccountRow{frame.active, change->arena.Copy(frame.status.value_or(std::string_view()))};
  text_.clear();
  AppendMember("time", frame.time, &text_);
  AppendName("active", &text_);
  text_.append(frame.active ? "true" : "false");
  AppendMember("status", frame.status, &text_);
  change->event_json = change->arena.Copy(text_);
}

void RowBuilder::BuildSync(const Frame& frame, const repo::CommitObject& commit,
                           const cbor::CidView& commit_cid, ChangeSet* change) {
  if (!Begin(frame, EventKind::kSync, {}, change)) return;
  change->commit_cid = CidText(commit_cid, change);
  const std::string_view data = CidText(commit.data, change);
  text_.clear();
  AppendMember("time", frame.time, &text_);
  AppendMember("data", data, &text_);
  change->event_json = change->arena.Copy(text_);
}

void RowBuilder::BuildRefused(const Frame& frame, Bytes raw_frame, const absl::Status& why,
                              ChangeSet* change) {
  change->kind = KindOf(frame);
  change->seq = frame.seq.value_or(change->seq);
  change->did = change->arena.Copy(frame.did.text());
  change->rev = change->arena.Copy(frame.rev);
  change->commit_cid = CidText(frame.commit, change);
  AddDeadLetter(-1, {}, {}, why, raw_frame, change);
}

}  // namespace penstock::indexer
