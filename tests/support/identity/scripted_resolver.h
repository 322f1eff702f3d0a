#pragma once

// A resolver that answers what a test tells it to, when the test tells it to. Thread-safe.

#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fixtures/builder/account.h"
#include "identity/resolver.h"

namespace penstock::test {

// The identity of a builder's account as it is now, asked for at `asked_us`.
identity::IdentityPtr IdentityOf(const builder::Account& account, int64_t asked_us = 1);
// One for which nothing can be verified.
identity::IdentityPtr FaultyIdentity(std::string_view did, Reject fault, int64_t asked_us = 1);

class ScriptedResolver final : public identity::Resolver {
 public:
  // What Find gives from now on; null forgets.
  void Know(std::string_view did, identity::IdentityPtr identity);
  // What Resolve answers from now on; null: unavailable.
  void Serve(std::string_view did, identity::IdentityPtr identity);
  // While down, every question is answered with kUnavailable.
  void SetDown(bool down);
  // While on hold, questions are kept; turning it off answers them.
  void SetHold(bool hold);

  identity::IdentityPtr Find(std::string_view did, const identity::Position& position) override;
  void Resolve(std::string_view did, const identity::Position& position, identity::Ask ask, Done done) override;
  void Purge(std::string_view did) override;
  void Keep(identity::IdentityPtr identity) override;

  size_t asked() const;
  size_t refreshed() const;  // of them, with Ask::kRefresh
  size_t purged() const;

 private:
  struct Question {
    std::string did;
    Done done;
  };
  // Called without the lock.
  void Answer(const std::string& did, const Done& done);

  mutable std::mutex mutex_;
  std::map<std::string, identity::IdentityPtr, std::less<>> known_, served_;
  std::vector<Question> questions_;
  bool down_ = false, hold_ = false;
  size_t asked_ = 0, refreshed_ = 0, purged_ = 0;
};

}  // namespace penstock::test
