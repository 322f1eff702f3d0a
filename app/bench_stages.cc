#include "app/bench_stages.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "app/allocation_counter.h"
#include "base/clock.h"
#include "base/status.h"
#include "car/block_index.h"
#include "cbor/reader.h"
#include "crypto/sha256.h"
#include "firehose/frame.h"
#include "sync/judge.h"
#include "repo/commit_check.h"

namespace penstock::app {
namespace {

using firehose::Frame;
using firehose::FrameKind;
using SteadyClock = std::chrono::steady_clock;

bool HasBlocks(const Frame& frame) { return frame.kind == FrameKind::kCommit || frame.kind == FrameKind::kSync; }

// Keeps the optimiser from dropping a result that nobody reads.
template <typename T>
void Keep(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

bool DecodeBlocks(const car::BlockIndex& index) {
  for (const car::Block& block : index.blocks()) {
    if (!cbor::CheckItem(block.data).ok()) return false;
  }
  return true;
}

// The blocks of every frame, found once: for primitives that are to measure the blocks and nothing else.
std::vector<std::vector<Bytes>> BlocksOf(const BenchInput& input) {
  std::vector<std::vector<Bytes>> all;
  Frame frame;
  for (Bytes bytes : input.frames) {
    auto& blocks = all.emplace_back();
    if (!firehose::DecodeFrame(bytes, &frame).ok() || !HasBlocks(frame)) continue;
    car::Reader reader(frame.blocks);
    car::Block block;
    if (!reader.ReadHeader().ok()) continue;
    while (reader.Next(&block)) blocks.push_back(block.data);
  }
  return all;
}

}  // namespace

StageResult Measure(const std::string& name, const BenchInput& input, double seconds,
                    const std::function<bool(Bytes)>& body) {
  StageResult result;
  result.name = name;
  std::vector<double> rounds;
  const auto start = SteadyClock::now();
  uint64_t allocations = 0;
  do {
    result.refused = 0;
    const uint64_t before = ThreadAllocations();
    const auto round_start = SteadyClock::now();
    for (Bytes frame : input.frames) result.refused += !body(frame);
    rounds.push_back(std::chrono::duration<double>(SteadyClock::now() - round_start).count());
    allocations = ThreadAllocations() - before;
  } while (rounds.size() < 4 || std::chrono::duration<double>(SteadyClock::now() - start).count() < seconds);
  rounds.erase(rounds.begin());  // the first one warms up
  std::nth_element(rounds.begin(), rounds.begin() + static_cast<ptrdiff_t>(rounds.size() / 2), rounds.end());
  const double median = rounds[rounds.size() / 2];
  const double frames = static_cast<double>(input.frames.size());
  result.frames_per_s = frames / median;
  result.bytes_per_s = static_cast<double>(input.bytes()) / median;
  result.seconds_per_frame = median / frames;
  result.allocations_per_frame = static_cast<double>(allocations) / frames;
  return result;
}

absl::StatusOr<StageResult> RunStage(const std::string& name, const BenchInput& input, double seconds) {
  Frame frame;
  car::BlockIndex index;
  if (name == "envelope") {
    return Measure(name, input, seconds, [&](Bytes bytes) { return firehose::DecodeFrame(bytes, &frame).ok(); });
  }
  if (name == "decode" || name == "cid") {
    const car::HashCheck check = name == "cid" ? car::HashCheck::kVerify : car::HashCheck::kSkip;
    return Measure(name, input, seconds, [&](Bytes bytes) {
      if (!firehose::DecodeFrame(bytes, &frame).ok()) return false;
      if (!HasBlocks(frame)) return true;
      return index.Load(frame.blocks, check).ok() && DecodeBlocks(index);
    });
  }
  if (name == "check") {
    repo::CommitChecker checker;
    const int64_t now_us = SystemClock().NowMicros();
    return Measure(name, input, seconds, [&](Bytes bytes) {
      if (!firehose::DecodeFrame(bytes, &frame).ok()) return false;
      if (frame.kind != FrameKind::kCommit) return true;
      repo::CheckedCommit checked;
      return checker.Check(sync::ClaimOf(frame), now_us, &checked).ok();
    });
  }
  if (name == "copy alone") {
    std::vector<uint8_t> to;
    size_t largest = 0;
    for (Bytes bytes : input.frames) largest = std::max(largest, bytes.size());
    to.resize(largest);
    return Measure(name, input, seconds, [&](Bytes bytes) {
      std::memcpy(to.data(), bytes.data(), bytes.size());
      Keep(to[0]);
      return true;
    });
  }
  if (name == "hash alone" || name == "blocks decoded alone") {
    const std::vector<std::vector<Bytes>> blocks = BlocksOf(input);
    const bool hash = name == "hash alone";
    size_t at = 0;
    return Measure(name, input, seconds, [&](Bytes) {
      if (at == blocks.size()) at = 0;
      bool good = true;
      for (Bytes block : blocks[at++]) {
        if (hash) {
          Keep(crypto::Sha256(block));
        } else {
          good = good && cbor::CheckItem(block).ok();
        }
      }
      return good;
    });
  }
  return InvalidInputError("--stage: '" + name + "' is none of envelope, decode, cid, check, index");
}

InputShape ShapeOf(const BenchInput& input) {
  InputShape shape;
  Frame frame;
  car::BlockIndex index;
  uint64_t blocks = 0, ops = 0;
  for (Bytes bytes : input.frames) {
    if (!firehose::DecodeFrame(bytes, &frame).ok() || frame.kind != FrameKind::kCommit) continue;
    ++shape.commits;
    ops += frame.ops.size();
    if (index.Load(frame.blocks, car::HashCheck::kSkip).ok()) blocks += index.blocks().size();
  }
  if (!input.frames.empty()) shape.bytes_per_frame = static_cast<double>(input.bytes()) / static_cast<double>(input.frames.size());
  if (shape.commits > 0) {
    shape.blocks_per_commit = static_cast<double>(blocks) / static_cast<double>(shape.commits);
    shape.ops_per_commit = static_cast<double>(ops) / static_cast<double>(shape.commits);
  }
  return shape;
}

}  // namespace penstock::app
