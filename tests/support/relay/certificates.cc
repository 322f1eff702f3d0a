#include "tests/support/relay/certificates.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace penstock::test {
namespace {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Certificate = std::unique_ptr<X509, Free>;

void Check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "test certificates: %s failed\n", what);
  std::abort();
}

template <typename Write>
std::string Pem(Write write) {
  const std::unique_ptr<BIO, Free> bio(BIO_new(BIO_s_mem()));
  Check(write(bio.get()) == 1, "writing PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

void Extend(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Free> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  Check(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1, value.c_str());
}

Certificate MakeCertificate(const char* common_name, EVP_PKEY* key, long serial, long from, long until) {
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), from);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), until);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(common_name), -1, -1, 0);
  return certificate;
}

}  // namespace

struct TestAuthority::Keys {
  Key key;
  Certificate certificate;
};

TestAuthority::TestAuthority() : keys_(std::make_unique<Keys>()) {
  keys_->key.reset(EVP_EC_gen("P-256"));
  Check(keys_->key != nullptr, "key");
  keys_->certificate = MakeCertificate("Penstock Test CA", keys_->key.get(), 1, -3600, 3600);
  X509* certificate = keys_->certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  Extend(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
  Extend(certificate, certificate, NID_key_usage, "critical,keyCertSign");
  Extend(certificate, certificate, NID_subject_key_identifier, "hash");
  Check(X509_sign(certificate, keys_->key.get(), EVP_sha256()) > 0, "signing");
  certificate_pem_ = Pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });

  const char* folder = std::getenv("TMPDIR");
  file_ = std::string(folder != nullptr ? folder : "/tmp") + "/penstock-ca-XXXXXX";
  const int file = mkstemp(file_.data());
  Check(file >= 0 && write(file, certificate_pem_.data(), certificate_pem_.size()) ==
                         static_cast<ssize_t>(certificate_pem_.size()),
        "CA file");
  close(file);
}

TestAuthority::~TestAuthority() { std::remove(file_.c_str()); }

TestCertificate TestAuthority::Issue(const std::vector<std::string>& names, bool expired) const {
  const Key key(EVP_EC_gen("P-256"));
  Check(key != nullptr, "key");
  const Certificate certificate = MakeCertificate("test server", key.get(), 2, -7200, expired ? -3600 : 3600);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(keys_->certificate.get()));
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ",") + name;
  Extend(certificate.get(), keys_->certificate.get(), NID_subject_alt_name, all);
  Extend(certificate.get(), keys_->certificate.get(), NID_ext_key_usage, "serverAuth");
  Extend(certificate.get(), keys_->certificate.get(), NID_authority_key_identifier, "keyid");
  Check(X509_sign(certificate.get(), keys_->key.get(), EVP_sha256()) > 0, "signing");

  TestCertificate issued;
  issued.certificate_pem = Pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); });
  issued.private_key_pem = Pem([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  return issued;
}

}  // namespace penstock::test
