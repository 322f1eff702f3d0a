// Whole repositories on their way into SQLite: how fast, and in how much memory.
//
//   backfill_bench [records of the large one = 1000000] [small repositories = 200] [records of each = 1000]
//                  [directory = /var/tmp]
//
// First the large one, in tree order and shuffled: verified and taken in through the real pipeline, each in a process of its
// own, whose memory is the operating system's count; then once more, killed when half of its rows are there, and taken in
// again.
//
// Then the rate: the small ones, by two threads, beside the store's own limit, which is the very same rows through Store::Apply
// alone, in the batches that the pipeline makes. Both take turns, and the best of each counts.
//
// All archives are made here and removed again; whoever makes them is another process, too.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "backfill/archive_import.h"
#include "base/status.h"
#include "fixtures/builder/fake_time.h"
#include "fixtures/builder/large_repository.h"
#include "identity/recorded.h"
#include "indexer/readers.h"
#include "indexer/store.h"
#include "pipeline/pipeline.h"

namespace {

using namespace penstock;  // NOLINT: a program

constexpr size_t kPiece = 64 * 1024;  // as a network reader takes them
constexpr int kRounds = 5;            // the best of each counts
constexpr size_t kThreads = 2;

[[noreturn]] void Die(const std::string& words) {
  std::fprintf(stderr, "backfill_bench: %s\n", words.c_str());
  _exit(1);
}
void Check(const absl::Status& status, const char* what) {
  if (!status.ok()) Die(std::string(what) + ": " + std::string(Message(status)));
}

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Of this process, in MB.
double Memory(const char* what) {
  std::ifstream status("/proc/self/status");
  double kb = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(what)) kb = std::atof(line.c_str() + line.find(':') + 1);
  }
  return kb / 1024;
}

// It is killed as soon as `kill_now` says so.
void InAnotherProcess(const std::function<void()>& run, const std::function<bool()>& kill_now = nullptr) {
  std::fflush(stdout);
  const pid_t pid = fork();
  if (pid < 0) Die("fork");
  if (pid == 0) {
    run();
    std::fflush(stdout);
    _exit(0);
  }
  int status = 0;
  bool killed = false;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (kill_now && !killed && kill_now()) {
      kill(pid, SIGKILL);
      killed = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  if (killed != WIFSIGNALED(status) || (!killed && status != 0)) Die("a process of its own has failed");
}

// One archive, and whose it is.
struct Archive {
  builder::LargeRepositoryOptions made;
  std::string path;

  std::string did() const { return builder::Account(made.account).did(); }
  crypto::PublicKey key() const { return *crypto::PublicKey::FromDidKey(builder::Account(made.account).key().DidKey()); }
  // Its bytes, from the file. Where they come from a host instead, this is what is another.
  absl::Status Feed(backfill::ArchiveImport* import) const {
    std::ifstream file(path, std::ios::binary);
    std::vector<char> piece(kPiece);
    while (file) {
      file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
      RETURN_IF_ERROR(import->Feed(AsBytes(std::string_view(piece.data(), static_cast<size_t>(file.gcount())))));
    }
    return import->EndOfArchive();
  }
};

// An SQLite file of its own, removed with it.
class Database {
 public:
  explicit Database(const std::string& directory)
      : path_(directory + "/penstock-backfill-bench-" + std::to_string(getpid()) + ".db") {}
  ~Database() {
    for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
      std::error_code ignored;
      std::filesystem::remove(path_ + suffix, ignored);
    }
  }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  const std::string& path() const { return path_; }
  indexer::StoreOptions Options(const Clock* clock, Counters* counters) const {
    indexer::StoreOptions options;
    options.url = "sqlite:" + path_;
    options.owner = "bench";
    options.clock = clock;
    options.counters = counters;
    return options;
  }
  int64_t Count(const char* sql) const {
    const SystemClock clock;
    Counters counters;
    const auto store = *indexer::MakeStore(Options(&clock, &counters));
    Check(store->Open(), "store");
    const auto table = store->Query(sql);
    Check(table.status(), "query");
    return std::atoll(table->rows.at(0).at(0).value_or("0").c_str());
  }

 private:
  const std::string path_;
};

// The part of a service that repositories go through: a store, and a pipeline that no live event comes to.
class Service {
 public:
  explicit Service(const Database& database) : store_options_(database.Options(&clock_, &counters_)) {
    store_options_.verify = repo::Verification::kFull;
    store_ = *indexer::MakeStore(store_options_);
    Check(store_->Open(), "store");
    output_ = std::make_unique<pipeline::StoreOutput>(store_.get());
    pipeline::PipelineOptions options;
    options.filter = &filter_;
    options.clock = &clock_;
    options.counters = &counters_;
    options.resolver = &nobody_;
    options.state_store = [this] { return *indexer::MakeStateStore(store_options_); };
    pipeline_ = std::make_unique<pipeline::Pipeline>(options, output_.get());
    Check(pipeline_->Start(), "pipeline");
  }

