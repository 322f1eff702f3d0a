#include "indexer/record_audit.h"

#include "base/status.h"
#include "cbor/cid.h"
#include "cbor/json_in.h"
#include "cbor/json_out.h"
#include "cbor/record_data.h"
#include "indexer/change_set.h"
#include "repo/syntax.h"

namespace penstock::indexer {
namespace {

constexpr std::string_view kInvalid = "invalid";

bool IsValidation(std::string_view name) {
  using enum Validation;
  for (const Validation validation : {kUnknown, kOk, kWarn, Validation::kInvalid}) {
    if (ValidationName(validation) == name) return true;
  }
  return false;
}

// Whether both say the same, whatever the database made of spaces and the order of keys. True as well where
// `derived` is JSON that does not read back (cbor/json_in.h): then nothing can be said.
bool SameJson(std::string_view stored, std::string_view derived) {
  if (stored == derived) return true;
  const auto expected = cbor::JsonToCbor(derived, {}, cbor::DataModel::kDrisl);
  if (!expected.ok()) return !stored.empty();
  const auto found = cbor::JsonToCbor(stored, {}, cbor::DataModel::kDrisl);
  return found.ok() && *found == *expected;
}

}  // namespace

void RecordAuditor::Check(const ScannedRecord& record, std::vector<Finding>* findings) {
  findings_ = findings;
  const size_t before = findings->size();
  ++counts_.rows;
  CheckKey(record);
  CheckBytes(record);
  if (record.proof) CheckProof(record);
  counts_.failed += findings->size() > before;
}

void RecordAuditor::Add(std::string_view what, std::string_view detail) {
  findings_->push_back({std::string(what), std::string(detail)});
}

void RecordAuditor::Add(const absl::Status& status) {
  const std::optional<Reject> reject = RejectOf(status);
  std::string_view detail = Message(status);
  if (!reject) return Add("internal", detail);
  // The name begins the message too.
  const std::string_view name = RejectName(*reject);
  if (detail.starts_with(name)) detail.remove_prefix(name.size());
  if (detail.starts_with(": ")) detail.remove_prefix(2);
  Add(name, detail);
}

void RecordAuditor::CheckKey(const ScannedRecord& record) {
  if (!repo::Did::Parse(record.did)) Add(RejectName(Reject::kSyntaxDid), record.did);
  path_.assign(record.collection).append("/").append(record.rkey);
  if (!repo::RepoPath::Parse(path_)) Add(RejectName(Reject::kSyntaxRepoPath), path_);
  if (!repo::Tid::Parse(record.rev)) Add(RejectName(Reject::kSyntaxTid), record.rev);
  if (!repo::VerificationFromName(record.verification)) Add("row_bad_word", record.verification);
  if (!IsValidation(record.validation)) Add("row_bad_word", record.validation);
}

void RecordAuditor::CheckBytes(const ScannedRecord& record) {
  if (record.deleted) {
    ++counts_.tombstones;
    if (!record.cid.empty() || !record.cbor.empty() || !record.value.empty() || record.proof)
      Add("row_tombstone_with_data", "");
    return;
  }
  const absl::StatusOr<cbor::Cid> cid = cbor::Cid::FromString(record.cid);
  if (!cid.ok())
    return Add(record.cid.empty() ? "row_without_bytes" : RejectName(Reject::kCidMalformed), record.cid);
  if (!cid->view().IsBlessedData()) {
    // Indexed only so that later ops line up; it is in no view.
    ++counts_.unhashable;
    if (record.validation != kInvalid) Add(RejectName(Reject::kCidUnsupported), record.cid);
    return;
  }
  if (record.cbor.empty()) return Add("row_without_bytes", "");
  counts_.bytes += record.cbor.size();
  if (!cbor::BlockMatches(cid->view(), record.cbor))
    Add("row_cid_mismatch", "the bytes hash to " + cbor::Cid::OfBlock(record.cbor).ToString());
  CheckValue(record);
}

void RecordAuditor::CheckValue(const ScannedRecord& record) {
  if (record.validation == kInvalid) {
    if (!record.value.empty()) Add("row_value_mismatch", "a value of what is not valid data");
    return;
  }
  absl::Status status = cbor::CheckRecord(record.cbor, record.collection, nullptr);
  json_.clear();
  bool lossy = false;
  cbor::JsonOptions options;
  options.replace_nul = true;
  if (status.ok()) status = cbor::AppendJson(record.cbor, options, &json_, &lossy);
  if (!status.ok()) return Add(status);
  if (lossy != record.value_lossy || !SameJson(record.value, json_))
    Add("row_value_mismatch", "not what the signed bytes say");
}

const crypto::PublicKey* RecordAuditor::Key(std::string_view did_key) {
  if (did_key.empty()) return nullptr;
  if (key_name_ != did_key) {
    key_name_ = did_key;
    absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromDidKey(did_key);
    key_ = key.ok() ? std::optional(*std::move(key)) : std::nullopt;
  }
  if (!key_) Add(RejectName(Reject::kKeyMalformed), did_key);
  return key_ ? &*key_ : nullptr;
}

void RecordAuditor::CheckProof(const ScannedRecord& record) {
  const ScannedRecord::Proof& stored = *record.proof;
  ++counts_.proofs;
  const std::optional<repo::Did> did = repo::Did::Parse(record.did);
  if (!did || !repo::RepoPath::Parse(path_)) return;  // said already
  const crypto::PublicKey* key = Key(stored.did_key);
  const absl::Status status = proofs_.Verify(stored.bytes, *did, path_, key, &proof_);
  if (!status.ok()) {
    Add(status);
  } else if (proof_.commit.rev != record.rev || stored.rev != record.rev ||
             stored.commit_cid != record.commit_cid ||
             cbor::Cid::OfBlock(proof_.commit_block).ToString() != record.commit_cid) {
    Add("proof_other_state", "of the commit " + std::string(proof_.commit.rev));
  } else if (!proof_.included || proof_.cid.ToString() != record.cid) {
    Add("proof_cid_mismatch", proof_.included ? proof_.cid.ToString() : "the signed tree has no record here");
  } else if (key != nullptr) {
    ++counts_.signatures;
  }
}

}  // namespace penstock::indexer
