// `inspect did` against a directory on loopback, and against a file.

#include "app/inspect_did.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>

#include "fixtures/builder/account.h"
#include "fixtures/directory/directory.h"
#include "tests/identity/identity_testing.h"
#include "tests/support/database/temp_folder.h"

namespace penstock::app {
namespace {

using fixtures::Directory;
using fixtures::DirectoryReply;
using testing::HasSubstr;

class InspectDidTest : public testing::Test {
 protected:
  InspectDidTest() {
    builder::Account::Options options;
    options.handle = "printer.local";  // fails at once: nobody's DNS is asked
    account_ = std::make_unique<builder::Account>(options);
    directory_->SetAccount(*account_);
    command_.resolver.directory = directory_->url();
  }

  std::unique_ptr<Directory> directory_ = *Directory::Start();
  std::unique_ptr<builder::Account> account_;
  InspectDidCommand command_;
  std::string out_;
};

TEST_F(InspectDidTest, TellsWhoAnAccountIs) {
  const auto good = command_.Execute(account_->did(), &out_);
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_TRUE(*good);
  EXPECT_THAT(out_, HasSubstr("did        " + account_->did()));
  EXPECT_THAT(out_, HasSubstr(account_->key().DidKey() + " (K-256)"));
  EXPECT_THAT(out_, HasSubstr("https://pds.lantern.test"));
  EXPECT_THAT(out_, HasSubstr("printer.local (invalid)"));
  EXPECT_THAT(out_, testing::Not(HasSubstr("verificationMethod")));
  command_.document = true;
  ASSERT_TRUE(command_.Execute(account_->did(), &out_).ok());
  EXPECT_THAT(out_, HasSubstr("verificationMethod"));
}

TEST_F(InspectDidTest, TellsWhyItIsNobody) {
  directory_->Tombstone(account_->did());
  const auto good = command_.Execute(account_->did(), &out_);
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_FALSE(*good);
  EXPECT_THAT(out_, HasSubstr("REFUSED    did_tombstoned"));
}

TEST_F(InspectDidTest, NoAnswerIsAnError) {
  directory_->Misbehave(DirectoryReply::Of(503));
  EXPECT_TRUE(absl::IsUnavailable(command_.Execute(account_->did(), &out_).status()));
  command_.resolver.directory = "nonsense";
  EXPECT_TRUE(absl::IsInvalidArgument(command_.Execute(account_->did(), &out_).status()));
  EXPECT_EQ(out_, "");
}

TEST_F(InspectDidTest, ReadsAFile) {
  command_.resolver.did_docs = {"fixtures/data/forum-small.dids.ndjson"};
  ASSERT_TRUE(command_.Execute("did:plc:slsrp37q6w526dwkg7wevppl", &out_).ok());
  EXPECT_THAT(out_, HasSubstr("forum.lantern.test (unchecked)"));
  EXPECT_EQ(directory_->request_count(), 0u);
}

TEST_F(InspectDidTest, SaysWhereItAskedAndWhichKeyCounts) {
  std::string document = account_->DidDocument();
  const std::string methods = "\"verificationMethod\":[";
  const size_t at = document.find(methods);
  ASSERT_NE(at, std::string::npos);
  document.insert(at + methods.size(),
                  R"({"id":"#atproto_label","type":"Multikey","controller":"x","publicKeyMultibase":"z"},)");
  directory_->SetDocument(account_->did(), document);
  ASSERT_TRUE(command_.Execute(account_->did(), &out_).ok());
  EXPECT_THAT(out_, HasSubstr("from       " + directory_->url() + "/" + account_->did()));
  EXPECT_THAT(out_, HasSubstr("method     #atproto_label Multikey: skipped: its id is not #atproto"));
  EXPECT_THAT(out_, HasSubstr("#atproto Multikey: the account's key"));
}

TEST_F(InspectDidTest, ReadsADocumentFromAFile) {
  const test::TempFolder folder;
  const std::string path = folder.path() / "document.json";
  std::ofstream(path) << account_->DidDocument();
  auto good = command_.Execute(path, &out_);
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_TRUE(*good);
  EXPECT_THAT(out_, HasSubstr("did        " + account_->did()));
  EXPECT_THAT(out_, HasSubstr("from       " + path));
  EXPECT_THAT(out_, HasSubstr(account_->key().DidKey()));
  for (const char* bad : {"", "{", "[]", "{}", "3", R"([{"did":3}])", R"({"id":"did:plc:abc"})"}) {
    out_.clear();
    std::ofstream(path, std::ios::trunc) << bad;
    good = command_.Execute(path, &out_);
    ASSERT_TRUE(good.ok()) << bad;
    EXPECT_FALSE(*good) << bad;
    EXPECT_THAT(out_, HasSubstr("REFUSED    ")) << bad;
  }
  EXPECT_TRUE(absl::IsNotFound(command_.Execute("/nowhere", &out_).status()));
  EXPECT_EQ(directory_->request_count(), 0u);
}

TEST_F(InspectDidTest, TellsTheOperationsOfALog) {
  const builder::SigningKey rotation = test::KeyNamed("rotation");
  test::PlcLogBuilder log;
  log.Add(test::PlcLogBuilder::Operation({rotation}, "old.local"), -1, rotation, 0);
  log.Add(test::PlcLogBuilder::Operation({rotation}, "new.local", test::KeyNamed("new").DidKey()), 0,
          rotation, 1);
  const test::TempFolder folder;
  const std::string path = folder.path() / "log.json";
  std::ofstream(path) << log.Json();
  const auto good = command_.Execute(path, &out_);
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_TRUE(*good) << out_;
  EXPECT_THAT(out_, HasSubstr("did        " + log.did()));
  EXPECT_THAT(out_, HasSubstr("Z " + log.cid(0) + ": key " + test::KeyNamed("signing").DidKey()));
  EXPECT_THAT(out_, HasSubstr("Z " + log.cid(1) + ": key " + test::KeyNamed("new").DidKey()));
  EXPECT_THAT(out_, HasSubstr("handle new.local"));
  EXPECT_THAT(out_, HasSubstr("log        holds: 2 in force"));

  // From the directory, which says the same, or something else.
  const auto document = [&](std::string_view key) {
    return R"({"id":")" + log.did() +
           R"(","alsoKnownAs":["at://new.local"],"verificationMethod":[{"id":"#atproto","type":"Multikey",)" +
           R"("controller":")" + log.did() + R"(","publicKeyMultibase":")" + std::string(key) +
           R"("}],"service":[{"id":"#atproto_pds",)" +
           R"("type":"AtprotoPersonalDataServer","serviceEndpoint":"https://pds.lantern.test"}]})";
  };
  directory_->SetDocument(log.did(), document(test::KeyNamed("new").Multikey()));
  directory_->SetAuditLog(log.did(), log.Json());
  command_.resolver.plc_audit = true;
  out_.clear();
  const auto asked = command_.Execute(log.did(), &out_);
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_TRUE(*asked) << out_;
  EXPECT_THAT(out_, HasSubstr("log        holds: 2 in force"));
  directory_->SetDocument(log.did(), document(test::KeyNamed("liar").Multikey()));
  out_.clear();
  const auto lied = command_.Execute(log.did(), &out_);
  ASSERT_TRUE(lied.ok()) << lied.status();
  EXPECT_FALSE(*lied);
  EXPECT_THAT(out_, HasSubstr("REFUSED    plc_document_mismatch"));

  log.entry(1)["nullified"] = true;
  std::ofstream(path, std::ios::trunc) << log.Json();
  out_.clear();
  EXPECT_FALSE(*command_.Execute(path, &out_));
  EXPECT_THAT(out_, HasSubstr("REFUSED    plc_bad_nullification"));
}

}  // namespace
}  // namespace penstock::app
