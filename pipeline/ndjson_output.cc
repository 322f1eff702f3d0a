#include <cerrno>
#include <cstring>

#include "base/status.h"
#include "indexer/ndjson.h"
#include "pipeline/output.h"

namespace penstock::pipeline {
namespace {

absl::Status WriteAll(const std::string& text, std::FILE* to) {
  if (text.empty()) return absl::OkStatus();
  if (std::fwrite(text.data(), 1, text.size(), to) != text.size() || std::fflush(to) != 0) {
    return InternalError(std::string("writing NDJSON: ") + std::strerror(errno));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status NdjsonOutput::Apply(const indexer::Batch& batch, indexer::ApplyResult* result) {
  lines_.clear();
  for (const indexer::ChangeSetPtr& change : batch.changes) {
    indexer::AppendNdjson(*change, &lines_);
    result->rows_written += change->records.size();
  }
  RETURN_IF_ERROR(WriteAll(lines_, out_));
  if (errors_ == nullptr) return absl::OkStatus();
  lines_.clear();
  for (const indexer::ChangeSetPtr& change : batch.changes) {
    for (const indexer::DeadLetterRow& letter : change->dead_letters) {
      lines_.append("refused seq=").append(std::to_string(change->seq));
      if (letter.op >= 0) lines_.append(" op=").append(std::to_string(letter.op));
      lines_.append(" did=").append(change->did);
      if (!letter.collection.empty()) {
        lines_.append(" path=").append(letter.collection).append("/").append(letter.rkey);
      }
      lines_.append(" reject=").append(RejectName(letter.reject)).append(" (").append(letter.detail).append(")\n");
    }
    for (const indexer::QuarantineRow& row : change->quarantine) {
      lines_.append("quarantined after seq=").append(std::to_string(row.position)).append(" reject=");
      lines_.append(RejectName(row.reject)).append(" sha256=").append(row.frame_sha256).append("\n");
    }
  }
  return WriteAll(lines_, errors_);
}

}  // namespace penstock::pipeline
