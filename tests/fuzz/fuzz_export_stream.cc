// Whole repositories as they come from a network, in pieces of random sizes, held against the same bytes verified
// as a whole. The first byte says what the rest is, the second which pieces:
//
//   0  a CAR as it comes
//   1  a recipe for nodes, under a commit
//   2  a recipe for a tree of records
//
// Of the recipes the third byte is the order of the blocks, and the fourth what is wrong with them: some
// are left out, come twice, or have a bit turned.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "base/status.h"
#include "repo/export.h"
#include "repo/export_stream.h"
#include "tests/car/memory_spill.h"
#include "tests/fuzz/export_recipe.h"

using namespace penstock;  // NOLINT: a test program

namespace {

using fuzz::Recipe;
using fuzz::Require;

struct Found {
  std::vector<std::pair<std::string, std::string>> records;                 // key, block
  std::vector<std::tuple<std::string, std::string, Reject>> unusable;  // key, CID
  friend bool operator==(const Found&, const Found&) = default;
};

class Collector : public repo::ExportVisitor {
 public:
  absl::Status OnCommit(const repo::CommitObject&, const cbor::CidView& cid, Bytes block) override {
    Require(!commit_seen && cbor::BlockMatches(cid, block));
    commit_seen = true;
    return absl::OkStatus();
  }
  absl::Status OnRecord(const repo::ExportedRecord& record) override {
    Require(commit_seen && last < record.key && cbor::BlockMatches(record.cid, record.block));
    last = record.key;
    found.records.emplace_back(record.key, AsText(record.block));
    return absl::OkStatus();
  }
  absl::Status OnUnusable(const repo::UnusableRecord& record) override {
    Require(commit_seen && last < record.key);
    last = record.key;
    found.unusable.emplace_back(record.key, record.cid.ToString(), record.reject);
    return absl::OkStatus();
  }

  Found found;
  bool commit_seen = false;
  std::string last;
};

// Faults of the archive itself, which the stream meets in the order of their coming.
bool IsOfTheArchive(Reject reject) {
  switch (reject) {
    case Reject::kCarTruncated:
    case Reject::kCarBadVarint:
    case Reject::kCarBadHeader:
    case Reject::kCarBadVersion:
    case Reject::kCarNoRoots:
    case Reject::kCarZeroLengthSection:
    case Reject::kCarBadCid:
    case Reject::kCarBlockCidMismatch:
      return true;
    default:
      return false;
  }
}

// Sizes of pieces, from a byte: all at once, each the same, or of any size up to a bound, empty ones among them.
class Pieces {
 public:
  explicit Pieces(uint8_t byte) : byte_(byte), random_(byte) {}
  size_t Next(size_t left) {
    size_t size = left;
    if (byte_ < 64) {
      size = byte_ + size_t{1};
    } else if (byte_ != 255) {
      size = random_() % (size_t{2} << byte_ % 14);
    }
    return std::min(size, left);
  }

 private:
  const uint8_t byte_;
  std::minstd_rand random_;
};

void Compare(Bytes car, uint8_t piece_byte) {
  // Reused over all inputs.
  static test::MemorySpill& spill = *new test::MemorySpill;
  static repo::ExportStream& stream = *new repo::ExportStream(&spill);
  static repo::ExportVerifier& verifier = *new repo::ExportVerifier;

  repo::ExportStreamOptions options;
  options.versions = repo::CommitVersions::kAlsoV2;
  Collector collector;
  absl::Status streamed = stream.Begin(options, &collector);
  Pieces pieces(piece_byte);
  for (Bytes rest = car; streamed.ok() && !rest.empty();) {
    // A copy of its own, so that a view that is kept too long is seen.
    const Bytes piece = rest.first(pieces.Next(rest.size()));
    const std::vector<uint8_t> bytes(piece.begin(), piece.end());
    rest = rest.subspan(bytes.size());
    streamed = stream.Feed(bytes);
  }
  if (streamed.ok()) streamed = stream.Finish();
  Require(stream.memory() < (size_t{1} << 20) + 4 * car.size());

  const absl::Status whole = verifier.Verify(car, options);
  Require(whole.ok() == streamed.ok());
  if (!whole.ok()) {
    const std::optional<Reject> reject = RejectOf(whole), stream_reject = RejectOf(streamed);
    Require(reject.has_value() && stream_reject.has_value());
    Require(IsOfTheArchive(*reject) || reject == stream_reject);
    return;
  }
  Found expected;
  Require(verifier
              .VisitRecords([&](const repo::ExportedRecord& record) {
                expected.records.emplace_back(record.key, AsText(record.block));
                return absl::OkStatus();
              })
              .ok());
  for (const repo::UnusableRecord& record : verifier.unusable()) {
    expected.unusable.emplace_back(record.key, record.cid.ToString(), record.reject);
  }
  Require(collector.found == expected && stream.commit().rev == verifier.commit().rev);
  Require(stream.node_count() == verifier.tree().node_count() && stream.key_count() == verifier.tree().items().size());
}

// The blocks in an order, with what is wrong with them.
std::string Write(const test::Blocks& blocks, const cbor::Cid& data, uint8_t order, uint8_t fault) {
  cbor::Cid commit;
  const test::Blocks all = fuzz::Under(blocks, data, &commit);
  std::vector<std::pair<cbor::Cid, std::string>> sections(all.all().begin(), all.all().end());
  std::mt19937 random(order * 256u + fault);
  std::shuffle(sections.begin(), sections.end(), random);
  if (fault % 4 == 1) sections.resize(sections.size() - random() % std::min<size_t>(sections.size(), 4));
  if (fault % 4 == 2) {
    for (size_t i = sections.size(); i > 0; --i) sections.push_back(sections[random() % i]);
  }
  std::string car;
  car::Writer writer(&car);
  writer.Header(std::span(&commit, 1));
  for (const auto& [cid, block] : sections) writer.Block(cid.view(), AsBytes(block));
  if (fault % 4 == 3) {
    const size_t at = random() % car.size();
    car[at] = static_cast<char>(car[at] ^ (1 << random() % 8));
  }
  return car;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Recipe recipe(Bytes(data, size));
  const uint8_t mode = recipe.Byte(), piece = recipe.Byte();
  if (mode == 0) {
    if (size > 2) Compare(Bytes(data + 2, size - 2), piece);
    return 0;
  }
  const uint8_t order = recipe.Byte(), fault = recipe.Byte();
  if (mode == 1) {
    test::Blocks blocks;
    cbor::Cid root;
    if (!fuzz::CookNodeRepository(&recipe, &blocks, &root)) return 0;
    Compare(AsBytes(Write(blocks, root, order, fault)), piece);
  } else {
    const fuzz::RecordRepository made = fuzz::CookRecordRepository(&recipe);
    Compare(AsBytes(Write(made.blocks, made.data, order, fault)), piece);
  }
  return 0;
}
