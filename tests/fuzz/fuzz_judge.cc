// A conversation about one account: what it really wrote, and what a relay makes of it on the way (left out,
// repeated, bent, forged, in another order), through sync::Judge with the state that the conversation has led
// to. The input is a list of decisions.
//
// What is applied at level `full` must be what the account wrote: the very commit, with exactly its changes,
// at its place in the chain. That is known here without any of the code that decides it, because the
// account's history is kept in plain maps.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "firehose/frame.h"
#include "fixtures/builder/account.h"
#include "fixtures/builder/fake_time.h"
#include "fixtures/builder/faults.h"
#include "fixtures/builder/records.h"
#include "sync/judge.h"
#include "tests/fuzz/recipe.h"

using namespace penstock;  // NOLINT: a test program

namespace {

using builder::CommitMessage;
using builder::Write;
using fuzz::Recipe;
using fuzz::Require;
using sync::SyncState;
using sync::Verdict;
using sync::Wait;

constexpr int64_t kNow = builder::kFixtureEpoch + builder::kDay;
constexpr int kMaxSteps = 40;

using Contents = std::map<std::string, cbor::Cid>;

// What the account wrote, in its order.
struct TrueCommit {
  std::string rev;
  cbor::Cid commit, data;
  Contents contents;  // after it
};

// Knows who the account is: its key as it was when it was last asked for.
class OneIdentity final : public identity::Resolver {
 public:
  identity::IdentityPtr Find(std::string_view, const identity::Position&) override { return known; }
  void Resolve(std::string_view, const identity::Position&, identity::Ask, Done) override { Require(false); }
  void Purge(std::string_view) override { known = nullptr; }
  void Keep(identity::IdentityPtr) override {}
  identity::IdentityPtr known;
};

class Conversation {
 public:
  explicit Conversation(Recipe recipe)
      : recipe_(recipe),
        account_({.seed = 5,
                  .handle = "alice.lantern.test",
                  .curve = recipe_.Byte() % 2 == 0 ? builder::Curve::kK256 : builder::Curve::kP256}) {
    options_.clock = &clock_;
    options_.resolver = &resolver_;
    judge_.emplace(options_);
    resolver_.known = IdentityNow();
  }

  void Run() {
    for (int step = 0; step < kMaxSteps && !recipe_.empty(); ++step) {
      const uint8_t what = recipe_.Byte();
      switch (what % 12) {
        case 0:
        case 1:
          Deliver(builder::Encode(Write1()));
          break;
        case 2:
          Write1();  // left out
          break;
        case 3:
          if (!frames_.empty()) Deliver(frames_[recipe_.Byte() % frames_.size()]);
          break;
        case 4:
          Deliver(Bent(builder::Encode(Write1())));
          break;
        case 5: {
          CommitMessage message = Write1();
          Bend(&message);
          Deliver(builder::Encode(message));
          break;
        }
        case 6: {  // somebody else's signature, before the true one
          CommitMessage message = Write1();
          const std::string honest = builder::Encode(message);
          builder::SignAgain(builder::SigningKey::FromSeed(account_.key().curve(), AsBytes("a forger")),
                             &message);
          Deliver(builder::Encode(message));
          Deliver(honest);
          break;
        }
        case 7:
          account_.RotateKey();
          break;
        case 8:
          if (!account_.rev().empty()) Deliver(Sync());
          break;
        case 9:
          if (!account_.rev().empty()) Deliver(Bent(Sync()));
          break;
        case 10:
          state_.active = !state_.active;
          break;
        default:
          Resync();
          break;
      }
    }
  }

 private:
  identity::IdentityPtr IdentityNow() const {
    auto identity = std::make_shared<identity::Identity>();
    identity->did = account_.did();
    identity->key = *crypto::PublicKey::FromDidKey(account_.key().DidKey());
    identity->pds = "https://pds.lantern.test";
    identity->asked_us = ++asked_;
    return identity;
  }

