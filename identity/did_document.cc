#include "identity/did_document.h"

#include <boost/json.hpp>
#include <boost/url.hpp>
#include <optional>
#include <utility>

#include "base/status.h"
#include "repo/syntax.h"

namespace penstock::identity {
namespace {

namespace json = boost::json;

// What is read lies three levels deep; members that nobody knows may go deeper. Bounds the parser's stack.
constexpr size_t kMaxDepth = 32;
// Of a host name (RFC 1035), so that an origin always fits where it is stored and indexed.
constexpr size_t kMaxHostBytes = 253;

std::string_view View(json::string_view text) { return std::string_view(text.data(), text.size()); }

// The member as text; nullopt if it is absent or something else.
std::optional<std::string_view> TextOf(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return View(value->get_string());
}

bool HasText(const json::object& object, std::string_view key, std::string_view text) {
  return TextOf(object, key) == text;
}

// The member's entries; none if it is absent or no array.
const json::array& EntriesOf(const json::object& object, std::string_view key) {
  static const json::array* const none = new json::array;
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_array() ? value->get_array() : *none;
}

// Exactly "#atproto" or "<did>#atproto": `fragment` with its '#'. A fragment of another DID, or one that
// merely begins like this, names something else.
bool HasId(const json::object& entry, std::string_view did, std::string_view fragment) {
  const auto id = TextOf(entry, "id");
  if (!id) return false;
  return *id == fragment ||
         (id->size() == did.size() + fragment.size() && id->starts_with(did) && id->ends_with(fragment));
}

absl::StatusOr<crypto::PublicKey> KeyOf(const json::object& entry, std::string_view did) {
  if (!HasId(entry, did, "#atproto")) return FailedPreconditionError("its id is not #atproto");
  if (!HasText(entry, "controller", did)) return FailedPreconditionError("its controller is another");
  const auto type = TextOf(entry, "type");
  const auto multibase = TextOf(entry, "publicKeyMultibase");
  if (!type || !multibase) return RejectError(Reject::kKeyMalformed);
  if (*type == "Multikey") return crypto::PublicKey::FromMultikey(*multibase);
  if (*type == "EcdsaSecp256k1VerificationKey2019")
    return crypto::PublicKey::FromLegacyMultibase(crypto::Curve::kK256, *multibase);
  if (*type == "EcdsaSecp256r1VerificationKey2019")
    return crypto::PublicKey::FromLegacyMultibase(crypto::Curve::kP256, *multibase);
  return RejectError(Reject::kKeyUnsupported);
}

// The first *valid* key: one that is unsupported or broken does not stand before one that is good.
std::optional<crypto::PublicKey> SigningKey(const json::object& document, std::string_view did) {
  for (const json::value& value : EntriesOf(document, "verificationMethod")) {
    const json::object* entry = value.if_object();
    if (entry == nullptr) continue;
    if (auto key = KeyOf(*entry, did); key.ok()) return *std::move(key);
  }
  return std::nullopt;
}

std::string Pds(const json::object& document, std::string_view did) {
  for (const json::value& value : EntriesOf(document, "service")) {
    const json::object* entry = value.if_object();
    if (entry == nullptr || !HasId(*entry, did, "#atproto_pds") ||
        !HasText(*entry, "type", "AtprotoPersonalDataServer")) {
      continue;
    }
    const auto endpoint = TextOf(*entry, "serviceEndpoint");
    if (!endpoint) continue;
    if (std::string origin = PdsOrigin(*endpoint); !origin.empty()) return origin;
  }
  return {};
}

std::string Handle(const json::object& document) {
  for (const json::value& value : EntriesOf(document, "alsoKnownAs")) {
    const json::string* alias = value.if_string();
    if (alias == nullptr) continue;
    if (std::string handle = ClaimedHandle(View(*alias)); !handle.empty()) return handle;
  }
  return {};
}

std::optional<json::value> ParseJson(std::string_view text, json::monotonic_resource* memory) {
  json::error_code error;
  json::value value =
      json::parse(json::string_view(text.data(), text.size()), error, memory, {.max_depth = kMaxDepth});
  if (error) return std::nullopt;
  return value;
}

}  // namespace

std::vector<KeyEntry> ReadKeyEntries(std::string_view did, std::string_view text) {
  std::vector<KeyEntry> entries;
  if (text.size() > kMaxDidDocumentBytes) return entries;
  json::monotonic_resource memory;
  const std::optional<json::value> parsed = ParseJson(text, &memory);
  const json::object* document = parsed ? parsed->if_object() : nullptr;
  if (document == nullptr || !HasText(*document, "id", did)) return entries;
  for (const json::value& value : EntriesOf(*document, "verificationMethod")) {
    KeyEntry& entry = entries.emplace_back();
    const json::object* object = value.if_object();
    if (object == nullptr) {
      entry.status = FailedPreconditionError("it is no object");
      continue;
    }
    entry.id = TextOf(*object, "id").value_or("");
    entry.type = TextOf(*object, "type").value_or("");
    auto key = KeyOf(*object, did);
    entry.status = key.status();
    if (key.ok()) entry.key = *std::move(key);
  }
  return entries;
}

Identity NoIdentity(std::string_view did, Reject fault) {
  Identity identity;
  identity.did = did;
  identity.fault = fault;
  return identity;
}

Identity ParseDidDocument(std::string_view did, std::string_view text) {
  Identity identity = NoIdentity(did, Reject::kDidDocumentInvalid);
  if (text.size() > kMaxDidDocumentBytes) return identity;
  json::monotonic_resource memory;
  const std::optional<json::value> value = ParseJson(text, &memory);
  if (!value) return identity;
  identity.document = text;
  const json::object* document = value->if_object();
  if (document == nullptr || !HasText(*document, "id", did)) return identity;
  identity.key = SigningKey(*document, did);
  identity.pds = Pds(*document, did);
  identity.handle = Handle(*document);
  if (identity.key) {
    identity.fault.reset();
  } else {
    identity.fault = Reject::kDidNoKey;
  }
  return identity;
}

std::string PdsOrigin(std::string_view endpoint) {
  const auto parsed = boost::urls::parse_uri(boost::urls::string_view(endpoint.data(), endpoint.size()));
  if (!parsed) return {};
  const boost::urls::url_view& url = *parsed;
  const boost::urls::scheme scheme = url.scheme_id();
  if (scheme != boost::urls::scheme::http && scheme != boost::urls::scheme::https) return {};
  if (url.has_userinfo() || !url.encoded_path().empty() || url.has_query() || url.has_fragment()) return {};
  const std::string host(url.encoded_host());
  if (host.empty() || host.size() > kMaxHostBytes) return {};
  // A name of letters, digits, dots and hyphens, or an address. Percent signs would make one host two texts.
  if (url.host_type() == boost::urls::host_type::name &&
      host.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") !=
          host.npos) {
    return {};
  }
  if (url.host_type() == boost::urls::host_type::ipvfuture) return {};
  if (url.has_port() && url.port_number() == 0) return {};  // also "host:" and a number beyond 16 bits
  const bool https = scheme == boost::urls::scheme::https;
  std::string origin = https ? "https://" : "http://";
  for (const char c : host) origin.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  if (url.has_port() && url.port_number() != (https ? 443 : 80))
    origin.append(":").append(std::to_string(url.port_number()));
  return origin;
}

std::string ClaimedHandle(std::string_view also_known_as) {
  constexpr std::string_view kScheme = "at://";
  if (!also_known_as.starts_with(kScheme)) return {};
  const auto handle = repo::Handle::Parse(also_known_as.substr(kScheme.size()));
  return handle ? handle->Normalized() : std::string();
}

}  // namespace penstock::identity
