#include "app/verify_store.h"

#include <chrono>
#include <cinttypes>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>
#include <vector>

#include "app/progress.h"
#include "base/encoding.h"
#include "base/status.h"
#include "cbor/json_out.h"
#include "crypto/sha256.h"
#include "fmt/format.h"
#include "repo/syntax.h"

namespace penstock::app {
namespace {

using indexer::AuditCounts;
using indexer::RecordKey;
using std::chrono::steady_clock;

// A statement's worth: long enough to keep the database busy, short enough for a reader's snapshot.
constexpr size_t kChunkRows = 1000;
constexpr auto kRemember = std::chrono::seconds(5);
constexpr auto kRedraw = std::chrono::milliseconds(200);
constexpr auto kLogEvery = std::chrono::seconds(10);
constexpr auto kRetryPause = std::chrono::milliseconds(500);
constexpr int kRetries = 120;

std::string Uri(const RecordKey& key) {
  return key.did.empty() ? "" : "at://" + key.did + "/" + key.collection + "/" + key.rkey;
}

// The inverse. Not by repo::AtUri: whatever a row's key is, a scan must be able to go on behind it.
absl::StatusOr<RecordKey> KeyOf(std::string_view uri) {
  constexpr std::string_view kScheme = "at://";
  const size_t rkey = uri.rfind('/');
  if (uri.starts_with(kScheme) && rkey != uri.npos) {
    const std::string_view rest = uri.substr(kScheme.size(), rkey - std::min(rkey, kScheme.size()));
    const size_t collection = rest.rfind('/');
    if (collection != rest.npos && collection > 0)
      return RecordKey{std::string(rest.substr(0, collection)), std::string(rest.substr(collection + 1)),
                       std::string(uri.substr(rkey + 1))};
  }
  return InvalidInputError("not a record's URI: '" + std::string(uri) + "' (at://did/collection/rkey)");
}

// Names and counters, as they stand in the resume file and in the verdict's JSON.
struct Counter {
  const char* name;
  uint64_t AuditCounts::*value;
};
constexpr Counter kCounters[] = {
    {"rows", &AuditCounts::rows},
    {"bytes", &AuditCounts::bytes},
    {"tombstones", &AuditCounts::tombstones},
    {"unhashable", &AuditCounts::unhashable},
    {"proofs", &AuditCounts::proofs},
    {"signatures", &AuditCounts::signatures},
    {"failed", &AuditCounts::failed},
};

std::string Amount(uint64_t bytes) {
  return bytes < 10'000'000 ? fmt::format("{} KB", Grouped(bytes / 1000))
                            : fmt::format("{} MB", Grouped(bytes / 1'000'000));
}

class Verification {
 public:
  Verification(const VerifyStoreOptions& options, VerifyStoreReport* report)
      : options_(options), report_(*report) {}

  absl::Status Run() {
    report_ = {};
    absl::Status status = TakeUp();
    if (status.ok()) status = Scan();
    report_.counts = auditor_.counts();
    report_.after = Uri(after_);
    DrawProgress(/*last=*/true);
    if (started_) {
      const absl::Status remembered = Remember();
      if (status.ok()) status = remembered;
      PrintVerdict(status);
    }
    return status;
  }

 private:
  // ---- Where to begin

  absl::Status TakeUp() {
    indexer::StoreOptions store;
    store.url = options_.url;
    ASSIGN_OR_RETURN(scan_, indexer::MakeRecordScan(store));
    if (!options_.after.empty()) {
      ASSIGN_OR_RETURN(after_, KeyOf(options_.after));
    }
    if (options_.resume_file.empty() || !std::filesystem::exists(options_.resume_file))
      return absl::OkStatus();
    if (!options_.after.empty())
      return InvalidInputError("a start was given, and " + options_.resume_file + " has another one");
    std::ifstream file(options_.resume_file);
    std::string name, value, store_name;
    AuditCounts counts;
    while (file >> name && std::getline(file >> std::ws, value)) {
      if (name == "store") store_name = value;
      if (name == "after") {
        ASSIGN_OR_RETURN(after_, KeyOf(value));
      }
      for (const Counter& counter : kCounters) {
        if (name == counter.name) counts.*counter.value = std::strtoull(value.c_str(), nullptr, 10);
      }
    }
    if (store_name != StoreName())
      return InvalidInputError(options_.resume_file + " is not of this store: remove it to start anew");
    auditor_.set_counts(counts);
    rows_before_ = counts.rows;
    return absl::OkStatus();
  }

  // Not the URL itself: it may hold a password.
  std::string StoreName() const { return ToHex(crypto::Sha256(AsBytes(options_.url))); }

  absl::Status Remember() {
    if (options_.resume_file.empty()) return absl::OkStatus();
    std::error_code error;
    if (report_.complete) {
      std::filesystem::remove(options_.resume_file, error);
      return absl::OkStatus();
    }
    if (after_.did.empty()) return absl::OkStatus();
    const std::string written = options_.resume_file + ".new";
    std::ofstream file(written);
    file << "store " << StoreName() << "\nafter " << Uri(after_) << "\n";
    for (const Counter& counter : kCounters)
      file << counter.name << " " << auditor_.counts().*counter.value << "\n";
    file.close();
    if (file.good()) std::filesystem::rename(written, options_.resume_file, error);
    if (!file.good() || error) return UnavailableError("cannot write " + options_.resume_file);
    return absl::OkStatus();
  }

  // ---- The rows

  bool Stopped() const { return options_.stop != nullptr && options_.stop->load(); }

