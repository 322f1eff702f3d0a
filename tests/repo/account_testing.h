#pragma once

// Accounts of the builder as the code under test sees them: keys, claims and commits with their tables.

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "crypto/public_key.h"
#include "fixtures/builder/account.h"
#include "fixtures/builder/fake_time.h"
#include "fixtures/builder/records.h"
#include "repo/commit_check.h"

namespace penstock::test {

inline crypto::PublicKey KeyOf(const builder::Account& account) {
  return *crypto::PublicKey::FromDidKey(account.key().DidKey());
}

inline builder::Account MakeAccount(builder::Curve curve, uint64_t seed = 1) {
  builder::Account::Options options;
  options.seed = seed;
  options.handle = "alice.lantern.test";
  options.curve = curve;
  return builder::Account(options);
}

inline builder::Item Post(std::string_view text) {
  return builder::BskyPostRecord(text, builder::kFixtureEpoch);
}

// A message as a claim; owns what the claim views.
class ClaimedCommit {
 public:
  explicit ClaimedCommit(builder::CommitMessage message) : message_(std::move(message)) {
    car_ = EncodeCar(message_.root, message_.blocks);
    for (const builder::OpMessage& op : message_.ops) {
      repo::RepoOp decoded{op.action, op.path, {}, {}, {}, {}};
      if (op.cid) decoded.cid = op.cid->view();
      if (op.prev) decoded.prev = op.prev->view();
      if (const auto valid = repo::RepoPath::Parse(op.path)) {
        decoded.collection = valid->collection.text();
        decoded.rkey = valid->rkey.text();
      }
      ops_.push_back(decoded);
    }
    claim_.did = *repo::Did::Parse(message_.did);
    claim_.rev = message_.rev;
    if (message_.since) claim_.since = *message_.since;
    claim_.commit = message_.commit.view();
    if (message_.prev_data) claim_.prev_data = message_.prev_data->view();
    claim_.blocks = AsBytes(car_);
    claim_.ops = ops_;
  }
  ClaimedCommit(const ClaimedCommit&) = delete;
  ClaimedCommit& operator=(const ClaimedCommit&) = delete;

  const repo::CommitClaim& claim() const { return claim_; }
  const builder::CommitMessage& message() const { return message_; }
  const std::string& car() const { return car_; }

 private:
  builder::CommitMessage message_;
  std::string car_;
  std::vector<repo::RepoOp> ops_;
  repo::CommitClaim claim_;
};

}  // namespace penstock::test
