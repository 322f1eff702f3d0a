// `inspect did` against a directory on loopback, and against a file.

#include "app/inspect_did.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "fixtures/builder/account.h"
#include "fixtures/directory/directory.h"

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

}  // namespace
}  // namespace penstock::app
