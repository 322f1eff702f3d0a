#include "identity/plc_log.h"

#include <algorithm>
#include <boost/json.hpp>
#include <iterator>
#include <map>
#include <utility>

#include "base/encoding.h"
#include "base/status.h"
#include "cbor/json_in.h"
#include "identity/did_document.h"
#include "repo/syntax.h"

namespace penstock::identity {
namespace {

namespace json = boost::json;

// An entry is at depth 2, its deepest member (a service) at 5.
constexpr size_t kMaxDepth = 8;
constexpr std::string_view kDidPrefix = "did:plc:";
constexpr size_t kPlcIdDigits = 24;
constexpr size_t kNone = static_cast<size_t>(-1);

std::string_view View(json::string_view text) { return std::string_view(text.data(), text.size()); }

absl::Status BadOperation(std::string_view why) { return RejectError(Reject::kPlcBadOperation, why); }

std::optional<std::string_view> TextOf(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return View(value->get_string());
}

const json::array* ArrayOf(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value == nullptr ? nullptr : value->if_array();
}

const json::object* ObjectOf(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value == nullptr ? nullptr : value->if_object();
}

enum class Kind : uint8_t { kOperation, kTombstone, kCreate };

struct Operation {
  Kind kind = Kind::kOperation;
  std::optional<std::string_view> prev;          // the predecessor's CID as text; nullopt for null
  std::vector<crypto::PublicKey> rotation_keys;  // highest priority first
  std::vector<uint8_t> signature;
  crypto::Sha256Digest unsigned_digest{};
  PlcVersion version;
};

// Reads operations of one log. Most logs name the same few keys again and again, so each is parsed once.
class OperationReader {
 public:
  absl::StatusOr<Operation> Read(const json::object& object) {
    Operation operation;
    const auto type = TextOf(object, "type");
    if (type == "plc_operation") {
      operation.kind = Kind::kOperation;
      RETURN_IF_ERROR(ReadRegular(object, &operation));
    } else if (type == "plc_tombstone") {
      operation.kind = Kind::kTombstone;
      operation.version.tombstone = true;
    } else if (type == "create") {
      operation.kind = Kind::kCreate;
      RETURN_IF_ERROR(ReadCreate(object, &operation));
    } else {
      return BadOperation("type");
    }
    const json::value* prev = object.if_contains("prev");
    if (prev == nullptr || !(prev->is_string() || prev->is_null())) return BadOperation("prev");
    if (prev->is_string()) operation.prev = View(prev->get_string());
    RETURN_IF_ERROR(ReadSignature(object, &operation));
    return operation;
  }

 private:
  absl::Status ReadRegular(const json::object& object, Operation* operation) {
    const json::array* keys = ArrayOf(object, "rotationKeys");
    if (keys == nullptr || keys->size() > kMaxPlcRotationKeys) return BadOperation("rotationKeys");
    for (const json::value& key : *keys) {
      if (!key.is_string()) return BadOperation("rotationKeys");
      RETURN_IF_ERROR(AddRotationKey(View(key.get_string()), operation));
    }
    const json::object* methods = ObjectOf(object, "verificationMethods");
    if (methods == nullptr || methods->size() > kMaxPlcVerificationMethods)
      return BadOperation("verificationMethods");
    for (const auto& [name, key] : *methods) {
      if (!key.is_string()) return BadOperation("verificationMethods");
      if (View(name) == "atproto") SetSigningKey(View(key.get_string()), &operation->version);
    }
    const json::array* aliases = ArrayOf(object, "alsoKnownAs");
    if (aliases == nullptr) return BadOperation("alsoKnownAs");
    for (const json::value& alias : *aliases) {
      if (!alias.is_string()) return BadOperation("alsoKnownAs");
      std::string& handle = operation->version.handle;
      if (handle.empty()) handle = ClaimedHandle(View(alias.get_string()));
    }
    const json::object* services = ObjectOf(object, "services");
    if (services == nullptr) return BadOperation("services");
    for (const auto& [name, value] : *services) {
      const json::object* service = value.if_object();
      if (service == nullptr) return BadOperation("services");
      const auto type = TextOf(*service, "type"), endpoint = TextOf(*service, "endpoint");
      if (!type || !endpoint) return BadOperation("services");
      if (View(name) == "atproto_pds" && *type == "AtprotoPersonalDataServer")
        operation->version.pds = PdsOrigin(*endpoint);
    }
    return absl::OkStatus();
  }

  // The format before plc_operation: what it means in today's terms (did:plc, "Operation Serialization, …").
  absl::Status ReadCreate(const json::object& object, Operation* operation) {
    const auto signing_key = TextOf(object, "signingKey"), recovery_key = TextOf(object, "recoveryKey");
    const auto handle = TextOf(object, "handle"), service = TextOf(object, "service");
    if (!signing_key || !recovery_key || !handle || !service) return BadOperation("create");
    RETURN_IF_ERROR(AddRotationKey(*recovery_key, operation));
    RETURN_IF_ERROR(AddRotationKey(*signing_key, operation));
    SetSigningKey(*signing_key, &operation->version);
    operation->version.handle = ClaimedHandle("at://" + std::string(*handle));
    operation->version.pds = PdsOrigin(*service);
    return absl::OkStatus();
  }

