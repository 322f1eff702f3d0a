#pragma once

// CAR v1 out (protocol section 5): for proofs and fixtures. Writes what it is given: that a block hashes to
// its CID, and that nothing is written twice, is the caller's business. Not thread-safe.

#include <span>
#include <string>

#include "base/bytes.h"
#include "cbor/cid.h"

namespace penstock::car {

class Writer {
 public:
  // Appends to `*out`, which must outlive the writer.
  explicit Writer(std::string* out) : out_(out) {}

  // `{roots: […], version: 1}`; call once, first. Readers of repositories want at least one root, the commit.
  void Header(std::span<const cbor::Cid> roots);
  // One section.
  void Block(const cbor::CidView& cid, Bytes data);

 private:
  std::string* out_;
};

}  // namespace penstock::car
