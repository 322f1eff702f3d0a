// The seeds of tests/fuzz/fuzz_frame.cc: one frame of each kind and shape, as files. With
// PENSTOCK_WRITE_SEEDS set this writes them; else it checks that they are there and say what they should, so
// that a fuzzer never starts from nothing.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "tests/firehose/frame_builder.h"
#include "tests/firehose/temp_folder.h"
#include "tests/support/shared_data.h"

namespace penstock::firehose {
namespace {

using namespace penstock::test;

std::map<std::string, std::string> Seeds() {
  const Item error = Map{{"op", Int(-1)}}.Encode();
  return {
      {"commit",
       Message("#commit", CommitPayload({CreateOp().Encode(), UpdateOp().Encode(), DeleteOp().Encode()}))},
      {"commit-first", Message("#commit", CommitPayload().With("since", Null()).Without("prevData"))},
      {"commit-empty", Message("#commit", CommitPayload(std::vector<Item>{}).With("since", Text("")))},
      {"commit-old",
       Message("#commit", CommitPayload().With("prev", Null()).With("blobs", Array({Link("blob")})))},
      {"commit-many-ops", Message("#commit", CommitPayload(std::vector<Item>(201, Map().Encode())))},
      {"commit-bad-op",
       Message("#commit", CommitPayload({Map{{"action", Text("upsert")}}.Encode(), Int(1)}))},
      {"commit-no-rev", Message("#commit", CommitPayload().Without("rev"))},
      {"sync", Message("#sync", SyncPayload())},
      {"identity", Message("#identity", IdentityPayload())},
      {"account", Message("#account", AccountPayload())},
      {"account-bad-seq", Message("#account", AccountPayload().With("seq", Int(-1)))},
      {"info", Message("#info", InfoPayload())},
      {"error", ErrorMessage()},
      {"error-empty", error + Map().Encode()},
      {"retired", Message("#tombstone", Map{{"seq", Int(7)}, {"did", Text(kDid)}, {"time", Text(kTime)}})},
      {"unknown-op", Map{{"op", Int(2)}}.Encode() + Map{{"seq", Int(1)}}.Encode()},
      {"unknown-fields",
       Message("#identity", IdentityPayload().With("$type", Text("x")).With("z", Array({Float(), Null()})))},
      {"header-only", Header("#commit")},
      {"trailing", Message("#info", InfoPayload()) + Int(0)},
  };
}

TEST(FrameSeeds, AreTheCommittedFiles) {
  const std::filesystem::path folder = "tests/fuzz/corpus/frame";
  for (const auto& [name, bytes] : Seeds()) {
    if (std::getenv("PENSTOCK_WRITE_SEEDS") != nullptr) {
      std::filesystem::create_directories(folder);
      WriteFile(folder / name, bytes);
    }
    ASSERT_TRUE(std::filesystem::exists(folder / name)) << name;
    EXPECT_EQ(ReadFileText(folder / name), bytes) << name;
  }
}

}  // namespace
}  // namespace penstock::firehose
