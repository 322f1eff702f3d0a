#include "crypto/sha256.h"

#include <openssl/evp.h>

#include <cstdlib>

namespace penstock::crypto {
namespace {

const EVP_MD* Algorithm() {
  static const EVP_MD* md = EVP_MD_fetch(nullptr, "SHA256", nullptr);  // never freed: lives as long as the program
  return md;
}

// OpenSSL's digest calls fail only when memory or the provider is gone: nothing here can go on without a hash.
void Check(int ok) {
  if (ok != 1) std::abort();
}

struct Context {
  EVP_MD_CTX* value = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(value); }
};

EVP_MD_CTX* ThreadContext() {
  thread_local Context context;
  return context.value;
}

}  // namespace

Sha256Digest Sha256(Bytes bytes) { return Sha256(bytes, Bytes()); }

Sha256Digest Sha256(Bytes a, Bytes b) {
  Sha256Digest digest;
  EVP_MD_CTX* context = ThreadContext();
  // A context that has been used with the same algorithm is only reset, which is what makes reuse cheap.
  Check(EVP_DigestInit_ex2(context, Algorithm(), nullptr));
  Check(EVP_DigestUpdate(context, a.data(), a.size()));
  if (!b.empty()) Check(EVP_DigestUpdate(context, b.data(), b.size()));
  Check(EVP_DigestFinal_ex(context, digest.data(), nullptr));
  return digest;
}

Sha256Stream::Sha256Stream() : context_(EVP_MD_CTX_new()) {
  Check(EVP_DigestInit_ex2(static_cast<EVP_MD_CTX*>(context_), Algorithm(), nullptr));
}

Sha256Stream::~Sha256Stream() { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_)); }

void Sha256Stream::Update(Bytes bytes) {
  Check(EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), bytes.data(), bytes.size()));
}

Sha256Digest Sha256Stream::Finish() {
  Sha256Digest digest;
  Check(EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), digest.data(), nullptr));
  return digest;
}

}  // namespace penstock::crypto
