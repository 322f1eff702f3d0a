#pragma once

// SHA-256 through OpenSSL, without an allocation per digest. Thread-safe.

#include <array>
#include <cstdint>
#include <memory>

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
  struct State;  // OpenSSL's, kept out of this header
  std::unique_ptr<State> state_;
};

}  // namespace penstock::crypto