  std::unique_ptr<backfill::ArchiveImport> NewImport(const std::string& directory) {
    backfill::ArchiveOptions options;
    options.folder = directory;
    return *backfill::ArchiveImport::Create(options, &filter_, &counters_);
  }
  backfill::ArchiveImport::Result Import(const Archive& archive, backfill::ArchiveImport* import) {
    const std::string did = archive.did();
    const crypto::PublicKey key = archive.key();
    const auto account = pipeline_->imports()->Prepare(did);
    Check(account.status(), "prepare");
    backfill::ArchiveImport::Subject subject;
    subject.did = did;
    subject.key = &key;
    subject.now_us = clock_.NowMicros();
    subject.host = "https://pds.bench";
    subject.is_new = !account->known;
    Check(import->Begin(subject), "begin");
    Check(archive.Feed(import), "archive");
    const auto scan = indexer::MakeAccountScan(store_options_);
    Check(scan.status(), "scan");
    Check(import->Apply(pipeline_->imports(), scan->get()), "apply");
    return import->result();
  }
  // All that was sent is in the store after it.
  void Finish() {
    Check(pipeline_->Finish(600'000'000), "pipeline");
    pipeline_.reset();
    store_->Close();
  }

 private:
  const SystemClock clock_;
  Counters counters_;
  const indexer::Filter filter_ = indexer::Filter::Everything();
  identity::RecordedResolver nobody_;
  indexer::StoreOptions store_options_;
  std::unique_ptr<indexer::Store> store_;
  std::unique_ptr<pipeline::StoreOutput> output_;
  std::unique_ptr<pipeline::Pipeline> pipeline_;
};

// Takes what an import writes, instead of a store: the rows as they are.
class RowsOnly final : public pipeline::ImportPort {
 public:
  absl::StatusOr<pipeline::AccountView> Prepare(std::string_view) override { return pipeline::AccountView(); }
  absl::Status Begin(std::string_view, const sync::Head&, bool, bool*) override { return absl::OkStatus(); }
  indexer::ChangeSetPtr NewChange() override { return changes_.Take(); }
  absl::Status Write(indexer::ChangeSetPtr part) override {
    rows.push_back(std::move(part));
    return absl::OkStatus();
  }
  absl::Status WaitDurable() override { return absl::OkStatus(); }
  absl::Status Finish(std::string_view, const sync::Head&, bool, indexer::ChangeSetPtr last) override {
    return Write(std::move(last));
  }
  absl::Status Abandon(std::string_view) override { return absl::OkStatus(); }
  absl::Status SetStatus(std::string_view, const sync::HostStatus&, indexer::ChangeSetPtr) override { return absl::OkStatus(); }
  absl::Status Purge(std::string_view, uint64_t) override { return absl::OkStatus(); }

 private:
  indexer::ChangeSetRecycler changes_{0};

 public:
  std::vector<indexer::ChangeSetPtr> rows;
};

struct Bench {
  size_t large, repositories, records;
  std::string directory;

  Archive Make(size_t count, builder::BlockOrder order, uint64_t seed) const {
    Archive archive;
    archive.made.records = count;
    archive.made.order = order;
    archive.made.account.seed = seed;
    archive.made.directory = directory;
    archive.path = directory + "/penstock-backfill-bench-" + std::to_string(getpid()) + "-" + std::to_string(seed) + ".car";
    InAnotherProcess([&] { Check(builder::WriteLargeRepository(archive.made, archive.path).status(), "make"); });
    return archive;
  }

  // ---- One large repository
  void TakeIn(const Archive& archive, const Database& database, const char* what) const {
    InAnotherProcess([&] {
      const double before = Memory("VmHWM");
      const double start = Seconds();
      Service service(database);
      const auto import = service.NewImport(directory);
      const auto result = service.Import(archive, import.get());
      service.Finish();
      const double took = Seconds() - start, most = Memory("VmHWM");
      std::printf(
          "%s: %.1f MB, %llu rows written, %llu as they should be: %.1f s, %.0f k rows/s; memory %.1f MB at most, %.1f of it "
          "before: %.1f MB\n",
          what, static_cast<double>(result.bytes) / 1e6, static_cast<unsigned long long>(result.created),
          static_cast<unsigned long long>(result.unchanged), took, static_cast<double>(result.created) / 1e3 / took, most,
          before, most - before);
    });
    const int64_t rows = database.Count("SELECT count(*) FROM record WHERE NOT deleted AND verification = 'export'");
    if (rows != static_cast<int64_t>(large)) Die("rows are missing: " + std::to_string(rows));
  }

