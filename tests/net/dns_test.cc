// Names, asked of a DNS server that does what it is told.

#include "net/dns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <future>
#include <string>
#include <vector>

#include "fixtures/directory/dns_server.h"
#include "net/io_thread.h"

namespace penstock::net {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class DnsTest : public testing::Test {
 protected:
  DnsTest() {
    server_ = *fixtures::DnsServer::Start();
    DnsOptions options;
    options.servers = server_->address();
    options.timeout = milliseconds(100);
    dns_ = *Dns::Create(io_.executor(), options);
  }
  ~DnsTest() override {
    io_.Stop([this] { dns_->Stop(); });
  }

  template <typename Answer, typename Ask>
  std::pair<DnsOutcome, std::vector<Answer>> Wait(Ask ask) {
    std::promise<std::pair<DnsOutcome, std::vector<Answer>>> promise;
    boost::asio::post(io_.executor(), [&] {
      ask([&](DnsOutcome outcome, std::vector<Answer> answers) {
        promise.set_value({outcome, std::move(answers)});
      });
    });
    return promise.get_future().get();
  }
  std::pair<DnsOutcome, std::vector<std::string>> Txt(const std::string& name) {
    return Wait<std::string>([&](Dns::TxtDone done) { dns_->Txt(name, std::move(done)); });
  }
  std::pair<DnsOutcome, std::vector<std::string>> Addresses(const std::string& name) {
    auto found = Wait<boost::asio::ip::address>(
        [&](Dns::AddressesDone done) { dns_->Addresses(name, std::move(done)); });
    std::vector<std::string> texts;
    for (const auto& address : found.second) texts.push_back(address.to_string());
    return {found.first, std::move(texts)};
  }

  std::unique_ptr<fixtures::DnsServer> server_;
  IoThread io_;
  std::unique_ptr<Dns> dns_;
};

TEST_F(DnsTest, FindsAddresses) {
  server_->AddAddresses("a.lantern.test", {"8.8.8.8", "8.8.4.4"});
  EXPECT_THAT(Addresses("a.lantern.test").second, UnorderedElementsAre("8.8.8.8", "8.8.4.4"));
  server_->AddAddresses("b.lantern.test", {"2606:4700::1111", "1.1.1.1"});
  EXPECT_THAT(Addresses("b.lantern.test").second, UnorderedElementsAre("2606:4700::1111", "1.1.1.1"));
}

TEST_F(DnsTest, FindsTexts) {
  server_->SetTxt("_atproto.a.lantern.test",
                  {{"did=did:plc:a"}, {"did=", "did:plc:b"}, {""}, {std::string(255, 'x')}});
  const auto found = Txt("_atproto.a.lantern.test");
  EXPECT_EQ(found.first, DnsOutcome::kFound);
  EXPECT_THAT(found.second, ElementsAre("did=did:plc:a", "did=did:plc:b", "", std::string(255, 'x')));
}

TEST_F(DnsTest, TellsAbsenceFromFailure) {
  EXPECT_EQ(Txt("nobody.lantern.test").first, DnsOutcome::kNotFound);
  EXPECT_EQ(Addresses("nobody.lantern.test").first, DnsOutcome::kNotFound);
  server_->AddAddresses("a.lantern.test", {"8.8.8.8"});
  EXPECT_EQ(Txt("a.lantern.test").first, DnsOutcome::kNotFound) << "the name exists, its text does not";
  server_->SetServFail("broken.lantern.test");
  EXPECT_EQ(Txt("broken.lantern.test").first, DnsOutcome::kFailed);
  server_->SetSilent("silent.lantern.test");
  EXPECT_EQ(Txt("silent.lantern.test").first, DnsOutcome::kFailed);
  EXPECT_EQ(Txt(std::string(64, 'x') + ".lantern.test").first, DnsOutcome::kNotFound) << "no name at all";
  EXPECT_EQ(Addresses("silent.lantern.test").first, DnsOutcome::kFailed);
}

// A name of a stranger must not end up in the network of whoever runs this.
TEST_F(DnsTest, AppendsNoSearchDomain) {
  Addresses("nobody.lantern.test");
  EXPECT_EQ(server_->CountOf("nobody.lantern.test"), server_->questions());
}

TEST_F(DnsTest, ManyAtOnce) {
  constexpr int kNames = 500;
  std::atomic<int> found{0}, left{kNames};
  std::promise<void> done;
  for (int i = 0; i < kNames; ++i) {
    const std::string name = "n" + std::to_string(i) + ".lantern.test";
    server_->SetTxt(name, {{name}});
    boost::asio::post(io_.executor(), [&, name] {
      dns_->Txt(name, [&, name](DnsOutcome, const std::vector<std::string>& texts) {
        if (texts.size() == 1 && texts[0] == name) ++found;
        if (--left == 0) done.set_value();
      });
    });
  }
  done.get_future().wait();
  EXPECT_GT(found, kNames * 9 / 10) << "UDP may lose some";
}

TEST_F(DnsTest, StopAnswersWhatIsUnderWay) {
  server_->SetSilent("silent.lantern.test");
  std::promise<DnsOutcome> first, second;
  boost::asio::post(io_.executor(), [&] {
    dns_->Txt("silent.lantern.test", [&](DnsOutcome outcome, const auto&) { first.set_value(outcome); });
    dns_->Stop();
    dns_->Txt("a.lantern.test", [&](DnsOutcome outcome, const auto&) { second.set_value(outcome); });
  });
  EXPECT_EQ(first.get_future().get(), DnsOutcome::kFailed);
  EXPECT_EQ(second.get_future().get(), DnsOutcome::kFailed);
}

}  // namespace
}  // namespace penstock::net
