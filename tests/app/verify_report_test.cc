// What a report looks like, whatever words it was given.

#include "app/verify_report.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

#include "base/status.h"

namespace penstock::app {
namespace {

namespace json = boost::json;

TEST(VerifyReport, TellsStepsAndVerdict) {
  VerifyReport report("record", "at://a/b/c");
  report.Ok("blocks", "2, each hashes to its CID");
  report.Remark("below");
  report.Member("rev", "3lx");
  report.Member("records", int64_t{7});
  report.Member("included", true);
  report.MemberJson("nodes", "[1]");
  EXPECT_FALSE(report.verified()) << "nothing is proven before it is said what";
  EXPECT_EQ(report.Text(false),
            "ok      blocks     2, each hashes to its CID\n"
            "                   below\n"
            "NOT verified: not looked at to the end\n");
  report.Conclude("all of it");
  EXPECT_TRUE(report.verified());
  EXPECT_EQ(report.Text(false),
            "ok      blocks     2, each hashes to its CID\n"
            "                   below\n"
            "verified: all of it\n");
  EXPECT_EQ(report.Text(true),
            "✓ blocks     2, each hashes to its CID\n"
            "             below\n"
            "verified: all of it\n");
  EXPECT_EQ(report.Json(),
            "{\"kind\":\"record\",\"input\":\"at://a/b/c\",\"verified\":true,\"rev\":\"3lx\",\"records\":7,"
            "\"included\":true,\"nodes\":[1],\"steps\":[{\"step\":\"blocks\",\"verdict\":\"ok\","
            "\"detail\":\"2, each hashes to its CID\"}]}\n");
}

TEST(VerifyReport, TellsWhatDoesNotHoldFromWhatNobodyAnswered) {
  VerifyReport report("record", "x");
  report.Fail("key", UnavailableError("nobody"));
  report.Fail("signature", RejectError(Reject::kSignatureMismatch, "of it"));
  report.Fail("proof", NotFoundError("RecordNotFound"));
  report.Conclude("nothing");
  EXPECT_FALSE(report.verified());
  EXPECT_EQ(report.Text(false),
            "UNKNOWN key        nobody\n"
            "FAILED  signature  signature_mismatch: of it\n"
            "FAILED  proof      RecordNotFound\n"
            "NOT verified: key\n");
  const json::value told = json::parse(report.Json());
  EXPECT_EQ(told.at("steps").at(0).at("verdict").as_string(), "unknown");
  EXPECT_FALSE(told.at("steps").at(0).as_object().contains("reject"));
  EXPECT_EQ(told.at("steps").at(1).at("reject").as_string(), "signature_mismatch");
  EXPECT_EQ(told.at("steps").at(2).at("verdict").as_string(), "failed");
}

TEST(VerifyReport, WordsOfStrangersAreNoCommandsAndAlwaysText) {
  VerifyReport report("record", "file\xff.car");
  report.Ok("proof", "clear \x1b[2J the screen\nok      signature  forged");
  report.Fail("path", RejectError(Reject::kMstBadKey, "\xc3\x28\x00"));
  report.Remark("a\rb");
  for (const bool marks : {false, true}) {
    const std::string text = report.Text(marks);
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    EXPECT_EQ(text.find('\r'), std::string::npos);
    EXPECT_EQ(text.find("\nok      signature"), std::string::npos);
  }
  json::error_code error;
  const json::value told = json::parse(report.Json(), error);
  ASSERT_FALSE(error) << report.Json();
  EXPECT_EQ(told.at("input").as_string(), "file\\xff.car");
}

TEST(VerifyReport, Counts) {
  EXPECT_EQ(Counted(0, "node"), "0 nodes");
  EXPECT_EQ(Counted(1, "node"), "1 node");
  EXPECT_EQ(Counted(1234, "node"), "1,234 nodes");
}

}  // namespace
}  // namespace penstock::app
