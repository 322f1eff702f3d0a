// The seeds of fuzz_inversion, fuzz_commit, fuzz_export and fuzz_export_stream, made with the builder. With PENSTOCK_WRITE_SEEDS
// set this writes them; else it checks that they are there and say what they should, so that a fuzzer never
// starts from nothing.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "firehose/frame.h"
#include "fixtures/builder/faults.h"
#include "tests/repo/account_testing.h"
#include "tests/support/shared_data.h"

namespace penstock::repo {
namespace {

namespace fs = std::filesystem;
using builder::Write;

using Seeds = std::map<std::string, std::string>;  // "target/name" -> bytes

std::string Mode(char mode, std::string_view rest) { return std::string(1, mode) + std::string(rest); }
// A literal with all of its bytes, zeros too.
template <size_t size>
std::string Recipe(char mode, const char (&bytes)[size]) {
  return Mode(mode, std::string_view(bytes, size - 1));
}
std::string Path(int i) { return "app.bsky.feed.post/" + std::to_string(1000 + i); }

// Frames and exports of an account as fuzz_commit knows it.
void AddAccount(builder::Curve curve, std::string_view name, Seeds* seeds) {
  builder::Account account = test::MakeAccount(curve);
  const auto frame = [&](std::string_view what, builder::CommitMessage message) {
    message.seq = 1;
    firehose::Frame decoded;
    const std::string bytes = Encode(message);
    EXPECT_TRUE(DecodeFrame(AsBytes(bytes), &decoded).ok() && decoded.kind == firehose::FrameKind::kCommit)
        << what;
    (*seeds)["commit/" + std::string(name) + "-" + std::string(what)] = Mode(0, bytes);
  };
  frame("first", account.Commit({}, builder::kFixtureEpoch));
  std::vector<Write> writes;
  for (int i = 0; i < 12; ++i) writes.push_back(Write::Create(Path(i), test::Post(std::to_string(i % 5))));
  frame("creates", account.Commit(writes, builder::kFixtureEpoch));
  frame("one", account.Commit({Write::Create(Path(50), test::Post("one"))}, builder::kFixtureEpoch));
  frame("mixed", account.Commit({Write::Update(Path(3), test::Post("other")), Write::Delete(Path(7)),
                                 Write::Create(Path(51), test::Post("two"))},
                                builder::kFixtureEpoch));
  for (const builder::CommitFault fault :
       {builder::CommitFault::kForeignSignature, builder::CommitFault::kHighS,
        builder::CommitFault::kOpOmitted, builder::CommitFault::kPrevDataMissing}) {
    builder::CommitMessage message =
        account.Draft({Write::Create(Path(52), test::Post("x"))}, builder::kFixtureEpoch);
    Spoil(fault, account, &message);
    frame(CommitFaultName(fault), message);
  }
  (*seeds)["export/" + std::string(name)] = Mode(0, *account.Export());
  (*seeds)["export_stream/" + std::string(name)] = Mode(0, Mode(30, *account.Export()));
}

Seeds AllSeeds() {
  Seeds seeds;
  AddAccount(builder::Curve::kK256, "k256", &seeds);
  AddAccount(builder::Curve::kP256, "p256", &seeds);
  // Recipes: what the bytes mean stands in the targets.
  seeds["commit/recipe"] = Recipe(1, "\x00\x02\x04\x01\x01\x02\x02\x03\x03\x84\x01\x02\x01\x01\x85\x02\x00");
  seeds["commit/recipe-p256"] = Recipe(1,
                                       "\x01\x01\x06"
                                       "abcdefghijkl\x04"
                                       "ABcdEFgh\x00");
  seeds["commit/recipe-op-omitted"] = Recipe(1,
                                             "\x00\x01\x03"
                                             "abcdef\x03"
                                             "ghijkl\x01\x01\x01");
  seeds["commit/recipe-node-changed"] = Recipe(1,
                                               "\x00\x00\x05"
                                               "abcdefghij\x01\x0b\x01\x09\x04");
  seeds["export/nodes"] = Recipe(1,
                                 "\x01\x00\x00\x05"
                                 "a/b/c\x00\x01\x01\x00\x05"
                                 "a/b/d\x02");
  seeds["export/records"] =
      Recipe(2, "\x05\x01x\x00\x01\x02xy\x00\x02\x03xyz\x01\x00\xf0\x02\x02\xe1z\x03\x03\x00");
  seeds["export/records-spoilt"] = Recipe(2, "\x02\x01x\x00\x01\x02xy\x00\x02\x01\x00\x70\x03");
  // Mode, length of the pieces, order, fault, and the recipe.
  const auto stream = [&](std::string_view name, char fault, const std::string& recipe) {
    seeds["export_stream/" + std::string(name)] = recipe.substr(0, 1) + std::string("\x07\x05") + fault + recipe.substr(1);
  };
  stream("nodes", '\0', seeds["export/nodes"]);
  stream("records", '\0', seeds["export/records"]);
  stream("records-missing", '\1', seeds["export/records"]);
  stream("records-twice", '\2', seeds["export/records"]);
  stream("records-spoilt", '\3', seeds["export/records"]);
  seeds["inversion/changes"] = Recipe(0, "\x01\x05\x09\x11\x1a\x21\x22\x29\xff\x02\x30\x85\x0a\x41\x91\xff");
  seeds["inversion/missing-nodes"] =
      Recipe(0, "\x01\x05\x09\x11\x1a\x21\x22\x29\xff\x02\x30\x85\xff\x00\x01\x00\x01\x01\x00");
  seeds["inversion/lies"] =
      Recipe(0, "\x01\x05\x09\x11\x1a\x21\xff\x02\x30\x85\x0a\x41\xff\x81\x05\x42\x07\x01\x02");
  seeds["inversion/emptied"] = Recipe(0, "\x01\x85\x09\xff\x81\x85\x89\xff");
  seeds["inversion/nodes"] = Recipe(1,
                                    "\x02\x00\x00\x01\x02\x00\x05\x01\x00\x00\x05"
                                    "a/b/c\x00");
  return seeds;
}

TEST(FuzzSeeds, AreTheCommittedFiles) {
  const fs::path folder = "tests/fuzz/corpus";
  for (const auto& [name, bytes] : AllSeeds()) {
    if (std::getenv("PENSTOCK_WRITE_SEEDS") != nullptr) {
      fs::create_directories((folder / name).parent_path());
      std::ofstream(folder / name, std::ios::binary) << bytes;
    }
    ASSERT_TRUE(fs::exists(folder / name)) << name;
    EXPECT_EQ(test::ReadFileText(folder / name), bytes) << name;
  }
}

}  // namespace
}  // namespace penstock::repo
