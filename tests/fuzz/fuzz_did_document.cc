// DID documents. The input is a document for a fixed DID; and, as a text, each of the small things that are
// read out of one.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "crypto/public_key.h"
#include "identity/did_document.h"
#include "identity/did_location.h"
#include "repo/syntax.h"

using namespace penstock;  // NOLINT: a test program

namespace {

constexpr std::string_view kDid = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

void Require(bool holds) {
  if (!holds) std::abort();
}

// What has a name has it in one spelling: reading it again gives the same.
void CheckKey(const absl::StatusOr<crypto::PublicKey>& key) {
  if (!key.ok()) return;
  const auto again = crypto::PublicKey::FromDidKey(key->did_key());
  Require(again.ok() && *again == *key && again->curve() == key->curve());
}

void CheckOrigin(const std::string& origin) {
  Require(origin.empty() || identity::PdsOrigin(origin) == origin);
}

void CheckHandle(const std::string& handle) {
  Require(handle.empty() || identity::ClaimedHandle("at://" + handle) == handle);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = AsText(Bytes(data, size));
  const identity::Identity identity = identity::ParseDidDocument(kDid, text);
  Require(identity.did == kDid);
  Require(identity.fault.has_value() == !identity.key.has_value());
  Require(identity.document.empty() || identity.document == text);
  if (identity.fault != Reject::kDidDocumentInvalid) Require(identity.document == text);
  if (identity.key) CheckKey(*identity.key);
  CheckOrigin(identity.pds);
  CheckHandle(identity.handle);

  CheckOrigin(identity::PdsOrigin(text));
  CheckHandle(identity::ClaimedHandle(text));
  CheckKey(crypto::PublicKey::FromMultikey(text));
  CheckKey(crypto::PublicKey::FromDidKey(text));
  for (const crypto::Curve curve : {crypto::Curve::kK256, crypto::Curve::kP256}) {
    CheckKey(crypto::PublicKey::FromLegacyMultibase(curve, text));
    CheckKey(crypto::PublicKey::FromPoint(curve, Bytes(data, size)));
  }
  for (const auto local : {identity::LocalNames::kRefused, identity::LocalNames::kAllowed}) {
    const auto location = identity::LocateDid(text, local);
    Require(!location.ok() || location->host.empty() == (location->method == identity::DidMethod::kPlc));
    Require(!location.ok() || repo::Did::Parse(text).has_value());
  }
  return 0;
}
