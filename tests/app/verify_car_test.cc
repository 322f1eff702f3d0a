// Files that somebody tampered with, bit by bit: nothing that is not exactly what the account signed is ever
// verified.

#include "app/verify_car.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <string>

#include "base/status.h"
#include "fixtures/builder/account.h"
#include "fixtures/builder/fake_time.h"
#include "identity/did_document.h"
#include "tests/support/record_slice.h"

namespace penstock::app {
namespace {

using builder::Account;
using builder::Item;
using builder::Write;
using testing::HasSubstr;

constexpr char kNote[] = "test.lantern.note";
constexpr int64_t kNow = builder::kFixtureEpoch + int64_t{3600} * 1'000'000;

std::string PathOf(int i) { return std::string(kNote) + "/note-" + std::to_string(i); }

Account WithNotes(uint64_t seed, int notes, builder::Curve curve = builder::Curve::kK256) {
  Account account({.seed = seed, .handle = "ada.lantern.test", .curve = curve});
  for (int i = 0; i < notes; ++i) {
    const Item note = Item::Map({{"$type", kNote}, {"text", "note " + std::to_string(i)}});
    account.Commit({Write::Create(PathOf(i), note)}, builder::kFixtureEpoch + i * 1'000'000);
  }
  return account;
}

VerifyReport Repository(const std::string& car, const Signer& signer, bool allow_v2 = false) {
  std::istringstream file(car);
  VerifyReport report("repository", "x");
  VerifyRepository({&file, kNow, allow_v2}, signer, &report);
  return report;
}

Signer SignerOf(const Account& account) {
  Signer signer;
  signer.find = [document =
                     account.DidDocument()](std::string_view did) -> absl::StatusOr<identity::IdentityPtr> {
    return std::make_shared<const identity::Identity>(identity::ParseDidDocument(did, document));
  };
  signer.origin = "a test";
  return signer;
}

class VerifyCarTest : public testing::TestWithParam<builder::Curve> {};

TEST_P(VerifyCarTest, EveryBitOfARepositoryCounts) {
  Account ada = WithNotes(1, 4, GetParam());
  std::string car = *ada.Export();
  const Signer signer = SignerOf(ada);
  const auto verified = [&] { return Repository(car, signer, /*allow_v2=*/true).verified(); };
  ASSERT_TRUE(verified());
  for (size_t bit = 0; bit < car.size() * 8; ++bit) {
    car[bit / 8] = static_cast<char>(car[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(verified()) << "bit " << bit;
    car[bit / 8] = static_cast<char>(car[bit / 8] ^ (1 << (bit % 8)));
  }
  const std::string whole = car;
  for (size_t size = 0; size < whole.size(); ++size) {
    car = whole.substr(0, size);
    EXPECT_FALSE(verified()) << size;
  }
}

TEST_P(VerifyCarTest, EveryBitOfASliceCounts) {
  Account ada = WithNotes(1, 4, GetParam());
  const Signer signer = SignerOf(ada);
  for (const std::string& path : {PathOf(2), PathOf(77)}) {
    std::string car = test::RecordSlice(*ada.Export(), path);
    const auto verified = [&] {
      VerifyReport report("record", "x");
      VerifyRecord({AsBytes(car), kNow, ada.did(), path, /*need_record=*/true}, signer, &report);
      return report.verified();
    };
    ASSERT_TRUE(verified());
    for (size_t bit = 0; bit < car.size() * 8; ++bit) {
      car[bit / 8] = static_cast<char>(car[bit / 8] ^ (1 << (bit % 8)));
      EXPECT_FALSE(verified()) << path << " bit " << bit;
      car[bit / 8] = static_cast<char>(car[bit / 8] ^ (1 << (bit % 8)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Curves, VerifyCarTest, testing::Values(builder::Curve::kK256, builder::Curve::kP256),
                         [](const auto& curve) {
                           return curve.param == builder::Curve::kK256 ? "K256" : "P256";
                         });

TEST(VerifyCar, TheNodesOnTheWayAreTold) {
  // Enough records for a tree of several levels.
  Account ada = WithNotes(1, 200);
  const Signer signer = SignerOf(ada);
  std::set<size_t> lengths;
  for (int i = 0; i < 200; i += 7) {
    const std::string car = test::RecordSlice(*ada.Export(), PathOf(i));
    VerifyReport report("record", "x");
    VerifyRecord({AsBytes(car), kNow, "", PathOf(i), true}, signer, &report);
    ASSERT_TRUE(report.verified()) << report.Text(false);
    const std::string text = report.Text(false);
    EXPECT_THAT(text, HasSubstr("node " + ada.data().ToString() + ", height "));
    size_t nodes = 0;
    for (size_t at = text.find("node "); at != std::string::npos; at = text.find("node ", at + 1)) ++nodes;
    lengths.insert(nodes);
  }
  EXPECT_GT(lengths.size(), 1u) << "some lie higher than others";
}

TEST(VerifyCar, OddRecordsAreSignedAllTheSame) {
  Account ada({.seed = 1, .handle = "ada.lantern.test"});
  const Item odd = Item::Map({{"$type", "test.lantern.other"}});
  ada.Commit({Write::Create(PathOf(1), odd)}, builder::kFixtureEpoch);
  const std::string car = *ada.Export();
  const VerifyReport report = Repository(car, SignerOf(ada));
  EXPECT_TRUE(report.verified());
  EXPECT_THAT(report.Text(false), HasSubstr("record_type_mismatch"));
  EXPECT_THAT(report.Json(), HasSubstr("\"invalid_records\":1"));
}

TEST(VerifyCar, WhoCannotBeAskedIsNoVerdictOnTheFile) {
  Account ada = WithNotes(1, 2);
  const std::string car = *ada.Export();
  Signer signer;
  signer.find = [](std::string_view) -> absl::StatusOr<identity::IdentityPtr> {
    return UnavailableError("away");
  };
  const VerifyReport report = Repository(car, signer);
  EXPECT_FALSE(report.verified());
  EXPECT_THAT(report.Text(false), HasSubstr("UNKNOWN key        away"));
}

}  // namespace
}  // namespace penstock::app
