// Whole repositories. The first byte says what the rest is:
//
//   0  a CAR as it comes
//   1  a recipe for nodes, under a commit
//   2  a recipe for a tree of records, and for what is wrong with its CAR: held against the records

#include <cstdint>
#include <map>
#include <string>

#include "base/status.h"
#include "repo/export.h"
#include "repo/mst.h"
#include "repo/record_proof.h"
#include "tests/fuzz/export_recipe.h"
#include "tests/repo/tree_testing.h"

using namespace penstock;  // NOLINT: a test program

namespace {

using fuzz::Recipe;
using fuzz::Require;

// Reused over all inputs.
repo::ExportVerifier& Verifier() {
  static repo::ExportVerifier& verifier = *new repo::ExportVerifier;
  return verifier;
}

// Everything that an accepted export says holds together; nothing of a refused one is there.
std::map<std::string, std::string> Visit(Bytes car, bool accepted) {
  const repo::ExportVerifier& verifier = Verifier();
  std::map<std::string, std::string> records;
  std::string last;
  Require(verifier
              .VisitRecords([&](const repo::ExportedRecord& record) {
                Require(last < record.key && cbor::BlockMatches(record.cid, record.block));
                last = record.key;
                records[last] = AsText(record.block);
                return absl::OkStatus();
              })
              .ok());
  Require(records.size() == verifier.record_count());
  if (!accepted) {
    Require(records.empty() && verifier.unusable().empty() && verifier.commit_block().empty());
    return records;
  }
  Require(records.size() + verifier.unusable().size() == verifier.tree().items().size());
  car::BlockIndex blocks;
  Require(blocks.Load(car).ok());
  auto mst = repo::Mst::Load(blocks, verifier.commit().data);
  Require(mst.ok() && mst->Root() == verifier.commit().data && mst->size() == verifier.tree().items().size());
  return records;
}

void VerifyCar(Bytes car) {
  repo::ExportOptions options;
  options.versions = repo::CommitVersions::kAlsoV2;
  const absl::Status status = Verifier().Verify(car, options);
  Require(status.ok() || RejectOf(status).has_value());
  Visit(car, status.ok());
}

std::string CarOf(const test::Blocks& blocks, const cbor::Cid& data) {
  cbor::Cid commit;
  const test::Blocks all = fuzz::Under(blocks, data, &commit);
  return all.Car(commit);
}

void VerifyNodes(Recipe recipe) {
  test::Blocks blocks;
  cbor::Cid data;
  if (fuzz::CookNodeRepository(&recipe, &blocks, &data)) VerifyCar(AsBytes(CarOf(blocks, data)));
}

void VerifyRecords(Recipe recipe) {
  const fuzz::RecordRepository made = fuzz::CookRecordRepository(&recipe);
  std::string car = CarOf(made.blocks, made.data);
  const bool spoilt = recipe.Byte() % 2 == 1;
  if (spoilt) {
    const size_t at = (recipe.Byte() * 256u + recipe.Byte()) % car.size();
    car[at] = static_cast<char>(car[at] ^ (1 << recipe.Byte() % 8));
  }
  const absl::Status status = Verifier().Verify(AsBytes(car), {});
  const auto records = Visit(AsBytes(car), status.ok());
  if (!spoilt) Require(status.ok());
  if (!status.ok()) return;
  // A bit that is turned in a block changes its hash, and no other byte of a CAR is free.
  Require(!spoilt && records == made.records && Verifier().unusable().size() == made.unusable);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Bytes rest(data + 1, size - 1);
  if (data[0] == 0) {
    VerifyCar(rest);
  } else if (data[0] == 1) {
    VerifyNodes(Recipe(rest));
  } else {
    VerifyRecords(Recipe(rest));
  }
  return 0;
}
