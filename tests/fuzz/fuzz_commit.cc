// Commits, from the message to the verdict. The first byte says what the rest is:
//
//   0  a frame as it comes, by one of two known keys
//   1  a recipe: an account's commits, and what is wrong with the last one

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "firehose/frame.h"
#include "fixtures/builder/account.h"
#include "fixtures/builder/fake_time.h"
#include "fixtures/builder/records.h"
#include "repo/record_proof.h"
#include "repo/verify.h"
#include "tests/fuzz/recipe.h"

using namespace penstock;  // NOLINT: a test program

namespace {

using fuzz::Recipe;
using fuzz::Require;

constexpr int64_t kNow = builder::kFixtureEpoch + builder::kDay;

// Reused over all inputs, as a worker does.
repo::CommitVerifier& Verifier() {
  static repo::CommitVerifier& verifier = *new repo::CommitVerifier;
  return verifier;
}

repo::CommitClaim ClaimOf(const firehose::Frame& frame) {
  return {frame.did, frame.rev, frame.since, frame.commit, frame.prev_data, frame.blocks, frame.ops};
}

builder::Account MakeAccount(builder::Curve curve) {
  builder::Account::Options options;
  options.handle = "alice.lantern.test";
  options.curve = curve;
  return builder::Account(options);
}
crypto::PublicKey KeyOf(const builder::Account& account) {
  return *crypto::PublicKey::FromDidKey(account.key().DidKey());
}

// The stages together say what all at once say, and a fresh verifier says what a used one says.
absl::Status VerifyAll(const repo::CommitClaim& claim, const crypto::PublicKey& key,
                       repo::VerifiedCommit* commit) {
  const absl::Status status = Verifier().Verify(claim, key, kNow, commit);
  repo::CommitVerifier fresh;
  repo::VerifiedCommit again;
  absl::Status staged = fresh.Check(claim, kNow, &again);
  if (staged.ok()) staged = fresh.CheckSignature(key, again);
  if (staged.ok()) staged = fresh.Invert(claim, &again);
  Require(RejectOf(status) == RejectOf(staged) && status.ok() == staged.ok());
  Require(status.ok() || RejectOf(status).has_value());
  if (status.ok())
    Require(commit->whole == again.whole && commit->checked.records.size() == claim.ops.size());
  return status;
}

void VerifyFrame(Bytes message) {
  static const std::vector<crypto::PublicKey>& keys = *new std::vector<crypto::PublicKey>{
      KeyOf(MakeAccount(builder::Curve::kK256)), KeyOf(MakeAccount(builder::Curve::kP256))};
  firehose::Frame frame;
  if (!DecodeFrame(message, &frame).ok() || frame.kind != firehose::FrameKind::kCommit) return;
  for (const crypto::PublicKey& key : keys) {
    repo::VerifiedCommit commit;
    (void)VerifyAll(ClaimOf(frame), key, &commit);
  }
}

std::string Path(uint8_t byte) { return "app.bsky.feed.post/" + std::to_string(1000 + byte % 64); }

using Contents = std::map<std::string, cbor::Cid>;

// Commits a list of writes, as far as they make sense; keeps `*contents` up to date.
builder::CommitMessage CommitWrites(Recipe* recipe, builder::Account* account, Contents* contents) {
  std::vector<builder::Write> writes;
  std::map<std::string, bool> used;
  for (size_t count = recipe->Byte() % 24; count > 0; --count) {
    const uint8_t which = recipe->Byte();
    const std::string path = Path(which);
    if (!used.try_emplace(path, true).second) continue;
    const builder::Item record =
        builder::BskyPostRecord(std::to_string(recipe->Byte() % 4), builder::kFixtureEpoch);
    const cbor::Cid cid = cbor::Cid::OfBlock(AsBytes(record.bytes()));
    const auto old = contents->find(path);
    if (old == contents->end()) {
      writes.push_back(builder::Write::Create(path, record));
      (*contents)[path] = cid;
    } else if (which >= 0x80) {
      writes.push_back(builder::Write::Delete(path));
      contents->erase(old);
    } else if (!(old->second == cid)) {
      writes.push_back(builder::Write::Update(path, record));
      old->second = cid;
    }
  }
  return account->Commit(writes, builder::kFixtureEpoch);
}

// Whether the ops are exactly what leads from one to the other.
bool IsDifference(const std::vector<builder::OpMessage>& ops, const Contents& before, const Contents& after) {
  Contents undone = after;
  for (const builder::OpMessage& op : ops) {
    const auto at = undone.find(op.path);
    if ((at == undone.end() ? std::nullopt : std::optional(at->second)) != op.cid) return false;
    if (op.prev) {
      undone[op.path] = *op.prev;
    } else {
      undone.erase(op.path);
    }
  }
  return undone == before;
}

// Bends one thing of the message.
void Bend(Recipe* recipe, const builder::Account& account, builder::CommitMessage* message) {
  const uint8_t how = recipe->Byte(), which = recipe->Byte();
  const cbor::Cid some = cbor::Cid::OfBlock(Bytes(&which, 1));
  builder::OpMessage* op = message->ops.empty() ? nullptr : &message->ops[which % message->ops.size()];
  switch (how % 12) {
    case 0:
      if (message->blocks.size() > 1)
        message->blocks.erase(message->blocks.begin() + 1 + which % (message->blocks.size() - 1));
      break;
    case 1:
      if (op != nullptr) message->ops.erase(message->ops.begin() + which % message->ops.size());
      break;
    case 2:
      if (op != nullptr) op->prev = some;
      break;
    case 3:
      if (op != nullptr) op->cid = some;
      break;
    case 4:
      if (op != nullptr) op->path = Path(recipe->Byte());
      break;
    case 5:
      if (op != nullptr) op->action = static_cast<repo::Action>(recipe->Byte() % 3);
      break;
    case 6:
      message->ops.push_back(
          {static_cast<repo::Action>(recipe->Byte() % 3), Path(which), some, std::nullopt});
      break;
    case 7:
      message->prev_data = which % 2 == 0 ? std::nullopt : std::optional(some);
      break;
    case 8:
      message->since = which % 2 == 0 ? std::nullopt : std::optional(message->rev);
      break;
    case 9: {  // another tree, rightly signed
      const builder::Block& block = message->blocks[which % message->blocks.size()];
      message->data = block.cid;
      message->blocks.front() = SignCommit({message->did, message->rev, block.cid}, account.key());
      message->commit = message->root = message->blocks.front().cid;
      break;
    }
    case 10: {
      std::string& data = message->blocks[which % message->blocks.size()].data;
      if (!data.empty()) data[recipe->Byte() % data.size()] ^= 1;
      break;
    }
    default: {  // a changed node or record under its own hash
      builder::Block& block = message->blocks[which % message->blocks.size()];
      if (!block.data.empty())
        block.data[recipe->Byte() % block.data.size()] ^= static_cast<char>(recipe->Byte());
      block.cid = cbor::Cid::OfBlock(AsBytes(block.data));
      break;
    }
  }
}

void VerifyRecipe(Recipe recipe) {
  builder::Account account =
      MakeAccount(recipe.Byte() % 2 == 0 ? builder::Curve::kK256 : builder::Curve::kP256);
  const crypto::PublicKey key = KeyOf(account);
  Contents contents, before;
  builder::CommitMessage message;
  for (size_t commits = 1 + recipe.Byte() % 3; commits > 0; --commits) {
    before = contents;
    message = CommitWrites(&recipe, &account, &contents);
  }
  const std::optional<cbor::Cid> prev_data = message.prev_data;
  const cbor::Cid data = message.data;
  const size_t bends = recipe.Byte() % 3;
  for (size_t i = 0; i < bends; ++i) Bend(&recipe, account, &message);

  message.seq = 1;
  const std::string bytes = Encode(message);
  firehose::Frame frame;
  Require(DecodeFrame(AsBytes(bytes), &frame).ok());
  Require(bends > 0 || frame.kind == firehose::FrameKind::kCommit);
  if (frame.kind != firehose::FrameKind::kCommit) return;  // an op without a cid, and the like
  repo::VerifiedCommit commit;
  const absl::Status status = VerifyAll(ClaimOf(frame), key, &commit);
  if (bends == 0) Require(status.ok());
  if (!status.ok()) return;
  // What is accepted is what happened, if it says that it goes from the same tree to the same tree.
  if (message.data == data && (message.prev_data == prev_data || commit.whole)) {
    Require(IsDifference(message.ops, before, contents));
  }
  for (const repo::RepoOp& op : frame.ops) {
    static repo::RecordProofWriter& writer = *new repo::RecordProofWriter;
    std::string car;
    repo::RecordProofVerifier verifier;
    repo::RecordProof proof;
    Require(writer.Append(commit.checked, Verifier().checker().blocks(), op.path, &car).ok());
    Require(verifier.Verify(AsBytes(car), frame.did, op.path, &key, &proof).ok());
    Require(proof.included == (op.action != repo::Action::kDelete) && proof.cid == op.cid);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Bytes rest(data + 1, size - 1);
  if (data[0] == 0) {
    VerifyFrame(rest);
  } else {
    VerifyRecipe(Recipe(rest));
  }
  return 0;
}
