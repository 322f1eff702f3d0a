#include "app/bench_export.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iterator>
#include <vector>

#include "base/file_spill.h"
#include "base/status.h"
#include "car/reader.h"
#include "crypto/public_key.h"
#include "crypto/sha256.h"
#include "fixtures/builder/fake_time.h"
#include "fixtures/builder/large_repository.h"
#include "repo/export_stream.h"

namespace penstock::app {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr size_t kPieceBytes = 64 * 1024;  // as a network reader takes them

double Time(const std::function<void()>& body) {
  const auto start = SteadyClock::now();
  body();
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

double Median(std::vector<double>* rounds) {
  const auto middle = rounds->begin() + static_cast<ptrdiff_t>(rounds->size() / 2);
  std::nth_element(rounds->begin(), middle, rounds->end());
  return *middle;
}

absl::StatusOr<std::string> Make(const builder::LargeRepositoryOptions& options) {
  const std::string path = options.directory + "/penstock-bench-" + std::to_string(getpid()) + ".car";
  const auto made = builder::WriteLargeRepository(options, path);
  std::string car;
  if (made.ok()) {
    std::ifstream file(path, std::ios::binary);
    car.assign(std::istreambuf_iterator<char>(file), {});
  }
  unlink(path.c_str());
  if (!made.ok()) return made.status();
  return car;
}

class Counting final : public repo::ExportVisitor {
 public:
  absl::Status OnCommit(const repo::CommitObject&, const cbor::CidView&, Bytes) override { return absl::OkStatus(); }
  absl::Status OnRecord(const repo::ExportedRecord&) override {
    ++records;
    return absl::OkStatus();
  }
  absl::Status OnUnusable(const repo::UnusableRecord&) override { return InternalError("an unusable record"); }
  size_t records = 0;
};

absl::Status Prove(const std::string& car, const repo::ExportStreamOptions& options, size_t records,
                   repo::ExportStream* stream) {
  Counting visitor;
  RETURN_IF_ERROR(stream->Begin(options, &visitor));
  for (Bytes rest = AsBytes(car); !rest.empty();) {
    const Bytes piece = rest.first(std::min(kPieceBytes, rest.size()));
    RETURN_IF_ERROR(stream->Feed(piece));
    rest = rest.subspan(piece.size());
  }
  RETURN_IF_ERROR(stream->Finish());
  return visitor.records == records ? absl::OkStatus() : InternalError("records are missing");
}

// So that no hash is left out: what comes of all of them.
uint8_t Hash(const std::string& car, const std::vector<std::string>& keys) {
  uint8_t sum = 0;
  car::Reader reader(AsBytes(car));
  car::Block block;
  if (!reader.ReadHeader().ok()) return 0;
  while (reader.Next(&block)) sum ^= crypto::Sha256(block.data)[0];
  for (const std::string& key : keys) sum ^= crypto::Sha256(AsBytes(key))[0];
  return sum;
}

}  // namespace

absl::StatusOr<ExportBench> RunExportBench(size_t records, double seconds) {
  builder::LargeRepositoryOptions made;
  made.records = records;
  made.directory = DefaultSpillDirectory();
  ASSIGN_OR_RETURN(const std::string car, Make(made));
  made.order = builder::BlockOrder::kShuffled;
  ASSIGN_OR_RETURN(const std::string shuffled_car, Make(made));
  std::vector<std::string> keys;
  for (size_t i = 0; i < records; ++i) keys.push_back(builder::LargeRepositoryKey(i, records));

  const builder::Account account(made.account);
  ASSIGN_OR_RETURN(const crypto::PublicKey key, crypto::PublicKey::FromDidKey(account.key().DidKey()));
  repo::ExportStreamOptions options;
  options.key = &key;
  options.did = repo::Did::Parse(account.did());
  options.now_us = builder::kFixtureEpoch;
  FileSpill spill(made.directory);
  repo::ExportStream stream(&spill);

  ExportBench result;
  std::vector<double> proving, shuffled, hashing;
  volatile uint8_t sum = 0;
  absl::Status status;
  const auto start = SteadyClock::now();
  do {
    hashing.push_back(Time([&] { sum = Hash(car, keys); }));
    shuffled.push_back(Time([&] { status = Prove(shuffled_car, options, records, &stream); }));
    RETURN_IF_ERROR(status);
    proving.push_back(Time([&] { status = Prove(car, options, records, &stream); }));
    RETURN_IF_ERROR(status);
  } while (proving.size() < 3 || std::chrono::duration<double>(SteadyClock::now() - start).count() < seconds);
  result.records = records;
  result.blocks = stream.block_count();
  result.bytes = stream.bytes();
  result.proving = Median(&proving);
  result.shuffled = Median(&shuffled);
  result.hashing = Median(&hashing);
  return result;
}

}  // namespace penstock::app
