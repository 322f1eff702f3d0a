#pragma once

// What the tests of identities share: documents with one thing changed, and logs of a did:plc signed with
// made-up keys.

#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/encoding.h"
#include "base/status.h"
#include "cbor/cid.h"
#include "cbor/json_in.h"
#include "fixtures/builder/signing_key.h"

namespace penstock::test {

namespace json = boost::json;

// "ok", or the name of the Reject: right for the wrong reason is wrong.
inline std::string Outcome(const absl::Status& status) {
  if (status.ok()) return "ok";
  const auto reject = RejectOf(status);
  return reject ? std::string(RejectName(*reject)) : status.ToString();
}

inline builder::SigningKey KeyNamed(std::string_view name, builder::Curve curve = builder::Curve::kK256) {
  return builder::SigningKey::FromSeed(curve, AsBytes(name));
}

// Microseconds of a day of 2026 at noon, as the directory writes them.
inline constexpr int64_t kHourUs = int64_t{3'600} * 1'000'000;

// A directory's log, operation by operation.
class PlcLogBuilder {
 public:
  using Key = builder::SigningKey;

  // A plc_operation with these rotation keys; signed later.
  static json::object Operation(const std::vector<Key>& rotation_keys, std::string_view handle = "ada.test",
                                std::string_view signing_key = {}) {
    json::array keys;
    for (const Key& key : rotation_keys) keys.emplace_back(key.DidKey());
    const std::string method = signing_key.empty() ? KeyNamed("signing").DidKey() : std::string(signing_key);
    return {{"type", "plc_operation"},
            {"rotationKeys", std::move(keys)},
            {"verificationMethods", {{"atproto", method}}},
            {"alsoKnownAs", {"at://" + std::string(handle)}},
            {"services",
             {{"atproto_pds",
               {{"type", "AtprotoPersonalDataServer"}, {"endpoint", "https://pds.lantern.test"}}}}},
            {"prev", nullptr}};
  }
  static json::object Tombstone() { return {{"type", "plc_tombstone"}, {"prev", nullptr}}; }

  // Adds `operation` on top of the one at `prev` (-1: none), signed by `key`, `hours` after the first one.
  // Returns its place.
  int Add(json::object operation, int prev, const Key& key, double hours) {
    if (prev >= 0) operation["prev"] = cids_[static_cast<size_t>(prev)];
    operation["sig"] = ToBase64Url(key.Sign(crypto::Sha256(AsBytes(Cbor(operation)))));
    return AddSigned(std::move(operation), hours);
  }
  int AddSigned(json::object operation, double hours) {
    const cbor::Cid cid = cbor::Cid::OfBlock(AsBytes(Cbor(operation)));
    if (cids_.empty()) did_ = "did:plc:" + ToBase32(cid.view().digest()).substr(0, 24);
    cids_.push_back(cid.ToString());
    const auto micros = static_cast<int64_t>(hours * static_cast<double>(kHourUs));
    entries_.push_back(json::object{{"did", did_},
                                    {"operation", std::move(operation)},
                                    {"cid", cids_.back()},
                                    {"nullified", false},
                                    {"createdAt", Time(micros)}});
    return static_cast<int>(cids_.size()) - 1;
  }

  void Nullify(int entry) { this->entry(entry)["nullified"] = true; }
  json::object& entry(int at) { return entries_.at(static_cast<size_t>(at)).as_object(); }
  json::array& entries() { return entries_; }
  const std::string& did() const { return did_; }
  const std::string& cid(int at) const { return cids_.at(static_cast<size_t>(at)); }
  std::string Json() const { return json::serialize(entries_); }

  // 2026-03-01T00:00:00Z and so many microseconds; less than 31 days.
  static std::string Time(int64_t micros) {
    const auto digits = [](int64_t number, size_t width) {
      std::string text = std::to_string(number);
      return std::string(width - text.size(), '0') + text;
    };
    const int64_t seconds = micros / 1'000'000;
    return "2026-03-" + digits(1 + seconds / 86'400, 2) + "T" + digits(seconds / 3'600 % 24, 2) + ":" +
           digits(seconds / 60 % 60, 2) + ":" + digits(seconds % 60, 2) + "." +
           digits(micros % 1'000'000, 6) + "Z";
  }

 private:
  static std::string Cbor(const json::object& operation) {
    return *cbor::JsonToCbor(json::serialize(operation), {}, cbor::DataModel::kDrisl);
  }

  std::string did_;
  std::vector<std::string> cids_;
  json::array entries_;
};

}  // namespace penstock::test
