// Whole repositories: how long it takes to prove one, and in how much memory.
//
//   export_bench [records = 192000] [records of the large one = 1000000] [directory = /var/tmp]
//
// First the ratio: a repository in memory is proven (hashes, tree, one signature, every record given out), one
// thread, beside the bare SHA-256 of the same blocks and keys. Then the large one, from a file, in tree order
// and shuffled, each in a process of its own, whose memory is the operating system's count. All archives are
// made here and removed again; whoever makes them is another process, too.

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "base/file_spill.h"
#include "base/status.h"
#include "car/reader.h"
#include "crypto/sha256.h"
#include "fixtures/builder/fake_time.h"
#include "fixtures/builder/large_repository.h"
#include "repo/export.h"
#include "repo/export_stream.h"

namespace {

using namespace penstock;  // NOLINT: a program

constexpr size_t kPiece = 64 * 1024;  // as a network reader takes them
constexpr int kRounds = 5;            // the best of each counts

[[noreturn]] void Die(const std::string& words) {
  std::fprintf(stderr, "export_bench: %s\n", words.c_str());
  _exit(1);
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

void InAnotherProcess(const std::function<void()>& run) {
  std::fflush(stdout);
  const pid_t pid = fork();
  if (pid < 0) Die("fork");
  if (pid == 0) {
    run();
    std::fflush(stdout);
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  if (status != 0) Die("a process of its own has failed");
}

class Counting : public repo::ExportVisitor {
 public:
  absl::Status OnCommit(const repo::CommitObject&, const cbor::CidView&, Bytes) override { return absl::OkStatus(); }
  absl::Status OnRecord(const repo::ExportedRecord& record) override {
    ++records;
    bytes += record.block.size();
    return absl::OkStatus();
  }
  absl::Status OnUnusable(const repo::UnusableRecord&) override { return InternalError("an unusable record"); }
  size_t records = 0;
  uint64_t bytes = 0;
};

struct Bench {
  builder::LargeRepositoryOptions made;
  builder::Account account{made.account};
  std::string path;

  void Make() const {
    InAnotherProcess([this] {
      const double start = Seconds();
      const auto repository = builder::WriteLargeRepository(made, path);
      if (!repository.ok()) Die(std::string(Message(repository.status())));
      std::printf("made: %zu records, %zu nodes, %zu blocks, %.1f MB, %s (%.1f s, %.1f MB at most)\n", repository->records,
                  repository->nodes, repository->blocks, static_cast<double>(repository->bytes) / 1e6,
                  made.order == builder::BlockOrder::kTree ? "in tree order" : "shuffled", Seconds() - start,
                  Memory("VmHWM"));
    });
  }

  // What the archive has to be.
  repo::ExportStreamOptions Expected(const crypto::PublicKey& key) const {
    repo::ExportStreamOptions options;
    options.key = &key;
    options.did = repo::Did::Parse(account.did());
    options.now_us = builder::kFixtureEpoch;
    return options;
  }

  void Ratio() const {
    std::ifstream file(path, std::ios::binary);
    const std::string car((std::istreambuf_iterator<char>(file)), {});
    std::vector<std::string> keys;
    for (size_t i = 0; i < made.records; ++i) keys.push_back(builder::LargeRepositoryKey(i, made.records));
    const crypto::PublicKey key = *crypto::PublicKey::FromDidKey(account.key().DidKey());
    const repo::ExportStreamOptions options = Expected(key);
    FileSpill spill(DefaultSpillDirectory());
    repo::ExportStream stream(&spill);
    repo::ExportVerifier verifier;

    double hashing = 1e9, streaming = 1e9, whole = 1e9;
    size_t blocks = 0;
    for (int round = 0; round < kRounds; ++round) {
      double start = Seconds();
      car::Reader reader(AsBytes(car));
      if (!reader.ReadHeader().ok()) Die("not an archive");
      car::Block block;
      uint8_t sum = 0;  // so that no hash is left out
      for (blocks = 0; reader.Next(&block); ++blocks) sum ^= crypto::Sha256(block.data)[0];
      for (const std::string& each : keys) sum ^= crypto::Sha256(AsBytes(each))[0];
      hashing = std::min(hashing, Seconds() - start + (sum == 0 ? 1e-9 : 0));

      start = Seconds();
      Counting visitor;
      absl::Status status = stream.Begin(options, &visitor);
      for (Bytes rest = AsBytes(car); status.ok() && !rest.empty(); rest = rest.subspan(std::min(kPiece, rest.size()))) {
        status = stream.Feed(rest.first(std::min(kPiece, rest.size())));
      }
      if (status.ok()) status = stream.Finish();
      streaming = std::min(streaming, Seconds() - start);
      if (!status.ok() || visitor.records != made.records) Die("stream: " + std::string(Message(status)));

      start = Seconds();
      status = verifier.Verify(AsBytes(car), options);
      whole = std::min(whole, Seconds() - start);
      if (!status.ok() || verifier.record_count() != made.records) Die("whole: " + std::string(Message(status)));
    }
    std::printf(
        "prove %zu records in %zu blocks: hashes alone %.0f ms, stream %.0f ms = %.2fx, whole in memory %.0f ms = %.2fx\n",
        made.records, blocks, hashing * 1e3, streaming * 1e3, streaming / hashing, whole * 1e3, whole / hashing);
  }

  void Prove() const {
    const double before = Memory("VmHWM");
    const crypto::PublicKey key = *crypto::PublicKey::FromDidKey(account.key().DidKey());
    const repo::ExportStreamOptions options = Expected(key);
    FileSpill spill(DefaultSpillDirectory());
    repo::ExportStream stream(&spill);
    Counting visitor;
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) Die("cannot read " + path);
    std::vector<uint8_t> piece(kPiece);
    const double start = Seconds();
    absl::Status status = stream.Begin(options, &visitor);
    for (ssize_t count; status.ok() && (count = read(file, piece.data(), piece.size())) > 0;) {
      status = stream.Feed(Bytes(piece).first(static_cast<size_t>(count)));
    }
    const size_t during = visitor.records;
    if (status.ok()) status = stream.Finish();
    const double took = Seconds() - start;
    if (!status.ok() || visitor.records != made.records) Die("stream: " + std::string(Message(status)));
    close(file);
    std::printf(
        "prove %zu records, %.1f MB: %.2f s, %.0f MB/s, %.0f k records/s; memory %.1f MB at most, %.1f of it before the "
        "archive, %.1f its tables; put away %.1f MB\n",
        visitor.records, static_cast<double>(stream.bytes()) / 1e6, took, static_cast<double>(stream.bytes()) / 1e6 / took,
        static_cast<double>(during) / 1e3 / took, Memory("VmHWM"), before, static_cast<double>(stream.memory()) / (1 << 20),
        static_cast<double>(spill.bytes()) / 1e6);
  }
};

}  // namespace

int main(int argc, char** argv) {
  Bench bench;
  bench.made.records = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 192'000;
  const size_t large = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1'000'000;
  bench.made.directory = argc > 3 ? argv[3] : "/var/tmp";
  bench.path = bench.made.directory + "/penstock-export-bench-" + std::to_string(getpid()) + ".car";
  for (const size_t records : {bench.made.records, large}) {
    if (records == 0) continue;
    bench.made.records = records;
    for (const builder::BlockOrder order : {builder::BlockOrder::kTree, builder::BlockOrder::kShuffled}) {
      bench.made.order = order;
      bench.Make();
      if (records != large) InAnotherProcess([&bench] { bench.Ratio(); });
      InAnotherProcess([&bench] { bench.Prove(); });
      unlink(bench.path.c_str());
    }
  }
  return 0;
}
