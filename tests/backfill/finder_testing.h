#pragma once

// Hosts with accounts to be found, for tests of the finder.

#include <algorithm>
#include <chrono>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "backfill/finder.h"
#include "fixtures/directory/directory.h"
#include "repo/syntax.h"

namespace penstock::backfill {

inline constexpr int64_t kNow = 1'757'000'000'000'000;
inline constexpr int64_t kSecond = 1'000'000;

// "did:plc:aaaa…" with the number in base 26 at its end, so that a greater number is a greater DID.
inline std::string Did(int number) {
  std::string id(24, 'a');
  for (size_t at = id.size(); number > 0; number /= 26) id[--at] = static_cast<char>('a' + number % 26);
  return "did:plc:" + id;
}
inline std::vector<std::string> Dids(std::initializer_list<int> numbers) {
  std::vector<std::string> dids;
  for (const int number : numbers) dids.push_back(Did(number));
  return dids;
}
inline std::string RevOf(int number) { return repo::Tid::FromMicros(kNow - 1'000 * kSecond + number, 0).ToString(); }

// A host: a relay, a PDS or a directory of collections.
class Host {
 public:
  explicit Host(bool pds) : pds_(pds) { hosting().RemoveRepo("", Did(0)); }  // it serves all methods, and has nothing
  std::string url() const { return server_->url(); }
  std::string authority() const { return url().substr(url().find("://") + 3); }
  FinderHost finder() const { return {url(), pds_}; }
  fixtures::Directory& server() { return *server_; }
  fixtures::Hosting& hosting() { return server_->hosting(); }

  void Add(int number, std::vector<std::string> collections, int rev = 1) {
    fixtures::HostedRepo repo;
    repo.did = Did(number);
    repo.rev = RevOf(rev);
    repo.head = "bafyreihyrpefhacm6kkp4ql6j6udakdit7g3dmkzfriqfykhjw6cad5lrm";
    repo.collections = std::move(collections);
    std::sort(repo.collections.begin(), repo.collections.end());
    hosting().SetRepo("", std::move(repo));
  }
  size_t Asked(std::string_view method, std::string_view did = {}) { return hosting().Count(method, did); }
  int Fail(fixtures::HostingFault fault) { return hosting().AddFault(std::move(fault)); }

 private:
  const bool pds_;
  std::unique_ptr<fixtures::Directory> server_ = *fixtures::Directory::Start();
};

// A client that is in no hurry to be polite, and gives up soon.
inline net::XrpcClientOptions HastyClient() {
  net::XrpcClientOptions options;
  options.http.allow_private_addresses = true;
  options.gate.per_second = 10'000;
  options.gate.burst = 10'000;
  options.gate.backoff_first = std::chrono::milliseconds(20);
  options.gate.backoff_max = std::chrono::milliseconds(50);
  options.timeout = std::chrono::milliseconds(400);
  return options;
}

inline bool WaitUntil(const std::function<bool()>& reached, std::chrono::milliseconds most = std::chrono::seconds(20)) {
  const auto until = std::chrono::steady_clock::now() + most;
  while (!reached()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace penstock::backfill