  // The account's next commit, as it is.
  CommitMessage Write1() {
    Contents contents = truth_.empty() ? Contents() : truth_.back().contents;
    std::vector<Write> writes;
    Contents touched;
    for (size_t count = recipe_.Byte() % 5; count > 0; --count) {
      const uint8_t which = recipe_.Byte();
      const std::string path = "app.bsky.feed.post/" + std::to_string(1000 + which % 16);
      if (!touched.try_emplace(path).second) continue;
      const builder::Item record =
          builder::BskyPostRecord(std::to_string(which / 64), builder::kFixtureEpoch);
      const cbor::Cid cid = cbor::Cid::OfBlock(AsBytes(record.bytes()));
      const auto old = contents.find(path);
      if (old == contents.end()) {
        writes.push_back(Write::Create(path, record));
        contents[path] = cid;
      } else if (old->second == cid) {
        writes.push_back(Write::Delete(path));
        contents.erase(old);
      } else {
        writes.push_back(Write::Update(path, record));
        old->second = cid;
      }
    }
    CommitMessage message = account_.Commit(writes, builder::kFixtureEpoch);
    message.seq = ++seq_;
    truth_.push_back({message.rev, message.commit, message.data, std::move(contents)});
    frames_.push_back(builder::Encode(message));
    return message;
  }
  std::string Sync() {
    builder::SyncMessage message = account_.Sync(builder::kFixtureEpoch);
    message.seq = ++seq_;
    return builder::Encode(message);
  }

  // A few bytes of the frame changed.
  std::string Bent(std::string frame) {
    for (int i = 1 + recipe_.Byte() % 3; i > 0; --i) {
      const size_t at = (size_t{recipe_.Byte()} << 8 | recipe_.Byte()) % frame.size();
      frame[at] = static_cast<char>(frame[at] ^ recipe_.Byte());
    }
    return frame;
  }
  // One thing of the message changed, which is not signed.
  void Bend(CommitMessage* message) {
    const uint8_t how = recipe_.Byte(), which = recipe_.Byte();
    const cbor::Cid some = truth_[which % truth_.size()].data;
    builder::OpMessage* const op =
        message->ops.empty() ? nullptr : &message->ops[which % message->ops.size()];
    switch (how % 8) {
      case 0:
        message->since = truth_[which % truth_.size()].rev;
        break;
      case 1:
        message->since.reset();
        break;
      case 2:
        message->prev_data = some;
        break;
      case 3:
        message->prev_data.reset();
        break;
      case 4:
        if (op != nullptr) message->ops.erase(message->ops.begin() + which % message->ops.size());
        break;
      case 5:
        if (op != nullptr) op->prev = some;
        break;
      case 6:
        if (message->blocks.size() > 1) {
          message->blocks.erase(message->blocks.begin() + 1 + which % (message->blocks.size() - 1));
        }
        break;
      default:
        message->ops.push_back(
            {static_cast<repo::Action>(which % 3), "app.bsky.feed.post/1015", some, std::nullopt});
        break;
    }
  }

  // As after a resync: the state is the account's own.
  void Resync() {
    if (truth_.empty()) return;
    const TrueCommit& last = truth_.back();
    state_.sync_state = SyncState::kSynchronized;
    state_.head = sync::Head{last.rev, last.data, last.commit};
    rows_ = last.contents;
  }

  void Deliver(const std::string& message) {
    firehose::Frame frame;
    if (!firehose::DecodeFrame(AsBytes(message), &frame).ok()) return;
    const bool commit = frame.kind == firehose::FrameKind::kCommit;
    if (!commit && frame.kind != firehose::FrameKind::kSync) return;
    sync::Circumstances how;
    how.position = {"relay.test", 1};
    how.arrived_us = ++asked_;
    Verdict verdict = commit ? judge_->Commit(state_, frame, how) : judge_->Sync(state_, frame, how);
    if (verdict.kind == Verdict::Kind::kWait &&
        (verdict.wait == Wait::kRefresh || verdict.wait == Wait::kIdentity)) {
      resolver_.known = how.answer = IdentityNow();
      verdict = commit ? judge_->Commit(state_, frame, how) : judge_->Sync(state_, frame, how);
      Require(verdict.kind != Verdict::Kind::kWait);  // one refresh at most
    }
    switch (verdict.kind) {
      case Verdict::Kind::kApply:
        commit ? TakeCommit(frame, verdict) : TakeSync(verdict);
        break;
      case Verdict::Kind::kDesync:
      case Verdict::Kind::kDrop:
        Require(!verdict.has_head && RejectOf(verdict.reject).has_value());
        if (sync::IsHeldState(verdict.next)) {
          // Only what the account has signed can make it wait.
          Require(verdict.identity != nullptr && verdict.identity->key.has_value());
          state_.sync_state = verdict.next;
        }
        break;
      case Verdict::Kind::kIgnore:
        Require(!verdict.has_head);
        break;
      case Verdict::Kind::kWait:
        Require(!state_.active || sync::IsHeldState(state_.sync_state));
        break;
    }
  }

