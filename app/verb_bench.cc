// `penstock bench [FILE]`: how fast this machine is, each stage beside its primitive in the same run.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <thread>
#include <unistd.h>

#include "app/bench_export.h"
#include "app/bench_stages.h"
#include "app/cli.h"
#include "app/common_options.h"
#include "app/progress.h"
#include "app/resolver_options.h"
#include "base/status.h"
#include "firehose/capture.h"
#include "indexer/store.h"
#include "pipeline/pipeline.h"

namespace penstock::app {
namespace {

// The stage that makes its own input.
constexpr char kExportStage[] = "export";

struct BenchCommand {
  std::string file;
  std::vector<std::string> stages;
  double seconds = 1.0;
  size_t threads = 1;
  std::string store;
  std::string did_docs;
  size_t records = 192'000;
  identity::RecordedResolver identities;

  absl::StatusOr<BenchInput> Load() {
    BenchInput input;
    if (!did_docs.empty()) {
      RETURN_IF_ERROR(LoadDidDocs(did_docs, "", &identities));
      input.identities = &identities;
    }
    std::vector<std::pair<size_t, size_t>> places;
    ASSIGN_OR_RETURN(const std::unique_ptr<firehose::CaptureReader> reader, firehose::CaptureReader::Open(file));
    firehose::FrameBufferPool pool;
    firehose::FrameBuffer buffer = pool.Take();
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, reader->Next(&buffer));
      if (!more) break;
      places.emplace_back(input.storage.size(), buffer.size());
      input.storage.insert(input.storage.end(), buffer.bytes().begin(), buffer.bytes().end());
    }
    for (const auto& [at, size] : places) input.frames.push_back(Bytes(input.storage).subspan(at, size));
    if (input.frames.empty()) return InvalidInputError(file + " holds no frames");
    return input;
  }

  static void Print(const StageResult& result) {
    std::printf("%-22s %12s frames/s %10.1f MB/s %8.3f us/frame %8.3f allocations/frame\n", result.name.c_str(),
                Grouped(static_cast<uint64_t>(result.frames_per_s)).c_str(), result.bytes_per_s / 1e6,
                result.seconds_per_frame * 1e6, result.allocations_per_frame);
    if (result.refused > 0) std::printf("%-22s %12llu frames refused\n", "", static_cast<unsigned long long>(result.refused));
  }

  // The stage on `threads` threads at once, each over all frames: frames/s in sum. With one, RunStage itself.
  absl::StatusOr<StageResult> Run(const std::string& stage, const BenchInput& input) const {
    if (threads == 1) return RunStage(stage, input, seconds);
    std::vector<absl::StatusOr<StageResult>> results(threads, StageResult());
    std::vector<std::thread> running;
    for (size_t i = 0; i < threads; ++i) {
      running.emplace_back([&, i] { results[i] = RunStage(stage, input, seconds); });
    }
    for (std::thread& thread : running) thread.join();
    RETURN_IF_ERROR(results[0].status());
    StageResult sum = *results[0];
    for (size_t i = 1; i < threads; ++i) {
      RETURN_IF_ERROR(results[i].status());
      sum.frames_per_s += results[i]->frames_per_s;
      sum.bytes_per_s += results[i]->bytes_per_s;
    }
    sum.seconds_per_frame = 1 / sum.frames_per_s;
    return sum;
  }