  void Large() const {
    for (const builder::BlockOrder order : {builder::BlockOrder::kTree, builder::BlockOrder::kShuffled}) {
      const bool tree = order == builder::BlockOrder::kTree;
      const Archive archive = Make(large, order, 1);
      {
        const Database database(directory);
        TakeIn(archive, database, tree ? "in tree order" : "shuffled");
      }
      if (tree) {
        const Database database(directory);
        const uintmax_t half = large * 500;  // a row takes about a kilobyte
        InAnotherProcess(
            [&] {
              Service service(database);
              const auto import = service.NewImport(directory);
              service.Import(archive, import.get());
              service.Finish();
            },
            [&] {
              std::error_code none;
              const uintmax_t size = std::filesystem::file_size(database.path(), none);
              return !none && size > half;
            });
        std::printf("killed with %lld rows\n", static_cast<long long>(database.Count("SELECT count(*) FROM record")));
        TakeIn(archive, database, "resumed");
      }
      unlink(archive.path.c_str());
    }
  }

  // ---- Many small ones
  double ImportAll(const std::vector<Archive>& archives) const {
    const Database database(directory);
    Service service(database);
    std::atomic<size_t> next{0};
    std::vector<std::thread> threads;
    const double start = Seconds();
    for (size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        const auto import = service.NewImport(directory);
        for (size_t at = next++; at < archives.size(); at = next++) service.Import(archives[at], import.get());
      });
    }
    for (std::thread& thread : threads) thread.join();
    service.Finish();
    return Seconds() - start;
  }

  // Into port->rows.
  void MakeRows(const std::vector<Archive>& archives, RowsOnly* port) const {
    const indexer::Filter filter = indexer::Filter::Everything();
    Counters counters;
    backfill::ArchiveOptions options;
    options.folder = directory;
    const auto import = *backfill::ArchiveImport::Create(options, &filter, &counters);
    for (const Archive& archive : archives) {
      const std::string did = archive.did();
      const crypto::PublicKey key = archive.key();
      backfill::ArchiveImport::Subject subject;
      subject.did = did;
      subject.key = &key;
      subject.now_us = builder::kFixtureEpoch + builder::kDay;
      subject.host = "https://pds.bench";
      subject.is_new = true;
      Check(import->Begin(subject), "begin");
      Check(archive.Feed(import.get()), "archive");
      Check(import->Apply(port, nullptr), "rows");
    }
    for (indexer::ChangeSetPtr& change : port->rows) change->import.reset();
  }

  // The same rows, in batches as the pipeline makes them.
  double ApplyAll(const std::vector<indexer::ChangeSetPtr>& rows) const {
    const Database database(directory);
    const SystemClock clock;
    Counters counters;
    const auto store = *indexer::MakeStore(database.Options(&clock, &counters));
    Check(store->Open(), "store");
    const double start = Seconds();
    for (size_t at = 0; at < rows.size();) {
      size_t end = at, in_batch = 0;
      while (end < rows.size() && in_batch < pipeline::PipelineOptions().batch_rows) in_batch += rows[end++]->records.size();
      indexer::ApplyResult result;
      Check(store->Apply({std::span(rows).subspan(at, end - at), {}}, &result), "apply");
      at = end;
    }
    store->Close();
    return Seconds() - start;
  }

  void Rate() const {
    std::vector<Archive> archives;
    for (size_t i = 0; i < repositories; ++i) archives.push_back(Make(records, builder::BlockOrder::kTree, 2 + i));
    InAnotherProcess([&] {
      const double rows = static_cast<double>(repositories * records);
      double imported = 1e9, limit = 1e9;
      RowsOnly port;
      const double start = Seconds();
      MakeRows(archives, &port);
      const double proving = Seconds() - start;
      for (int round = 0; round < kRounds; ++round) {
        limit = std::min(limit, ApplyAll(port.rows));
        imported = std::min(imported, ImportAll(archives));
      }
      std::printf(
          "%zu repositories of %zu records, %zu threads: %.2f s, %.0f k rows/s; the store alone %.2f s, %.0f k rows/s: %.0f "
          "%% of "
          "it; proving and making the rows, one thread: %.2f s\n",
          repositories, records, kThreads, imported, rows / imported / 1e3, limit, rows / limit / 1e3, 100 * limit / imported,
          proving);
    });
    for (const Archive& archive : archives) unlink(archive.path.c_str());
  }
};

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int at, size_t otherwise) { return argc > at ? std::strtoul(argv[at], nullptr, 10) : otherwise; };
  Bench bench{number(1, 1'000'000), number(2, 200), number(3, 1000), argc > 4 ? argv[4] : "/var/tmp"};
  if (bench.large > 0) bench.Large();
  if (bench.repositories > 0) bench.Rate();
  return 0;
}
