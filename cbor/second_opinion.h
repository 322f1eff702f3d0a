#pragma once

// A second opinion on CBOR: what the bytes hold under the lenient rules of RFC 8949, by libcbor's stream
// decoder, beside what our strict reader refuses. For people (`penstock inspect`) and as the independent
// oracle of differential tests; never on the hot path. libcbor's DOM (cbor_load) is not used: five bytes make
// it take a gigabyte.
//
// Iterative, with memory bounded by the options, whatever the bytes declare. Thread-safe as a whole.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/base/attributes.h"
#include "base/bytes.h"

namespace penstock::cbor {

enum class LenientKind : uint8_t {
  kUint,             // argument
  kNegative,         // -1 - argument
  kBytes,            // content
  kText,             // content, perhaps no UTF-8
  kBytesChunks,      // indefinite: byte strings follow until a break
  kTextChunks,       // indefinite: text strings follow until a break
  kArray,            // argument: elements
  kArrayIndefinite,  // elements follow until a break
  kMap,              // argument: pairs
  kMapIndefinite,    // pairs follow until a break
  kTag,              // argument; one item follows
  kBool,             // argument: 0 or 1
  kNull,
  kUndefined,
  kSimple,  // argument: another simple value
  kFloat,   // number; head_size tells the width: 3, 5 or 9 bytes
  kBreak,
};

// One head and, for definite strings, its content.
struct LenientItem {
  LenientKind kind{};
  uint64_t argument = 0;
  double number = 0;
  Bytes content;         // a view of the input
  size_t offset = 0;     // of the head
  size_t head_size = 0;  // bytes, without a string's content
};

// A flat reader: containers and what is in them come one after the other, nesting is the caller's.
class LenientReader {
 public:
  enum class Result { kItem, kEnd, kTruncated, kMalformed };

  explicit LenientReader(Bytes input ABSL_ATTRIBUTE_LIFETIME_BOUND) : input_(input) {}

  // The next item; after anything but kItem the reader stays where it is.
  Result Next(LenientItem* item);
  size_t offset() const { return at_; }

 private:
  Bytes input_;
  size_t at_ = 0;
};

struct DiagnoseOptions {
  size_t max_output = 64 * 1024;  // bytes; beyond it the text ends with a line that says so
  size_t max_string = 200;        // bytes shown of one string
  uint32_t max_depth = 256;       // containers and tags within each other; deeper ones are not entered
  bool sequence = false;          // several items are as they should be (a frame has two), not trailing bytes
};

// `input` in diagnostic notation (RFC 8949 section 8), an element a line, with the offset of each in front
// and the name of every strict rule that it breaks behind:
//
//        0  {
//        1    "b": 1                                <- 3: cbor_non_minimal
//        5    "a": 42(h'00…')                       <- 5: cbor_map_key_order
//
// Goes as far as the bytes are well formed and says where and why it stopped.
std::string Diagnose(Bytes input, const DiagnoseOptions& options = {});

}  // namespace penstock::cbor
