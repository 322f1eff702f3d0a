#include "app/bench_stages.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>

#include "app/allocation_counter.h"
#include "base/clock.h"
#include "base/status.h"
#include "car/block_index.h"
#include "cbor/reader.h"
#include "crypto/sha256.h"
#include "firehose/frame.h"
#include "sync/judge.h"
#include "repo/commit_check.h"
#include "repo/verify.h"

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

// The key of a commit's account, as a cache gives it out; null if there is none.
const crypto::PublicKey* KeyOf(const Frame& frame, const BenchInput& input, identity::IdentityPtr* identity) {
  *identity = input.identities->Find(frame.did.text(), {input.source, frame.seq.value_or(0)});
  return *identity != nullptr && (*identity)->key ? &*(*identity)->key : nullptr;
}

// What one verification takes and nothing else.
struct SignatureTask {
  std::optional<crypto::PublicKey> key;  // none for what is no commit
  crypto::Sha256Digest digest;
  Bytes sig;
};
std::vector<SignatureTask> SignaturesOf(const BenchInput& input) {
  std::vector<SignatureTask> tasks;
  Frame frame;
  car::BlockIndex index;
  std::string scratch;
  for (Bytes bytes : input.frames) {
    SignatureTask& task = tasks.emplace_back();
    if (!firehose::DecodeFrame(bytes, &frame).ok() || frame.kind != FrameKind::kCommit) continue;
    if (!index.Load(frame.blocks, car::HashCheck::kSkip).ok()) continue;
    const std::optional<Bytes> block = index.Find(index.root());
    if (!block) continue;
    const auto commit = repo::DecodeCommit(*block);
    identity::IdentityPtr identity;
    const crypto::PublicKey* const key = KeyOf(frame, input, &identity);
    if (!commit.ok() || key == nullptr) continue;
    task.key = *key;
    task.digest = repo::UnsignedCommitDigest(*block, *commit, &scratch);
    task.sig = commit->sig;
  }
  return tasks;
}

StageResult MeasureSignatures(const std::string& name, const BenchInput& input, double seconds) {
  const std::vector<SignatureTask> tasks = SignaturesOf(input);
  size_t at = 0;
  return Measure(name, input, seconds, [&](Bytes) {
    if (at == tasks.size()) at = 0;
    const SignatureTask& task = tasks[at++];
    return !task.key || task.key->VerifyDigest(task.digest, task.sig).ok();
  });
}

StageResult MeasureVerification(const std::string& name, const BenchInput& input, double seconds) {
  const bool sign = name != "full less signature", invert = name != "signature";
  const int64_t now_us = SystemClock().NowMicros();
  Frame frame;
  repo::CommitVerifier verifier;
  repo::VerifiedCommit commit;
  return Measure(name, input, seconds, [&](Bytes bytes) {
    if (!firehose::DecodeFrame(bytes, &frame).ok()) return false;
    if (frame.kind != FrameKind::kCommit) return true;
    const repo::CommitClaim claim = sync::ClaimOf(frame);
    if (!verifier.Check(claim, now_us, &commit).ok()) return false;
    if (sign) {
      identity::IdentityPtr identity;
      const crypto::PublicKey* const key = KeyOf(frame, input, &identity);
      if (key == nullptr || !verifier.CheckSignature(*key, commit).ok()) return false;
    }
    return !invert || verifier.Invert(claim, &commit).ok();
  });
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
  if (name == "full less signature") return MeasureVerification(name, input, seconds);
  if (name == "signature" || name == "full" || name == "signatures alone") {
    if (input.identities == nullptr) return InvalidInputError("--stage " + name + " wants --did-docs");
    return name == "signatures alone" ? MeasureSignatures(name, input, seconds)
                                      : MeasureVerification(name, input, seconds);
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
  return InvalidInputError("--stage: '" + name + "' is none of envelope, decode, cid, check, signature, full, index");
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
    if (input.identities != nullptr) {
      identity::IdentityPtr identity;
      const crypto::PublicKey* const key = KeyOf(frame, input, &identity);
      if (key != nullptr) ++(key->curve() == crypto::Curve::kK256 ? shape.k256 : shape.p256);
    }
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
