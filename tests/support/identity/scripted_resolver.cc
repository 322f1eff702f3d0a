#include "tests/support/identity/scripted_resolver.h"

#include "base/status.h"

namespace penstock::test {

identity::IdentityPtr IdentityOf(const builder::Account& account, int64_t asked_us) {
  auto identity = std::make_shared<identity::Identity>();
  identity->did = account.did();
  identity->key = *crypto::PublicKey::FromDidKey(account.key().DidKey());
  identity->pds = "https://pds.lantern.test";
  identity->handle = account.handle();
  identity->asked_us = asked_us;
  identity->fetched_us = asked_us;
  return identity;
}

identity::IdentityPtr FaultyIdentity(std::string_view did, Reject fault, int64_t asked_us) {
  auto identity = std::make_shared<identity::Identity>();
  identity->did = did;
  identity->fault = fault;
  identity->asked_us = asked_us;
  identity->fetched_us = asked_us;
  return identity;
}

void ScriptedResolver::Know(std::string_view did, identity::IdentityPtr identity) {
  std::lock_guard lock(mutex_);
  known_[std::string(did)] = std::move(identity);
}

void ScriptedResolver::Serve(std::string_view did, identity::IdentityPtr identity) {
  std::lock_guard lock(mutex_);
  served_[std::string(did)] = std::move(identity);
}

void ScriptedResolver::SetDown(bool down) {
  std::lock_guard lock(mutex_);
  down_ = down;
}

void ScriptedResolver::SetHold(bool hold) {
  std::vector<Question> questions;
  {
    std::lock_guard lock(mutex_);
    hold_ = hold;
    if (!hold) questions.swap(questions_);
  }
  for (const Question& question : questions) Answer(question.did, question.done);
}

identity::IdentityPtr ScriptedResolver::Find(std::string_view did, const identity::Position&) {
  std::lock_guard lock(mutex_);
  const auto found = known_.find(did);
  return found == known_.end() ? nullptr : found->second;
}

void ScriptedResolver::Resolve(std::string_view did, const identity::Position&, identity::Ask ask, Done done) {
  {
    std::lock_guard lock(mutex_);
    ++asked_;
    refreshed_ += ask == identity::Ask::kRefresh;
    if (hold_) {
      questions_.push_back({std::string(did), std::move(done)});
      return;
    }
  }
  Answer(std::string(did), done);
}

void ScriptedResolver::Answer(const std::string& did, const Done& done) {
  identity::Answer answer;
  {
    std::lock_guard lock(mutex_);
    const auto found = served_.find(did);
    if (down_ || found == served_.end() || !found->second) {
      answer.status = UnavailableError("the directory is down");
    } else {
      answer.identity = known_[did] = found->second;
    }
  }
  done(answer);
}

void ScriptedResolver::Purge(std::string_view did) {
  std::lock_guard lock(mutex_);
  ++purged_;
  known_.erase(std::string(did));
}

void ScriptedResolver::Keep(identity::IdentityPtr identity) {
  std::lock_guard lock(mutex_);
  const std::string did = identity->did;
  known_.try_emplace(did, std::move(identity));
}

size_t ScriptedResolver::asked() const {
  std::lock_guard lock(mutex_);
  return asked_;
}

size_t ScriptedResolver::refreshed() const {
  std::lock_guard lock(mutex_);
  return refreshed_;
}

size_t ScriptedResolver::purged() const {
  std::lock_guard lock(mutex_);
  return purged_;
}

}  // namespace penstock::test