  // Encodes the operation twice: with `sig` for its CID, without it for what was signed. Members that we do
  // not know are covered by both.
  absl::Status ReadSignature(const json::object& object, Operation* operation) {
    const auto signature = TextOf(object, "sig");
    if (!signature) return BadOperation("sig");
    const auto whole = cbor::JsonToCbor(json::serialize(object), {}, cbor::DataModel::kDrisl);
    if (!whole.ok() || whole->size() > kMaxPlcOperationBytes)
      return BadOperation("no DAG-CBOR, or too large");
    operation->version.cid = cbor::Cid::OfBlock(AsBytes(*whole));
    json::object without = object;
    without.erase("sig");
    const auto rest = cbor::JsonToCbor(json::serialize(without), {}, cbor::DataModel::kDrisl);
    if (!rest.ok()) return BadOperation("no DAG-CBOR");
    operation->unsigned_digest = crypto::Sha256(AsBytes(*rest));
    // Not padded, and no bit to spare: another spelling of a good signature would be another operation, with
    // another CID.
    auto bytes = FromBase64Url(*signature);
    if (!bytes) return RejectError(Reject::kPlcBadSignature, "sig is not base64url");
    operation->signature = *std::move(bytes);
    return absl::OkStatus();
  }

  absl::Status AddRotationKey(std::string_view did_key, Operation* operation) {
    const auto& key = Parsed(did_key);
    if (!key) return BadOperation("a rotation key");
    operation->rotation_keys.push_back(*key);
    return absl::OkStatus();
  }

  // Any syntax of a did:key is allowed here (did:plc, "How it works"): a service may sign with what it likes.
  void SetSigningKey(std::string_view did_key, PlcVersion* version) {
    version->signing_key = did_key;
    version->key = Parsed(did_key);
  }

  const std::optional<crypto::PublicKey>& Parsed(std::string_view did_key) {
    const auto known = keys_.find(did_key);
    if (known != keys_.end()) return known->second;
    auto key = crypto::PublicKey::FromDidKey(did_key);
    auto& place = keys_[std::string(did_key)];
    if (key.ok()) place = *std::move(key);
    return place;
  }

  std::map<std::string, std::optional<crypto::PublicKey>, std::less<>> keys_;
};

// The place of the first key that made the signature; kNone if none of them did.
size_t FindSigner(const Operation& operation, std::span<const crypto::PublicKey> keys) {
  const auto signer = std::find_if(keys.begin(), keys.end(), [&](const crypto::PublicKey& key) {
    return key.VerifyDigest(operation.unsigned_digest, operation.signature).ok();
  });
  return signer == keys.end() ? kNone : static_cast<size_t>(signer - keys.begin());
}

// The chain in force while the log is read.
class Chain {
 public:
  struct Link {
    std::string cid;
    std::vector<crypto::PublicKey> rotation_keys;
    size_t signer = kNone;  // among the predecessor's rotation keys
    size_t entry = 0;       // place in the log
    PlcVersion version;
  };

  absl::Status Add(std::string_view did, Operation operation) {
    const size_t entry = entries_++;
    if (operation.version.created_us < last_us_)
      return RejectError(Reject::kPlcBadChain, "times go backwards");
    last_us_ = operation.version.created_us;
    size_t signer = kNone;
    if (entry == 0) {
      RETURN_IF_ERROR(CheckGenesis(did, operation));
    } else {
      ASSIGN_OR_RETURN(signer, Continue(operation));
    }
    links_.push_back({operation.version.cid.ToString(), std::move(operation.rotation_keys), signer, entry,
                      std::move(operation.version)});
    return absl::OkStatus();
  }

  std::vector<Link>& links() { return links_; }

 private:
  static absl::Status CheckGenesis(std::string_view did, const Operation& operation) {
    if (operation.kind == Kind::kTombstone || operation.prev)
      return RejectError(Reject::kPlcBadChain, "the log does not begin at the beginning");
    const std::string hash = ToBase32(operation.version.cid.view().digest());
    if (did != std::string(kDidPrefix) + hash.substr(0, kPlcIdDigits))
      return RejectError(Reject::kPlcGenesisMismatch);
    if (FindSigner(operation, operation.rotation_keys) == kNone)
      return RejectError(Reject::kPlcBadSignature, "the first operation");
    return absl::OkStatus();
  }

