#pragma once

// A Spill whose bytes a test can look at, spoil and deny.

#include <cstring>
#include <string>

#include "base/spill.h"
#include "base/status.h"

namespace penstock::test {

class MemorySpill : public Spill {
 public:
  absl::StatusOr<uint64_t> Append(Bytes a, Bytes b) override {
    if (appends_left == 0) return UnavailableError("no room");
    --appends_left;
    const uint64_t offset = content.size();
    content.append(AsText(a)).append(AsText(b));
    return offset;
  }
  absl::Status Read(uint64_t offset, uint8_t* out, size_t size) override {
    if (reads_left == 0) return UnavailableError("no disk");
    --reads_left;
    if (offset > content.size() || size > content.size() - offset) return DataLossError("beyond the end");
    std::memcpy(out, content.data() + offset, size);
    return absl::OkStatus();
  }
  absl::Status Clear() override {
    content.clear();
    return absl::OkStatus();
  }
  uint64_t bytes() const override { return content.size(); }

  std::string content;
  uint64_t appends_left = UINT64_MAX;
  uint64_t reads_left = UINT64_MAX;
};

}  // namespace penstock::test