  // Everything into a store, one pass: the rows that reach it per second, fsyncs included.
  absl::Status Index(const BenchInput& input) const {
    const std::filesystem::path path =
        std::filesystem::temp_directory_path() / ("penstock-bench-" + std::to_string(getpid()) + ".db");
    const SystemClock clock;
    Counters counters;
    const indexer::Filter filter = indexer::Filter::Everything();
    indexer::StoreOptions store_options;
    store_options.url = store.empty() ? "sqlite:" + path.string() : store;
    store_options.owner = OwnerName();
    store_options.clock = &clock;
    ASSIGN_OR_RETURN(const std::unique_ptr<indexer::Store> opened, indexer::MakeStore(store_options));
    RETURN_IF_ERROR(opened->Open());
    pipeline::StoreOutput output(opened.get());
    pipeline::PipelineOptions options;
    options.verify = indexer::Verification::kCid;
    options.filter = &filter;
    options.clock = &clock;
    options.counters = &counters;
    // A source of its own each time, or the cursor of the last run would pass over everything.
    const std::string source = "bench:" + std::to_string(clock.NowMicros());
    pipeline::Pipeline line(options, &output);
    line.AddSource(source, std::nullopt);
    const auto start = std::chrono::steady_clock::now();
    RETURN_IF_ERROR(line.Start());
    for (Bytes bytes : input.frames) {
      firehose::DeliveryPtr delivery = line.deliveries().Take();
      delivery->buffer = line.buffers().Take();
      delivery->buffer.Append(bytes);
      if (!firehose::DecodeFrame(delivery->buffer.bytes(), &delivery->frame).ok()) continue;
      while (!line.sink().Offer(source, &delivery)) std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    RETURN_IF_ERROR(line.Finish(60'000'000));
    const double passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const pipeline::Pipeline::Stats stats = line.stats();
    std::printf("%-22s %12s frames/s %10s rows/s   (%s, once through, refs included)\n", "index",
                Grouped(static_cast<uint64_t>(static_cast<double>(stats.frames) / passed)).c_str(),
                Grouped(static_cast<uint64_t>(static_cast<double>(stats.rows) / passed)).c_str(),
                std::string(opened->dialect()).c_str());
    opened->Close();
    if (store.empty()) {
      for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
        std::error_code ignored;
        std::filesystem::remove(path.string() + suffix, ignored);
      }
    }
    return absl::OkStatus();
  }

  absl::Status Export() const {
    ASSIGN_OR_RETURN(const ExportBench result, RunExportBench(records, seconds));
    std::printf("a whole repository: %s records, %s blocks, %.1f MB; 1 thread\n", Grouped(result.records).c_str(),
                Grouped(result.blocks).c_str(), static_cast<double>(result.bytes) / 1e6);
    const auto print = [&result](const char* name, double took) {
      std::printf("%-22s %12s blocks/s %10.1f MB/s %8.1f ms\n", name,
                  Grouped(static_cast<uint64_t>(static_cast<double>(result.blocks) / took)).c_str(),
                  static_cast<double>(result.bytes) / took / 1e6, took * 1e3);
    };
    print(kExportStage, result.proving);
    print("export, shuffled", result.shuffled);
    print("blocks and keys hashed", result.hashing);
    std::printf("%-22s %12.2f x blocks and keys hashed alone; shuffled %.2f x\n", "", result.proving / result.hashing,
                result.shuffled / result.hashing);
    return absl::OkStatus();
  }

  absl::Status Execute() {
    if (file.empty() && stages.empty()) stages = {kExportStage};
    const auto of_frames =
        std::partition(stages.begin(), stages.end(), [](const auto& stage) { return stage == kExportStage; });
    if (of_frames != stages.begin()) RETURN_IF_ERROR(Export());
    if (of_frames != stages.begin() && of_frames == stages.end()) return absl::OkStatus();
    stages.erase(stages.begin(), of_frames);
    if (file.empty()) return InvalidInputError("--stage " + stages.front() + " wants a FILE");
    return Frames();
  }

