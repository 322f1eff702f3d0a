#include "backfill/spilled_records.h"

#include <cstring>

#include "base/status.h"

namespace penstock::backfill {
namespace {

// Large enough that a page costs little beside its records; a record may be larger, and is a page of its own then.
constexpr size_t kPageBytes = 64 * 1024;
// A page above this is not kept for the next repository.
constexpr size_t kKeptBytes = 4 * kPageBytes;

// Before each record; its strings and its block follow. Never leaves this process.
struct Header {
  uint32_t block = 0;
  int32_t index = 0;
  uint16_t collection = 0, rkey = 0, cid = 0;

  size_t size() const { return size_t{block} + collection + rkey + cid; }
};

}  // namespace

absl::Status SpilledRecords::Clear(uint64_t max_bytes) {
  max_bytes_ = max_bytes;
  count_ = 0;
  pages_.clear();
  page_.clear();
  if (page_.capacity() > kKeptBytes) page_.shrink_to_fit();
  Rewind();
  return spill_.Clear();
}

absl::Status SpilledRecords::Add(const SpilledRecord& record) {
  Header header;
  header.block = static_cast<uint32_t>(record.block.size());
  header.index = record.index;
  header.collection = static_cast<uint16_t>(record.collection.size());
  header.rkey = static_cast<uint16_t>(record.rkey.size());
  header.cid = static_cast<uint16_t>(record.cid.bytes().size());
  if (page_.size() + sizeof header + header.size() > kPageBytes) RETURN_IF_ERROR(End());
  if (bytes() + sizeof header + header.size() > max_bytes_) {
    return RejectError(Reject::kCarTooLarge, "its records, those of like content counted each");
  }
  page_.append(reinterpret_cast<const char*>(&header), sizeof header);
  page_.append(record.collection).append(record.rkey).append(AsText(record.cid.bytes())).append(AsText(record.block));
  ++count_;
  return absl::OkStatus();
}

absl::Status SpilledRecords::End() {
  if (page_.empty()) return absl::OkStatus();
  pages_.push_back({static_cast<uint32_t>(page_.size()), crypto::Sha256(AsBytes(page_))});
  RETURN_IF_ERROR(spill_.Append(AsBytes(page_), {}).status());
  page_.clear();
  return absl::OkStatus();
}

void SpilledRecords::Rewind() {
  next_page_ = 0;
  next_offset_ = 0;
  page_.clear();
  at_ = 0;
}

absl::StatusOr<bool> SpilledRecords::Next(SpilledRecord* record) {
  if (at_ == page_.size()) {
    if (next_page_ == pages_.size()) return false;
    const Page& page = pages_[next_page_];
    page_.resize(page.size);
    RETURN_IF_ERROR(spill_.Read(next_offset_, reinterpret_cast<uint8_t*>(page_.data()), page_.size()));
    if (crypto::Sha256(AsBytes(page_)) != page.digest) return DataLossError("records that were put aside have changed");
    ++next_page_;
    next_offset_ += page.size;
    at_ = 0;
  }
  Header header;
  std::memcpy(&header, page_.data() + at_, sizeof header);
  std::string_view rest = std::string_view(page_).substr(at_ + sizeof header, header.size());
  const auto take = [&rest](size_t size) {
    const std::string_view taken = rest.substr(0, size);
    rest.remove_prefix(size);
    return taken;
  };
  record->collection = take(header.collection);
  record->rkey = take(header.rkey);
  if (!cbor::CidView::Parse(AsBytes(take(header.cid)), &record->cid)) return InternalError("a CID that was put aside");
  record->block = AsBytes(rest);
  record->index = header.index;
  at_ += sizeof header + header.size();
  return true;
}

}  // namespace penstock::backfill
