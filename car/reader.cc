#include "car/reader.h"

#include <string>
#include <string_view>

#include "base/status.h"
#include "cbor/reader.h"

namespace penstock::car {
namespace {

constexpr uint64_t kVersion = 1;

absl::Status RejectAt(Reject reject, size_t offset, std::string_view what = {}) {
  std::string detail = "at byte " + std::to_string(offset);
  if (!what.empty()) detail.append(": ").append(what);
  return RejectError(reject, detail);
}

}  // namespace

Reader::Varint Reader::ReadVarint(uint64_t* value) {
  // Nearly all sections of a repository are below 16 KB: one or two bytes.
  uint64_t result = 0;
  for (int shift = 0; shift < 63; shift += 7) {
    if (at_ == car_.size()) return Varint::kTruncated;
    const uint8_t byte = car_[at_++];
    result |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) != 0) continue;
    if (byte == 0 && shift != 0) return Varint::kBad;  // a shorter form exists
    *value = result;
    return Varint::kGood;
  }
  return Varint::kBad;
}

bool Reader::ReadLength(uint64_t* length) {
  const size_t start = at_;
  switch (ReadVarint(length)) {
    case Varint::kGood:
      if (*length <= car_.size() - at_) return true;
      return Fail(start, Reject::kCarTruncated);
    case Varint::kTruncated:
      return Fail(start, Reject::kCarTruncated);
    case Varint::kBad:
      break;
  }
  return Fail(start, Reject::kCarBadVarint);
}

bool Reader::Fail(size_t start, Reject reject, std::string_view what) {
  status_ = RejectAt(reject, start, what);
  at_ = start;
  return false;
}

absl::Status Reader::ReadHeader() {
  const size_t start = at_;
  uint64_t length = 0;
  if (!ReadLength(&length)) return status_;
  const Bytes header = car_.subspan(at_, static_cast<size_t>(length));
  at_ += header.size();

  cbor::Reader reader(header);
  cbor::MapCursor map;
  std::string_view key;
  bool has_roots = false, has_version = false;
  cbor::Integer version;
  (void)reader.BeginMap(&map);
  while (reader.NextKey(&map, &key)) {
    if (key == "version") {
      has_version = reader.ReadInteger(&version);
    } else if (key == "roots") {
      has_roots = reader.ReadArrayHeader(&root_count_);
      for (uint64_t i = 0; has_roots && i < root_count_; ++i) {
        cbor::CidView root;
        if (!reader.ReadLink(&root)) break;
        if (i == 0) root_ = root;
      }
    } else {
      (void)reader.Skip();
    }
  }
  if (!reader.ok()) {
    (void)Fail(start, Reject::kCarBadHeader, RejectName(*reader.error()));
  } else if (!reader.AtEnd()) {
    (void)Fail(start, Reject::kCarBadHeader, "bytes after the map");
  } else if (!has_version) {
    (void)Fail(start, Reject::kCarBadHeader, "no version");
  } else if (version.negative || version.value != kVersion) {
    // Before the roots: the first bytes of a CARv2 file are a header without any.
    (void)Fail(start, Reject::kCarBadVersion);
  } else if (!has_roots) {
    (void)Fail(start, Reject::kCarBadHeader, "no list of roots");
  } else if (root_count_ == 0) {
    (void)Fail(start, Reject::kCarNoRoots);
  }
  return status_;
}

bool Reader::Next(Block* block) {
  if (at_ == car_.size() || !status_.ok()) return false;
  const size_t start = at_;
  uint64_t length = 0;
  if (!ReadLength(&length)) return false;
  // Some tools pad with zeros; there is no end in such a file that one could check.
  if (length == 0) return Fail(start, Reject::kCarZeroLengthSection);
  const Bytes section = car_.subspan(at_, static_cast<size_t>(length));
  cbor::CidView cid;
  if (!cbor::CidView::ParsePrefix(section, &cid)) return Fail(start, Reject::kCarBadCid);
  block->cid = cid;
  block->data = section.subspan(cid.bytes().size());
  at_ += section.size();
  return true;
}

}  // namespace penstock::car
