#include "car/stream_reader.h"

#include <algorithm>
#include <string_view>

#include "base/status.h"
#include "car/varint.h"

namespace penstock::car {

void StreamReader::Reset(const StreamLimits& limits) {
  limits_ = limits;
  piece_ = Bytes();
  // One large section must not hold its memory for good. (Assigning an empty string would keep it.)
  if (cut_.capacity() > size_t{256} << 10) std::string().swap(cut_);
  cut_.clear();
  taken_ = 0;
  offset_ = 0;
  fed_ = 0;
  has_header_ = false;
  root_ = cbor::Cid();
  blocks_ = 0;
  unverifiable_ = 0;
  status_ = absl::OkStatus();
}

bool StreamReader::Fail(Reject reject, std::string_view what) {
  std::string detail = "at byte " + std::to_string(offset_);
  if (!what.empty()) detail.append(": ").append(what);
  status_ = RejectError(reject, detail);
  return false;
}

void StreamReader::Feed(Bytes piece) {
  if (!status_.ok()) return;
  if (!piece_.empty()) {
    status_ = InternalError("the blocks of the last piece were not taken");
    return;
  }
  piece_ = piece;
  fed_ += piece.size();
  if (fed_ > limits_.max_bytes) Fail(Reject::kCarTooLarge);
}

bool StreamReader::CheckLength(uint64_t length) {
  if (length == 0 && has_header_) return Fail(Reject::kCarZeroLengthSection);
  if (length > (has_header_ ? limits_.max_section_bytes : kMaxHeaderBytes)) return Fail(Reject::kCarSectionTooLong);
  return true;
}

bool StreamReader::TakeSection(Bytes* section) {
  if (taken_ != 0) {
    offset_ += taken_;
    taken_ = 0;
    cut_.clear();
  }
  uint64_t length = 0;
  size_t head = 0;
  // Nearly always the section is all in this piece, and needs no copy.
  if (cut_.empty()) {
    if (piece_.empty()) return false;
    const Varint varint = ReadVarint(piece_, &length, &head);
    if (varint == Varint::kBad) return Fail(Reject::kCarBadVarint);
    if (varint == Varint::kGood) {
      if (!CheckLength(length)) return false;
      if (length <= piece_.size() - head) {
        *section = piece_.subspan(head, static_cast<size_t>(length));
        piece_ = piece_.subspan(head + section->size());
        taken_ = head + section->size();
        return true;
      }
    }
  }
  // Byte by byte until the length is known, then all that is missing.
  for (;;) {
    const Varint varint = ReadVarint(AsBytes(cut_), &length, &head);
    if (varint == Varint::kBad) return Fail(Reject::kCarBadVarint);
    if (varint == Varint::kGood) break;
    if (piece_.empty()) return false;
    cut_.push_back(static_cast<char>(piece_.front()));
    piece_ = piece_.subspan(1);
  }
  if (!CheckLength(length)) return false;
  const size_t whole = head + static_cast<size_t>(length);
  const Bytes more = piece_.first(std::min(piece_.size(), whole - cut_.size()));
  cut_.append(AsText(more));
  piece_ = piece_.subspan(more.size());
  if (cut_.size() < whole) return false;
  taken_ = whole;
  *section = AsBytes(cut_).subspan(head);
  return true;
}

bool StreamReader::TakeBlock(Bytes section, Block* block) {
  cbor::CidView cid;
  if (!cbor::CidView::ParsePrefix(section, &cid)) return Fail(Reject::kCarBadCid);
  const Bytes data = section.subspan(cid.bytes().size());
  if (!cid.IsBlessed()) {
    ++unverifiable_;
    return false;
  }
  if (blocks_ == limits_.max_blocks) return Fail(Reject::kCarTooManyBlocks);
  if (!cbor::BlockMatches(cid, data)) return Fail(Reject::kCarBlockCidMismatch, cid.ToString());
  ++blocks_;
  block->cid = cid;
  block->data = data;
  return true;
}

bool StreamReader::Next(Block* block) {
  Bytes section;
  while (status_.ok() && TakeSection(&section)) {
    if (has_header_) {
      if (TakeBlock(section, block)) return true;
      continue;
    }
    cbor::CidView root;
    uint64_t root_count = 0;
    status_ = DecodeHeader(section, &root, &root_count);
    if (!status_.ok()) return false;
    root_ = cbor::Cid(root);
    has_header_ = true;
  }
  return false;
}

absl::Status StreamReader::Finish() {
  Block ignored;
  if (Next(&ignored)) status_ = InternalError("the blocks of the last piece were not taken");
  if (status_.ok() && (!has_header_ || !cut_.empty())) Fail(Reject::kCarTruncated);
  return status_;
}

}  // namespace penstock::car
