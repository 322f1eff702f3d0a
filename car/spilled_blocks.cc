#include "car/spilled_blocks.h"

#include <array>
#include <bit>

#include "base/status.h"
#include "car/slot_hash.h"
#include "crypto/sha256.h"

namespace penstock::car {
namespace {

constexpr size_t kMinSlots = 256;
constexpr size_t kKeptSlots = 4096;  // by Clear: one large repository must not hold its memory for good

}  // namespace

absl::Status SpilledBlocks::Clear() {
  if (slots_.size() > kKeptSlots) {
    slots_ = std::vector<Slot>();
  } else {
    slots_.assign(slots_.size(), Slot());
  }
  count_ = 0;
  return spill_->Clear();
}

size_t SpilledBlocks::FirstSlot(uint64_t digest_head) const { return SecretSlot(digest_head, shift_); }

size_t SpilledBlocks::Probe(uint64_t digest_head, size_t at) const {
  while (!slots_[at].free() && slots_[at].digest_head != digest_head) at = NextSlot(at);
  return at;
}

void SpilledBlocks::Grow() {
  std::vector<Slot> before(slots_.empty() ? kMinSlots : slots_.size() * 2);
  before.swap(slots_);
  shift_ = 64 - std::countr_zero(slots_.size());
  for (const Slot& slot : before) {
    if (slot.free()) continue;
    // Two blocks may have the same head: the next free one is meant, not the one that has it.
    size_t at = FirstSlot(slot.digest_head);
    while (!slots_[at].free()) at = NextSlot(at);
    slots_[at] = slot;
  }
}

absl::StatusOr<bool> SpilledBlocks::Holds(const Slot& slot, const cbor::CidView& cid) {
  std::array<uint8_t, crypto::kSha256Size> digest;
  RETURN_IF_ERROR(spill_->Read(slot.offset(), digest.data(), digest.size()));
  return Equal(digest, cid.digest());
}

absl::Status SpilledBlocks::Add(const cbor::CidView& cid, Bytes data) {
  if (data.size() > kMaxBlockBytes) return RejectError(Reject::kCarTooLarge, cid.ToString());
  if (spill_->bytes() > kMaxSpillBytes - kMaxBlockBytes) return RejectError(Reject::kCarTooLarge);
  if (count_ + 1 > slots_.size() / 4 * 3) Grow();
  const uint64_t head = DigestHead(cid.digest());
  size_t at = Probe(head, FirstSlot(head));
  for (; !slots_[at].free(); at = Probe(head, NextSlot(at))) {
    ASSIGN_OR_RETURN(const bool here, Holds(slots_[at], cid));
    if (here) return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const uint64_t offset, spill_->Append(cid.digest(), data));
  slots_[at] = Slot{head, offset << 24 | (crypto::kSha256Size + data.size())};
  ++count_;
  return absl::OkStatus();
}

absl::StatusOr<bool> SpilledBlocks::Find(const cbor::CidView& cid, std::string* block) {
  if (slots_.empty()) return false;
  const uint64_t head = DigestHead(cid.digest());
  for (size_t at = Probe(head, FirstSlot(head)); !slots_[at].free(); at = Probe(head, NextSlot(at))) {
    const Slot& slot = slots_[at];
    block->resize(slot.size());
    RETURN_IF_ERROR(spill_->Read(slot.offset(), reinterpret_cast<uint8_t*>(block->data()), block->size()));
    const Bytes digest = AsBytes(*block).first(crypto::kSha256Size);
    // Against its own digest first: a block that the disk has spoilt must not pass for one that never came.
    if (!Equal(crypto::Sha256(AsBytes(*block).subspan(digest.size())), digest)) {
      return DataLossError("a block that was put away has changed");
    }
    if (!Equal(digest, cid.digest())) continue;
    block->erase(0, crypto::kSha256Size);
    return true;
  }
  return false;
}

}  // namespace penstock::car