  // Cuts off what `operation` undoes and returns its signer.
  absl::StatusOr<size_t> Continue(const Operation& operation) {
    if (operation.kind == Kind::kCreate) return BadOperation("create is for the first operation");
    if (!operation.prev) return RejectError(Reject::kPlcBadChain, "a second first operation");
    const auto found = std::find_if(links_.rbegin(), links_.rend(),
                                    [&](const Link& link) { return link.cid == *operation.prev; });
    // Not even if an operation has this CID that was undone.
    if (found == links_.rend()) return RejectError(Reject::kPlcBadChain, "prev is not in force");
    const Link& prev = *found;
    if (prev.version.tombstone) return RejectError(Reject::kPlcBadChain, "nothing follows a tombstone");
    const size_t kept = static_cast<size_t>(links_.rend() - found);
    const size_t signer = FindSigner(operation, prev.rotation_keys);
    if (signer == kNone) return RejectError(Reject::kPlcBadSignature);
    if (kept < links_.size()) {
      const Link& undone = links_[kept];
      // A key that is listed twice stands where it is listed first, for both.
      if (signer >= undone.signer)
        return RejectError(Reject::kPlcBadNullification, "by a key of no higher priority");
      if (operation.version.created_us - undone.version.created_us > kPlcRecoveryWindowUs)
        return RejectError(Reject::kPlcBadNullification, "after 72 hours");
      links_.erase(links_.begin() + static_cast<ptrdiff_t>(kept), links_.end());
    }
    return signer;
  }

  std::vector<Link> links_;
  size_t entries_ = 0;
  int64_t last_us_ = INT64_MIN;
};

// The same refusal, with the entry's place in front of its detail.
absl::Status InEntry(size_t entry, const absl::Status& status) {
  const Reject reject = RejectOf(status).value_or(Reject::kPlcBadOperation);
  std::string_view detail = Message(status);
  if (detail.starts_with(RejectName(reject))) detail.remove_prefix(RejectName(reject).size());
  return RejectError(reject, "entry " + std::to_string(entry) + std::string(detail));
}

}  // namespace

absl::StatusOr<PlcLog> PlcLog::Verify(std::string_view did, std::string_view text) {
  if (text.size() > kMaxPlcLogBytes) return BadOperation("the log is too large");
  json::monotonic_resource memory;
  json::error_code error;
  const json::value value =
      json::parse(json::string_view(text.data(), text.size()), error, &memory, {.max_depth = kMaxDepth});
  const json::array* entries = error ? nullptr : value.if_array();
  if (entries == nullptr || entries->empty()) return BadOperation("no log");

  OperationReader reader;
  Chain chain;
  std::vector<bool> nullified;  // what the directory says
  const auto add = [&](const json::value& entry) -> absl::Status {
    const json::object* object = entry.if_object();
    const json::object* source = object == nullptr ? nullptr : ObjectOf(*object, "operation");
    if (source == nullptr || TextOf(*object, "did") != did) return BadOperation("no entry of this DID");
    const json::value* flag = object->if_contains("nullified");
    const auto created_at = TextOf(*object, "createdAt");
    const auto created = created_at ? repo::Datetime::Parse(*created_at) : std::nullopt;
    if (flag == nullptr || !flag->is_bool() || !created) return BadOperation("nullified or createdAt");
    nullified.push_back(flag->get_bool());
    ASSIGN_OR_RETURN(Operation operation, reader.Read(*source));
    if (TextOf(*object, "cid") != operation.version.cid.ToString()) return BadOperation("cid");
    operation.version.created_us = created->micros;
    return chain.Add(did, std::move(operation));
  };
  for (const json::value& entry : *entries) {
    if (absl::Status status = add(entry); !status.ok())
      return InEntry(static_cast<size_t>(&entry - entries->begin()), status);
  }

  std::vector<bool> left_out(nullified.size(), true);
  for (const Chain::Link& link : chain.links()) left_out[link.entry] = false;
  if (left_out != nullified) return RejectError(Reject::kPlcBadNullification, "the entries say otherwise");

  PlcLog log;
  log.did_ = did;
  log.versions_.reserve(chain.links().size());
  for (Chain::Link& link : chain.links()) log.versions_.push_back(std::move(link.version));
  return log;
}

const PlcVersion* PlcLog::At(int64_t time_us) const {
  const auto after =
      std::upper_bound(versions_.begin(), versions_.end(), time_us,
                       [](int64_t time, const PlcVersion& version) { return time < version.created_us; });
  return after == versions_.begin() ? nullptr : &*std::prev(after);
}

absl::Status PlcLog::CheckDocument(const Identity& identity) const {
  const auto mismatch = [](std::string_view what) { return RejectError(Reject::kPlcDocumentMismatch, what); };
  const PlcVersion& now = current();
  if (identity.did != did_) return mismatch("another DID");
  if (now.tombstone || identity.fault == Reject::kDidTombstoned) {
    return now.tombstone && identity.fault == Reject::kDidTombstoned ? absl::OkStatus()
                                                                     : mismatch("tombstone");
  }
  // Without a key the document still says something; with any other fault it does not.
  if (identity.fault && identity.fault != Reject::kDidNoKey) return mismatch(RejectName(*identity.fault));
  if (identity.key != now.key) return mismatch("signing key");
  if (identity.pds != now.pds) return mismatch("PDS");
  if (identity.handle != now.handle) return mismatch("handle");
  return absl::OkStatus();
}

}  // namespace penstock::identity
