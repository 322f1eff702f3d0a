#include "indexer/ndjson.h"

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "cbor/json_out.h"
#include "repo/op.h"

namespace penstock::indexer {
namespace {

void AppendMember(std::string_view name, std::string_view text, std::string* out) {
  out->append(",\"").append(name).append("\":");
  cbor::AppendJsonString(text, out);
}

// The type of an event that has lines; empty for kControl.
std::string_view TypeName(EventKind kind) {
  switch (kind) {
    case EventKind::kCommit:
      return "commit";
    case EventKind::kSync:
      return "sync";
    case EventKind::kIdentity:
      return "identity";
    case EventKind::kAccount:
      return "account";
    case EventKind::kControl:
      return {};
  }
  return {};
}

// Opens a line with what all lines of the event share.
void BeginLine(const ChangeSet& change, std::string* out) {
  out->append("{\"seq\":").append(std::to_string(change.seq));
  AppendMember("type", TypeName(change.kind), out);
  AppendMember("did", change.did, out);
  if (!change.rev.empty()) AppendMember("rev", change.rev, out);
  if (!change.commit_cid.empty()) AppendMember("commit", change.commit_cid, out);
  if (!change.event_json.empty()) out->append(",").append(change.event_json);
}

// How far a commit's change was proven, and by whose leave it needed no more.
void AppendVerification(const ChangeSet& change, std::string* out) {
  AppendMember("verification", VerificationName(change.verification), out);
  if (!change.allowed.empty()) AppendMember("allowed", change.allowed, out);
}

void EndLine(std::string* out) { out->append("}\n"); }

void AppendRecordLine(const ChangeSet& change, const RecordRow& row, std::string* out) {
  if (row.validation == Validation::kInvalid) return;
  const size_t start = out->size();
  BeginLine(change, out);
  AppendMember("action", repo::ActionName(row.op), out);
  AppendMember("collection", row.collection, out);
  AppendMember("rkey", row.rkey, out);
  if (row.op != repo::Action::kDelete) {
    AppendMember("cid", row.cid, out);
    out->append(",\"record\":");
    const absl::Status status = cbor::AppendJson(row.cbor, {}, out);
    // Cannot fail, these bytes were checked; but if it did, half a line must not stay.
    if (!status.ok()) return out->resize(start);
  }
  AppendVerification(change, out);
  EndLine(out);
}

}  // namespace

void AppendNdjson(const ChangeSet& change, std::string* out) {
  if (!change.passed || change.kind == EventKind::kControl) return;
  for (const RecordRow& row : change.records) AppendRecordLine(change, row, out);
  if (!change.records.empty()) return;
  BeginLine(change, out);
  if (change.kind == EventKind::kCommit) {
    out->append(",\"action\":null");
    AppendVerification(change, out);
  }
  EndLine(out);
}

}  // namespace penstock::indexer