  absl::Status Frames() {
    ASSIGN_OR_RETURN(const BenchInput input, Load());
    const InputShape shape = ShapeOf(input);
    std::printf("%s: %s frames, %.0f bytes each, %.1f blocks and %.1f ops a commit; %zu thread%s\n", file.c_str(),
                Grouped(input.frames.size()).c_str(), shape.bytes_per_frame, shape.blocks_per_commit, shape.ops_per_commit,
                threads, threads == 1 ? "" : "s");
    if (input.identities != nullptr) {
      std::printf("keys: %s commits K-256, %s P-256, %s unknown\n", Grouped(shape.k256).c_str(),
                  Grouped(shape.p256).c_str(), Grouped(shape.commits - shape.k256 - shape.p256).c_str());
    }
    if (stages.empty()) {
      stages = {"envelope", "decode", "cid", "check"};
      if (input.identities != nullptr) stages.insert(stages.end(), {"signature", "full"});
      stages.emplace_back("index");
    }
    for (const std::string& stage : stages) {
      if (stage == "index") {
        RETURN_IF_ERROR(Index(input));
        continue;
      }
      ASSIGN_OR_RETURN(const StageResult result, Run(stage, input));
      Print(result);
      // What the same bytes cost at least, in this very run.
      if (stage == "envelope") {
        ASSIGN_OR_RETURN(const StageResult copy, Run("copy alone", input));
        Print(copy);
      } else if (stage == "decode") {
        ASSIGN_OR_RETURN(const StageResult blocks, Run("blocks decoded alone", input));
        Print(blocks);
        std::printf("%-22s %12.2f x blocks decoded alone\n", "", result.seconds_per_frame / blocks.seconds_per_frame);
      } else if (stage == "cid") {
        ASSIGN_OR_RETURN(const StageResult hash, Run("hash alone", input));
        ASSIGN_OR_RETURN(const StageResult decode, Run("decode", input));
        Print(hash);
        std::printf("%-22s %12.2f x (hash alone + decode alone)\n", "",
                    result.seconds_per_frame / (hash.seconds_per_frame + decode.seconds_per_frame));
      } else if (stage == "full") {
        ASSIGN_OR_RETURN(const StageResult alone, Run("signatures alone", input));
        ASSIGN_OR_RETURN(const StageResult rest, Run("full less signature", input));
        ASSIGN_OR_RETURN(const StageResult cid, Run("cid", input));
        Print(alone);
        Print(rest);
        std::printf("%-22s %12.1f %% of the rate of signatures alone; all but the signature is cid and %.3f us\n", "",
                    100 * alone.seconds_per_frame / result.seconds_per_frame,
                    (rest.seconds_per_frame - cid.seconds_per_frame) * 1e6);
      }
    }
    return absl::OkStatus();
  }
};

}  // namespace

void RegisterBench(Cli& cli) {
  auto command = std::make_shared<BenchCommand>();
  CLI::App* verb = cli.AddVerb("bench", "Measure this machine, each stage beside its primitive", [command] {
    const absl::Status status = command->Execute();
    return status.ok() ? kExitDone : Report(status);
  });
  verb->add_option("file", command->file, ".frames, .frames.zst, or a folder made by `penstock record`; export wants none")
      ->type_name("FILE");
  verb->add_option(
          "--stage", command->stages,
          "envelope, decode (CAR and every block), cid (and every hash), check (all of level cid), signature (and the "
          "account's signature), full (and the inversion of the ops), index (into a store); all of these by default, "
          "signature and full only with --did-docs. export: prove a whole repository, made here; the default without FILE")
      ->delimiter(',')
      ->type_name("STAGE…");
  verb->add_option("--seconds", command->seconds, "How long each stage runs, seconds; the median round counts")
      ->capture_default_str()
      ->check(CLI::Range(0.05, 3600.0))
      ->type_name("S");
  verb->add_option("--threads", command->threads, "Threads, each over all frames (not for index and export)")
      ->capture_default_str()
      ->check(CLI::Range(1, 256))
      ->type_name("N");
  verb->add_option("--did-docs", command->did_docs, "For signature and full: the accounts' DID documents, as for replay")
      ->type_name("FILE[#MEMBER]");
  verb->add_option("--records", command->records, "For export: records of the repository")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000'000))
      ->type_name("N");
  verb->add_option("--store", command->store, "For index: a database to fill; by default a temporary SQLite file")
      ->type_name("URL");
}

}  // namespace penstock::app
