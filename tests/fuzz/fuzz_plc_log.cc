// Audit logs. The input is a log as it comes. Then the same log with its hashes put right, so that a change
// gets past the CID and the genesis: only the signatures stand between it and another identity.

#include <algorithm>
#include <boost/json.hpp>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/encoding.h"
#include "base/status.h"
#include "cbor/cid.h"
#include "cbor/json_in.h"
#include "identity/plc_log.h"

using namespace penstock;  // NOLINT: a test program
namespace json = boost::json;

namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

void Check(std::string_view did, std::string_view text) {
  const auto log = identity::PlcLog::Verify(did, text);
  if (!log.ok()) {
    Require(RejectOf(log.status()).has_value());
    return;
  }
  Require(log->did() == did && !log->versions().empty());
  int64_t last = INT64_MIN;
  for (const identity::PlcVersion& version : log->versions()) {
    Require(version.created_us >= last);
    last = version.created_us;
    // Of versions of one time the later one is in force.
    Require(log->At(last) >= &version);
    Require(!version.key || version.key->did_key() == version.signing_key);
    Require(!version.tombstone || (&version == &log->current() && version.signing_key.empty()));
  }
  Require(log->At(INT64_MAX) == &log->current());
}

// Sets `cid`, `did` and the `prev` of each entry that named the entry before it.
std::string Repaired(json::array entries, std::string* did) {
  std::string before, before_was;
  for (json::value& value : entries) {
    json::object* entry = value.if_object();
    if (entry == nullptr || !entry->contains("operation")) continue;
    json::object* operation = entry->at("operation").if_object();
    if (operation == nullptr) continue;
    const json::value* cid = entry->if_contains("cid");
    const std::string was =
        cid != nullptr && cid->is_string() ? std::string(cid->get_string()) : std::string();
    const json::value* prev = operation->if_contains("prev");
    if (prev != nullptr && prev->is_string() && std::string_view(prev->get_string()) == before_was)
      (*operation)["prev"] = before;
    const auto block = cbor::JsonToCbor(json::serialize(*operation), {}, cbor::DataModel::kDrisl);
    if (!block.ok()) continue;
    const cbor::Cid hash = cbor::Cid::OfBlock(AsBytes(*block));
    if (did->empty()) *did = "did:plc:" + ToBase32(hash.view().digest()).substr(0, 24);
    before = hash.ToString();
    before_was = was;
    (*entry)["cid"] = before;
    (*entry)["did"] = *did;
  }
  return json::serialize(entries);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = AsText(Bytes(data, size));
  Check("did:plc:ewvi7nxzyoun6zhxrhs64oiz", text);
  json::error_code error;
  const json::value value = json::parse(json::string_view(text.data(), text.size()), error);
  if (error || !value.is_array() || value.get_array().empty()) return 0;
  const json::object* first = value.get_array()[0].if_object();
  const json::value* did = first == nullptr ? nullptr : first->if_contains("did");
  if (did != nullptr && did->is_string()) Check(std::string_view(did->get_string()), text);
  std::string repaired_did;
  const std::string repaired = Repaired(value.get_array(), &repaired_did);
  Check(repaired_did, repaired);
  return 0;
}