  absl::Status Scan() {
    ASSIGN_OR_RETURN(estimate_, scan_->EstimateRows());
    started_ = true;
    int failures = 0;
    while (!Stopped()) {
      const auto visit = [this](const indexer::ScannedRecord& record) { Visit(record); };
      const absl::StatusOr<size_t> rows = scan_->Read(after_, kChunkRows, visit);
      if (!rows.ok()) {
        if (!IsTransient(rows.status()) || ++failures > kRetries) return rows.status();
        if (failures == 1)
          Log(options_.log, LogLevel::kWarning, "verify: " + std::string(Message(rows.status())));
        std::this_thread::sleep_for(kRetryPause);
        continue;
      }
      failures = 0;
      if (*rows < kChunkRows && !Stopped()) {
        report_.complete = true;
        return absl::OkStatus();
      }
      DrawProgress(/*last=*/false);
      if (steady_clock::now() - remembered_ >= kRemember) {
        remembered_ = steady_clock::now();
        RETURN_IF_ERROR(Remember());
      }
    }
    return absl::OkStatus();
  }

  void Visit(const indexer::ScannedRecord& record) {
    if (Stopped()) return;
    findings_.clear();
    auditor_.Check(record, &findings_);
    after_.did = record.did;
    after_.collection = record.collection;
    after_.rkey = record.rkey;
    for (const indexer::Finding& finding : findings_) Print(finding);
  }

  // ---- What is said

  void Print(const indexer::Finding& finding) {
    if (drawn_) std::fprintf(stderr, "\r\033[K");
    drawn_ = false;
    std::string line;
    if (options_.json) {
      line = "{";
      AppendMember("uri", Uri(after_), &line);
      AppendMember("finding", finding.what, &line);
      if (!finding.detail.empty()) AppendMember("detail", finding.detail, &line);
      line += "}";
    } else {
      line = Uri(after_) + ": " + finding.what;
      if (!finding.detail.empty()) line += ": " + finding.detail;
    }
    std::fprintf(options_.out, "%s\n", line.c_str());
  }

  static void AppendMember(std::string_view name, std::string_view text, std::string* out) {
    if (out->size() > 1) out->append(",");
    out->append("\"").append(name).append("\":");
    cbor::AppendJsonString(text, out);
  }

  void PrintVerdict(const absl::Status& status) {
    const AuditCounts& counts = auditor_.counts();
    if (options_.json) {
      std::string line = "{";
      AppendMember("verdict", !report_.complete ? "incomplete" : counts.failed == 0 ? "ok" : "failed", &line);
      for (const Counter& counter : kCounters)
        line += fmt::format(",\"{}\":{}", counter.name, counts.*counter.value);
      if (!report_.complete) AppendMember("after", report_.after, &line);
      if (!status.ok()) AppendMember("error", Message(status), &line);
      std::fprintf(options_.out, "%s}\n", line.c_str());
      return;
    }
    std::string line = fmt::format("{} rows, {} hashed", Grouped(counts.rows), Amount(counts.bytes));
    if (counts.tombstones > 0) line += fmt::format(", {} tombstones", Grouped(counts.tombstones));
    if (counts.unhashable > 0) line += fmt::format(", {} cannot be hashed", Grouped(counts.unhashable));
    if (counts.proofs > 0)
      line += fmt::format(", {} proofs ({} to the signature)", Grouped(counts.proofs),
                          Grouped(counts.signatures));
    line += counts.failed == 0 ? (report_.complete ? ": all of it holds" : ": all of it holds so far")
                               : fmt::format(": {} ROWS DO NOT VERIFY", Grouped(counts.failed));
    std::fprintf(options_.out, "%s\n", line.c_str());
    if (report_.complete) return;
    std::fprintf(options_.out, "not complete%s%s\n", report_.after.empty() ? "" : "; go on behind ",
                 report_.after.c_str());
  }

  void DrawProgress(bool last) {
    const auto now = steady_clock::now();
    if (last) {
      if (drawn_) std::fprintf(stderr, "\r\033[K");
      drawn_ = false;
      return;
    }
    if (now - drawn_at_ < (options_.terminal ? steady_clock::duration(kRedraw) : kLogEvery)) return;
    drawn_at_ = now;
    const AuditCounts& counts = auditor_.counts();
    const double seconds = std::chrono::duration<double>(now - start_).count();
    std::string line = fmt::format("verify: {} rows", Grouped(counts.rows));
    if (estimate_ > 0) line += fmt::format(" of about {}", Grouped(static_cast<uint64_t>(estimate_)));
    line += fmt::format(
        ", {}, {} rows/s", Amount(counts.bytes),
        Grouped(static_cast<uint64_t>(static_cast<double>(counts.rows - rows_before_) / seconds)));
    if (counts.proofs > 0) line += fmt::format(", {} proofs", Grouped(counts.proofs));
    if (counts.failed > 0) line += fmt::format(", {} FAILED", Grouped(counts.failed));
    if (options_.terminal) {
      std::fprintf(stderr, "\r\033[K%s", line.c_str());
      std::fflush(stderr);
      drawn_ = true;
    } else {
      Log(options_.log, LogLevel::kInfo, line);
    }
  }

  const VerifyStoreOptions& options_;
  VerifyStoreReport& report_;
  std::unique_ptr<indexer::RecordScan> scan_;
  indexer::RecordAuditor auditor_;
  std::vector<indexer::Finding> findings_;
  RecordKey after_;
  bool started_ = false;  // the store was there
  int64_t estimate_ = 0;
  uint64_t rows_before_ = 0;
  bool drawn_ = false;
  const steady_clock::time_point start_ = steady_clock::now();
  steady_clock::time_point remembered_ = start_, drawn_at_ = start_;
};

}  // namespace

absl::Status VerifyStore(const VerifyStoreOptions& options, VerifyStoreReport* report) {
  return Verification(options, report).Run();
}

}  // namespace penstock::app
