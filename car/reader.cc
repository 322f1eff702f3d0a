#include "car/reader.h"

#include <string>
#include <string_view>

#include "base/status.h"
#include "car/varint.h"
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

bool Reader::ReadLength(uint64_t* length) {
  const size_t start = at_;
  size_t used = 0;
  switch (ReadVarint(car_.subspan(at_), length, &used)) {
    case Varint::kGood:
      at_ += used;
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

absl::Status DecodeHeader(Bytes header, cbor::CidView* root, uint64_t* root_count) {
  const auto refuse = [](Reject reject, std::string_view what) { return RejectAt(reject, 0, what); };
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
      has_roots = reader.ReadArrayHeader(root_count);
      for (uint64_t i = 0; has_roots && i < *root_count; ++i) {
        cbor::CidView each;
        if (!reader.ReadLink(&each)) break;
        if (i == 0) *root = each;
      }
    } else {
      (void)reader.Skip();
    }
  }
  if (!reader.ok()) return refuse(Reject::kCarBadHeader, RejectName(*reader.error()));
  if (!reader.AtEnd()) return refuse(Reject::kCarBadHeader, "bytes after the map");
  if (!has_version) return refuse(Reject::kCarBadHeader, "no version");
  // Before the roots: the first bytes of a CARv2 file are a header without any.
  if (version.negative || version.value != kVersion) return refuse(Reject::kCarBadVersion, {});
  if (!has_roots) return refuse(Reject::kCarBadHeader, "no list of roots");
  if (*root_count == 0) return refuse(Reject::kCarNoRoots, {});
  return absl::OkStatus();
}

absl::Status Reader::ReadHeader() {
  const size_t start = at_;
  uint64_t length = 0;
  if (!ReadLength(&length)) return status_;
  status_ = DecodeHeader(car_.subspan(at_, static_cast<size_t>(length)), &root_, &root_count_);
  at_ = status_.ok() ? at_ + static_cast<size_t>(length) : start;
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
