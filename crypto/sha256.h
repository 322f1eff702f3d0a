#pragma once

// SHA-256 through OpenSSL, with the algorithm fetched once and one context per thread: naive calls cost up to three
// times as much for a small block. Thread-safe.

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace penstock::crypto {

inline constexpr size_t kSha256Size = 32;
using Sha256Digest = std::array<uint8_t, kSha256Size>;

Sha256Digest Sha256(Bytes bytes);

// Over the concatenation of `a` and `b`.
Sha256Digest Sha256(Bytes a, Bytes b);

// A digest over bytes that come in pieces (a file, a stream). Not thread-safe.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(const Sha256Stream&) = delete;
  Sha256Stream& operator=(const Sha256Stream&) = delete;

  void Update(Bytes bytes);
  // Ends the stream; call once.
  Sha256Digest Finish();

 private:
  void* context_;  // an EVP_MD_CTX, kept out of this header
};

}  // namespace penstock::crypto
