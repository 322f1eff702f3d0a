// --plc-audit: the directory's documents against its own signed logs.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/identity/identity_testing.h"
#include "tests/identity/resolver/resolver_fixture.h"

namespace penstock::identity {
namespace {

using fixtures::DirectoryReply;
using test::KeyNamed;
using test::PlcLogBuilder;

class PlcAuditTest : public test::ResolverFixture {
 protected:
  PlcAuditTest() {
    options_.plc_audit = true;
    log_.Add(PlcLogBuilder::Operation({KeyNamed("rotation")}, "ada.test"), -1, KeyNamed("rotation"), 0);
  }
  static std::string Document(const std::string& did, std::string_view key,
                              std::string_view handle = "ada.test") {
    return R"({"id":")" + did + R"(","alsoKnownAs":["at://)" + std::string(handle) +
           R"("],"verificationMethod":[{"id":"#atproto","type":"Multikey","controller":")" + did +
           R"(","publicKeyMultibase":")" + KeyNamed(key).Multikey() +
           R"("}],"service":[{"id":"#atproto_pds","type":"AtprotoPersonalDataServer",)" +
           R"("serviceEndpoint":"https://pds.lantern.test"}]})";
  }

  PlcLogBuilder log_;
};

TEST_F(PlcAuditTest, ADocumentThatItsLogBearsOut) {
  directory_->SetDocument(log_.did(), Document(log_.did(), "signing"));
  directory_->SetAuditLog(log_.did(), log_.Json());
  const Answer answer = Resolve(log_.did());
  ASSERT_EQ(Outcome(answer), "ok");
  EXPECT_EQ(KeyOf(answer), KeyNamed("signing").DidKey());
  EXPECT_EQ(directory_->CountOf("/" + log_.did() + "/log/audit"), 1u);
}

TEST_F(PlcAuditTest, ADirectoryThatInventsAKey) {
  directory_->SetDocument(log_.did(), Document(log_.did(), "the directory's own"));
  directory_->SetAuditLog(log_.did(), log_.Json());
  EXPECT_EQ(Outcome(Resolve(log_.did())), "plc_document_mismatch");
  EXPECT_EQ(directory_->CountOf("/" + log_.did() + "/log/audit"), 2u) << "not believed at once";
  EXPECT_EQ(Find(log_.did())->key, std::nullopt);
}

TEST_F(PlcAuditTest, ADirectoryThatServesAnotherLog) {
  PlcLogBuilder other;
  other.Add(PlcLogBuilder::Operation({KeyNamed("rotation")}, "eve.test"), -1, KeyNamed("rotation"), 0);
  directory_->SetDocument(log_.did(), Document(log_.did(), "signing"));
  directory_->SetAuditLog(log_.did(), other.Json());
  const std::string outcome = Outcome(Resolve(log_.did()));
  EXPECT_TRUE(outcome == "plc_genesis_mismatch" || outcome == "plc_bad_operation") << outcome;
}

TEST_F(PlcAuditTest, AnUpdateBetweenTheTwoAnswersIsNoLie) {
  const std::string old = Document(log_.did(), "signing");
  log_.Add(PlcLogBuilder::Operation({KeyNamed("rotation")}, "ada.test", KeyNamed("new").DidKey()), 0,
           KeyNamed("rotation"), 1);
  directory_->SetDocument(log_.did(), Document(log_.did(), "new"));
  directory_->SetAuditLog(log_.did(), log_.Json());
  directory_->Script(DirectoryReply::Of(200, old));  // and then the update came
  const Answer answer = Resolve(log_.did());
  ASSERT_EQ(Outcome(answer), "ok");
  EXPECT_EQ(KeyOf(answer), KeyNamed("new").DidKey());
}

TEST_F(PlcAuditTest, TombstonesAreProvenToo) {
  log_.Add(PlcLogBuilder::Tombstone(), 0, KeyNamed("rotation"), 1);
  directory_->Tombstone(log_.did());
  directory_->SetAuditLog(log_.did(), log_.Json());
  EXPECT_EQ(Outcome(Resolve(log_.did())), "did_tombstoned");
}

TEST_F(PlcAuditTest, ADirectoryThatDeclaresTheLivingDead) {
  directory_->Tombstone(log_.did());
  directory_->SetAuditLog(log_.did(), log_.Json());
  EXPECT_EQ(Outcome(Resolve(log_.did())), "plc_document_mismatch");
}

TEST_F(PlcAuditTest, NoLogNoIdentity) {
  directory_->SetDocument(log_.did(), Document(log_.did(), "signing"));
  EXPECT_EQ(Outcome(Resolve(log_.did())), "unavailable") << "a directory that knows the one knows the other";
  directory_->SetReply("/" + log_.did() + "/log/audit", DirectoryReply::Of(200, "garbage"));
  EXPECT_EQ(OutcomeNow(log_.did()), "plc_bad_operation");
}

}  // namespace
}  // namespace penstock::identity
