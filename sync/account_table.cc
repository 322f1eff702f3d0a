#include "sync/account_table.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace penstock::sync {

Account* AccountTable::Peek(std::string_view did) {
  const auto found = accounts_.find(ToAbsl(did));
  return found == accounts_.end() ? nullptr : found->second.get();
}

absl::StatusOr<Account*> AccountTable::Find(std::string_view did, identity::IdentityPtr* identity) {
  identity->reset();
  if (Account* account = Peek(did)) {
    by_use_.splice(by_use_.begin(), by_use_, account->place);
    return account;
  }
  auto account = std::make_unique<Account>();
  account->did = did;
  if (store_ != nullptr) {
    scratch_ = {};
    RETURN_IF_ERROR(store_->LoadAccount(did, &scratch_));
    account->known = scratch_.known;
    account->state = std::move(scratch_.state);
    account->account_seqs = std::move(scratch_.account_seqs);
    *identity = std::move(scratch_.identity);
    if (scratch_.held_events > 0) {
      account->held = std::make_unique<HeldEvents>();
      account->held->stored_events = scratch_.held_events;
      account->held->stored_bytes = scratch_.held_bytes;
      account->held->stored_last = scratch_.held_last;
      account->next_ordinal = scratch_.held_last + 1;
      if (IsHeldState(account->state.sync_state)) account->held->wait = Wait::kDesynchronized;
    }
  }
  if (accounts_.size() >= max_accounts_) EvictOne();
  Account* const made = account.get();
  by_use_.push_front(made);
  made->place = by_use_.begin();
  accounts_.emplace(made->did, std::move(account));
  return made;
}

void AccountTable::EvictOne() {
  // The oldest that has nothing in flight. Those that have something are in use, whatever their last look-up says: they go to the
  // front, so that looking at a few each time gets past any number of them.
  constexpr int kLook = 64;
  const uint64_t durable = durable_->load(std::memory_order_acquire);
  for (int i = 0; i < kLook && !by_use_.empty(); ++i) {
    Account* const account = by_use_.back();
    if (account->held || account->import || (store_ != nullptr && account->last_change > durable)) {
      by_use_.splice(by_use_.begin(), by_use_, account->place);
      continue;
    }
    by_use_.pop_back();
    accounts_.erase(account->did);
    return;
  }
}

}  // namespace penstock::sync
