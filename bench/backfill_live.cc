// What a backfill costs the live stream: `penstock run` as a process, following a loopback relay that sends at a fixed rate,
// verified in full, into SQLite; once without and once with whole repositories to fetch from a loopback host, as fast as they
// come. The lag of a frame is the time from when it was sent until the durable cursor has passed it, read from the store every
// few milliseconds. Every event is verified (--verify-all), so that no account is met in mid-life: its events would wait for its own
// repository, which is not what is measured here.
//
//   backfill_live PROGRAM [frames per second = 500] [accounts to fetch = 200] [records of each = 2000] [options of run…]
//
// Everything runs on this machine: relay, host and directory are in this process.

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "fixtures/builder/large_repository.h"
#include "fixtures/builder/stream.h"
#include "fixtures/directory/directory.h"
#include "fixtures/relay/relay.h"

namespace {

namespace builder = penstock::builder;
namespace fixtures = penstock::fixtures;
using Clock = std::chrono::steady_clock;

constexpr double kWarmUp = 2, kCalm = 15;  // seconds
// What the live stream is about, and what the repositories have. Exact names: both listings and filters take them.
constexpr char kCollections[] = "space.atbb.*,app.bsky.feed.post,org.lantern.log,test.lantern.note";

double Seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

// One number out of the store that the program writes; nullopt while there is none.
class Reader {
 public:
  explicit Reader(std::string file) : file_(std::move(file)) {}
  ~Reader() { sqlite3_close(db_); }
  std::optional<int64_t> Ask(const char* sql) {
    if (db_ == nullptr && (!std::filesystem::exists(file_) || !Open())) return std::nullopt;
    sqlite3_stmt* statement = nullptr;
    std::optional<int64_t> value;
    if (sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW &&
        sqlite3_column_type(statement, 0) != SQLITE_NULL) {
      value = sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    return value;
  }

 private:
  bool Open() {
    if (sqlite3_open_v2(file_.c_str(), &db_, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK) {
      sqlite3_busy_timeout(db_, 1000);
      return true;
    }
    sqlite3_close(db_);
    db_ = nullptr;
    return false;
  }

  const std::string file_;
  sqlite3* db_ = nullptr;
};

struct Phase {
  std::string name;
  double seconds = 0;
  uint64_t accounts = 0, records = 0;  // taken in meanwhile
  std::vector<double> lags;            // milliseconds, of each frame
};

void Print(Phase phase) {
  std::sort(phase.lags.begin(), phase.lags.end());
  const auto at = [&](double share) {
    return phase.lags.empty() ? 0 : phase.lags[std::min(phase.lags.size() - 1, static_cast<size_t>(share * static_cast<double>(phase.lags.size())))];
  };
  std::printf("%-18s %7.1f %8zu %9llu %9llu %10.0f %8.0f %8.0f %8.0f %8.0f\n", phase.name.c_str(), phase.seconds, phase.lags.size(),
              static_cast<unsigned long long>(phase.accounts), static_cast<unsigned long long>(phase.records),
              phase.seconds > 0 ? static_cast<double>(phase.records) / phase.seconds : 0, at(0.5), at(0.99), at(0.999), at(1));
}

struct Frames {
  std::vector<std::pair<int64_t, std::string>> frames;
  std::vector<builder::DidDocumentVersion> documents;
};

// Everybody is introduced, and nobody's key changes: the directory knows one document of each.
Frames MakeFrames(size_t count) {
  builder::StreamOptions options = builder::ForumProfile();
  options.accounts = 200;
  options.commits = count;
  options.identities = options.account_events = options.syncs = options.retired = 0;
  Frames made;
  builder::StreamBuilder stream(options);
  for (builder::StreamFrame frame; stream.Next(&frame);) made.frames.emplace_back(frame.seq, std::move(frame.bytes));
  made.documents = stream.documents();
  return made;
}

// The archives of `accounts`, at the host that is the directory, too.
bool MakeRepositories(fixtures::Directory* host, size_t accounts, size_t records) {
  const std::string path = std::filesystem::temp_directory_path() / ("penstock-backfill-live-" + std::to_string(getpid()) + ".car");
  for (size_t i = 0; i < accounts; ++i) {
    builder::LargeRepositoryOptions options;
    options.account = {.seed = 1'000'000 + i, .handle = "large" + std::to_string(i) + ".lantern.test", .pds = host->url()};
    options.records = records;
    if (!builder::WriteLargeRepository(options, path).ok()) return false;
    std::ifstream in(path, std::ios::binary);
    auto hosted = fixtures::HostedRepo::FromCar(std::string(std::istreambuf_iterator<char>(in), {}));
    if (!hosted.ok()) return false;
    host->hosting().SetRepo("", *std::move(hosted));
    host->SetAccount(builder::Account(options.account));
  }
  std::filesystem::remove(path);
  return true;
}

// One run of the program, with `frames` from `*next` on; at the end `*next` is the first that was not sent.
std::optional<Phase> Measure(const std::string& program, const std::vector<std::string>& more, const Frames& live, double rate,
                             fixtures::Directory* host, bool with_backfill) {
  auto relay = fixtures::Relay::Start();
  if (!relay.ok()) return std::nullopt;
  const std::string file = std::filesystem::temp_directory_path() / ("penstock-backfill-live-" + std::to_string(getpid()) + ".db");
  const std::string url = (*relay)->url(), store = "sqlite:" + file, where = host->url();
  const pid_t pid = fork();
  if (pid == 0) {
    std::vector<std::string> args = {program, "run", "--relay", url, "--collections", kCollections, "--cursor", "0", "--store", store,
                                     "--directory", where, "--directory-rate", "10000", "--allow-private-addresses", "--no-verify-handles",
                                     "--backfill-from", where, "--host-rate", "10000", "--host-burst", "10000", "--cursor-interval", "20",
                                     "--verify-all", "--backfill", with_backfill ? "on" : "off"};
    args.insert(args.end(), more.begin(), more.end());
    std::vector<char*> words;
    for (std::string& arg : args) words.push_back(arg.data());
    words.push_back(nullptr);
    execv(program.c_str(), words.data());
    _exit(127);
  }

  Phase phase;
  phase.name = with_backfill ? "with a backfill" : "without";
  std::vector<Clock::time_point> sent;
  size_t durable = 0;
  std::optional<int64_t> first_task;
  {
    Reader reader(file);
    const auto start = Clock::now();
    auto measured_to = start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(kWarmUp + kCalm));
    auto measured_from = start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(with_backfill ? 0 : kWarmUp));
    bool over = false;
    for (auto now = start; !over || durable < sent.size(); now = Clock::now()) {
      if (waitpid(pid, nullptr, WNOHANG) != 0) {
        std::fprintf(stderr, "the program ended by itself\n");
        return std::nullopt;
      }
      if (!over) {
        const size_t due = std::min(live.frames.size(), static_cast<size_t>(Seconds(now - start) * rate));
        for (; sent.size() < due; sent.push_back(now)) (*relay)->Append(live.frames[sent.size()].first, live.frames[sent.size()].second);
      }
      if (const auto position = reader.Ask("SELECT position FROM stream_cursor")) {
        for (; durable < sent.size() && live.frames[durable].first <= *position; ++durable) {
          if (sent[durable] >= measured_from && sent[durable] < measured_to) phase.lags.push_back(Seconds(Clock::now() - sent[durable]) * 1000);
        }
      }
      if (with_backfill) {
        // From the first task to the end of the last run.
        if (!first_task) {
          first_task = reader.Ask("SELECT 1 FROM backfill_task LIMIT 1");
          if (first_task) measured_from = now;
          measured_to = now + std::chrono::hours(1);
        } else if (!over && reader.Ask("SELECT 1 FROM backfill_run WHERE kind = 'filter' AND state = 'open' LIMIT 1").value_or(0) == 0) {
          measured_to = now;
          over = true;
        }
      } else {
        over = over || now >= measured_to;
      }
      if (!over && sent.size() == live.frames.size()) {
        std::fprintf(stderr, "the stream was too short\n");
        return std::nullopt;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
    }
    phase.seconds = Seconds(measured_to - measured_from);
    phase.accounts = static_cast<uint64_t>(reader.Ask("SELECT count(DISTINCT did) FROM backfill_task WHERE state = 'done'").value_or(0));
    phase.records = static_cast<uint64_t>(reader.Ask("SELECT count(*) FROM record WHERE verification = 'export'").value_or(0));
  }
  kill(pid, SIGTERM);
  int status = 0;
  waitpid(pid, &status, 0);
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) std::filesystem::remove(file + suffix);
  if (status != 0) std::fprintf(stderr, "the program ended with status %d\n", status);
  return phase;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: backfill_live PROGRAM [frames per second] [accounts] [records of each] [options of run...]\n");
    return 2;
  }
  const double rate = argc > 2 ? std::atof(argv[2]) : 500;
  const size_t accounts = argc > 3 ? static_cast<size_t>(std::atol(argv[3])) : 200;
  const size_t records = argc > 4 ? static_cast<size_t>(std::atol(argv[4])) : 2000;
  std::vector<std::string> more;
  for (int i = 5; i < argc; ++i) more.emplace_back(argv[i]);

  auto host = fixtures::Directory::Start();
  if (!host.ok() || !MakeRepositories(host->get(), accounts, records)) {
    std::fprintf(stderr, "the repositories cannot be made\n");
    return 1;
  }
  // Enough for a backfill of nearly three minutes.
  const Frames live = MakeFrames(static_cast<size_t>(rate * 180));
  for (const auto& document : live.documents) (*host)->SetDocument(document.did, document.document);

  std::printf("%.0f frames/s, %zu accounts of %zu records, %s; lag in milliseconds, from sent to durable\n", rate, accounts, records, kCollections);
  std::printf("%-18s %7s %8s %9s %9s %10s %8s %8s %8s %8s\n", "", "seconds", "frames", "accounts", "records", "records/s", "50 %", "99 %",
              "99.9 %", "most");
  for (const bool with_backfill : {false, true}) {
    std::optional<Phase> phase = Measure(argv[1], more, live, rate, host->get(), with_backfill);
    if (!phase) return 1;
    Print(*std::move(phase));
    std::fflush(stdout);
  }
  return 0;
}