  size_t IndexOf(const cbor::Cid& commit) const {
    for (size_t i = 0; i < truth_.size(); ++i) {
      if (truth_[i].commit == commit) return i;
    }
    Require(false);  // nobody wrote it
    return 0;
  }

  void TakeCommit(const firehose::Frame& frame, const Verdict& verdict) {
    Require(state_.active && !sync::IsHeldState(state_.sync_state));
    Require(verdict.has_head && !verdict.allowed);
    Require(frame.did.text() == account_.did());
    const size_t at = IndexOf(verdict.head.commit);
    const TrueCommit& now = truth_[at];
    const Contents before = at == 0 ? Contents() : truth_[at - 1].contents;
    Require(verdict.head.rev == now.rev && verdict.head.data == now.data);
    if (state_.head) {
      Require(verdict.level == repo::Verification::kFull && verdict.next == state_.sync_state);
      // From our tree on. `since` is not signed, so commits in between whose changes cancel out may have been
      // hidden.
      Require(at > 0 && state_.head->rev <= truth_[at - 1].rev && state_.head->data == truth_[at - 1].data);
    } else if (verdict.level == repo::Verification::kFull) {
      Require(before.empty() && verdict.next == SyncState::kSynchronized);
    } else {
      Require(verdict.level == repo::Verification::kCommit && verdict.next == SyncState::kPartial);
    }
    // The ops are exactly what leads from the one to the other.
    Contents changed = before;
    for (const repo::RepoOp& op : frame.ops) {
      const std::string path(op.path);
      if (op.action == repo::Action::kDelete) {
        Require(changed.erase(path) == 1);
        rows_.erase(path);
      } else {
        Require(changed.contains(path) == (op.action == repo::Action::kUpdate));
        changed[path] = rows_[path] = cbor::Cid(op.cid);
      }
    }
    Require(changed == now.contents);
    state_.head = verdict.head;
    state_.sync_state = verdict.next;
    // So what is held is the account's own: all of it, or the part that was seen.
    if (state_.sync_state == SyncState::kSynchronized) {
      Require(rows_ == now.contents);
    } else {
      for (const auto& [path, cid] : rows_)
        Require(now.contents.contains(path) && now.contents.at(path) == cid);
    }
  }

  void TakeSync(const Verdict& verdict) {
    Require(state_.active && !sync::IsHeldState(state_.sync_state) && verdict.has_head);
    const TrueCommit& now = truth_[IndexOf(verdict.head.commit)];
    Require(verdict.head.rev == now.rev && verdict.head.data == now.data);
    if (state_.head) {
      Require(state_.head->data == now.data && state_.head->rev < now.rev &&
              verdict.next == state_.sync_state);
    } else {
      Require(verdict.next == SyncState::kPartial && rows_.empty());
    }
    state_.head = verdict.head;
    state_.sync_state = verdict.next;
  }

  Recipe recipe_;
  builder::Account account_;
  FixedClock clock_{kNow};
  OneIdentity resolver_;
  sync::JudgeOptions options_;
  std::optional<sync::Judge> judge_;
  mutable int64_t asked_ = 0;
  int64_t seq_ = 0;
  std::vector<TrueCommit> truth_;
  std::vector<std::string> frames_;
  // What the consumer holds.
  sync::AccountState state_;
  Contents rows_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Conversation(Recipe(Bytes(data, size))).Run();
  return 0;
}
