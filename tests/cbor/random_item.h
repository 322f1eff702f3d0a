#pragma once

// Random canonical items, and a copy of an item through the reader and the writer. Used by the property tests
// and fuzzers.

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "cbor/reader.h"
#include "cbor/writer.h"

namespace penstock::test {

// $PENSTOCK_SEED when it is set, so that a failure can be repeated; otherwise another one in every run.
uint64_t SeedOfThisRun();

class RandomItem {
 public:
  explicit RandomItem(uint64_t seed) : random_(seed) {}

  // One canonical item of any kind, at most about 8 containers deep. Without `drisl` only what a record may
  // hold: no floats, integers of 64 bits signed; keys that mean something in JSON ("$link", "$bytes",
  // "$type") never occur.
  std::string Make(bool drisl = true);

  // 0 .. bound - 1; `bound` is not 0.
  uint64_t Below(uint64_t bound) { return random_() % bound; }

 private:
  void Append(uint32_t depth, bool drisl, std::string* out);
  uint64_t Number();
  std::string Text(size_t max_characters);

  std::mt19937_64 random_;
};

// Reads the next item of `reader` piece by piece and writes it again. False when the reader fails.
bool CopyItem(cbor::Reader& reader, std::string* out);

}  // namespace penstock::test
