#include "crypto/sha256.h"

// The low-level interface, on purpose. EVP_DigestInit_ex of OpenSSL 3.0 frees and allocates its provider's context at
// every digest, even when the context and the algorithm stay the same: one malloc for each block of each frame, and half
// as long again for a short key. Both run the same assembly with SHA-NI.
#define OPENSSL_API_COMPAT 0x10101000L
#include <openssl/sha.h>

#include <cstdlib>

namespace penstock::crypto {
namespace {

// These fail only on a null pointer, which no caller can bring about.
void Check(int ok) {
  if (ok != 1) std::abort();
}

}  // namespace

Sha256Digest Sha256(Bytes bytes) { return Sha256(bytes, Bytes()); }

Sha256Digest Sha256(Bytes a, Bytes b) {
  Sha256Digest digest;
  SHA256_CTX context;
  Check(SHA256_Init(&context));
  Check(SHA256_Update(&context, a.data(), a.size()));
  if (!b.empty()) Check(SHA256_Update(&context, b.data(), b.size()));
  Check(SHA256_Final(digest.data(), &context));
  return digest;
}

struct Sha256Stream::State {
  SHA256_CTX context;
};

Sha256Stream::Sha256Stream() : state_(std::make_unique<State>()) { Check(SHA256_Init(&state_->context)); }

Sha256Stream::~Sha256Stream() = default;

void Sha256Stream::Update(Bytes bytes) { Check(SHA256_Update(&state_->context, bytes.data(), bytes.size())); }

Sha256Digest Sha256Stream::Finish() {
  Sha256Digest digest;
  Check(SHA256_Final(digest.data(), &state_->context));
  return digest;
}

}  // namespace penstock::crypto
