#include "tests/e2e/capture_truth.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "tests/support/shared_data.h"

namespace penstock::test {

namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

std::string TextOf(const json::object& line, const char* name) {
  const json::value* value = line.if_contains(name);
  return value == nullptr || !value->is_string() ? std::string() : std::string(value->as_string());
}

}  // namespace

std::vector<json::object> ReadNdjson(const fs::path& path) {
  std::vector<json::object> objects;
  for (const std::string& line : ReadFileLines(path)) {
    if (!line.empty()) objects.push_back(json::parse(line).as_object());
  }
  return objects;
}

std::map<std::string, std::vector<CapturedStream>> CapturedBases() {
  constexpr std::string_view kSuffix = ".counts.json";
  std::map<std::string, std::vector<CapturedStream>> bases;
  const auto folder = CapturesFolder();
  if (!folder) return bases;
  for (const auto& entry : fs::directory_iterator(*folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(kSuffix)) continue;
    const std::string base = name.substr(0, name.size() - kSuffix.size());
    const json::value counts = json::parse(ReadFileText(entry.path()));
    for (const auto& [pds, stream] : counts.at("streams").as_object()) {
      bases[base].push_back({*folder, base, std::string(pds), std::string(stream.at("file").as_string())});
    }
  }
  return bases;
}

CaptureTruth::CaptureTruth(const std::vector<CapturedStream>& streams, bool as_pds) {
  LoadDocuments(streams);
  // As replay reads: next comes the frame with the earliest time, and within a file the order is the file's.
  struct Placed {
    std::string time;
    size_t stream, index;
    const json::object* message;
  };
  std::vector<std::vector<json::object>> messages;
  for (const CapturedStream& stream : streams)
    messages.push_back(ReadNdjson(stream.File(".messages.ndjson")));
  std::vector<Placed> all;
  for (size_t i = 0; i < messages.size(); ++i) {
    std::string latest;
    for (size_t k = 0; k < messages[i].size(); ++k) {
      latest = std::max(latest, TextOf(messages[i][k], "time"));  // all of one form and zone
      all.push_back({latest, i, k, &messages[i][k]});
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const Placed& a, const Placed& b) { return a.time < b.time; });
  for (const Placed& placed : all) {
    const std::string& stream = streams[placed.stream].pds;
    events_[{stream, placed.message->at("seq").as_int64()}] = Take(stream, *placed.message, as_pds);
  }
}

void CaptureTruth::LoadDocuments(const std::vector<CapturedStream>& streams) {
  for (const json::object& line : ReadNdjson(streams.front().BaseFile(".dids.ndjson"))) {
    std::string host = TextOf(line, "pds");
    host = host.substr(host.find("://") + 3);
    for (const auto& [stream, from] : line.at("from_seq").as_object()) {
      if (from.is_int64())
        documents_[{TextOf(line, "did"), std::string(stream)}].emplace_back(from.as_int64(), host);
    }
  }
  // A stream's own host is the one that most of its accounts live on.
  for (const CapturedStream& stream : streams) {
    std::map<std::string, size_t> votes;
    for (const auto& [key, versions] : documents_) {
      if (key.second == stream.pds) ++votes[versions.back().second];
    }
    size_t most = 0;
    for (const auto& [host, count] : votes) {
      if (count <= most) continue;
      most = count;
      hosts_[stream.pds] = host;
    }
  }
}

std::string CaptureTruth::HostInForce(const std::string& did, const std::string& stream, int64_t seq) const {
  const auto versions = documents_.find({did, stream});
  if (versions == documents_.end()) return "";
  std::pair<int64_t, std::string> best{std::numeric_limits<int64_t>::min(), ""};
  for (const auto& version : versions->second) {
    if (version.first <= seq && version.first >= best.first) best = version;
  }
  return best.second;
}

CaptureTruth::Event CaptureTruth::Take(const std::string& stream, const json::object& message, bool as_pds) {
  const std::string type = TextOf(message, "type"), did = TextOf(message, "did");
  Account& account = accounts_[did];
  if (type == "#identity") return {};
  const bool here = !as_pds || HostInForce(did, stream, message.at("seq").as_int64()) == hosts_.at(stream);
  if (type == "#account") {
    if (!here) return {Fate::kRefused, "account_wrong_host", ""};
    const bool was_active = std::exchange(account.active, message.at("active").as_bool());
    // What it did while it was away was ignored.
    if (account.active && !was_active && account.sync_state == "synchronized") account.sync_state = "partial";
    account.seen = true;
    return {};
  }
  if (!account.active) return {Fate::kIgnored, "", ""};
  if (type == "#commit" && !account.rev.empty() && TextOf(message, "rev") <= account.rev)
    return {Fate::kIgnored, "", ""};
  if (account.sync_state == "desynchronized") return {Fate::kHeld, "", ""};
  if (!here) return {Fate::kRefused, "account_wrong_host", ""};
  if (!message.at("sig_ok").as_bool()) return {Fate::kRefused, "signature_mismatch", ""};
  account.seen = true;
  return type == "#commit" ? TakeCommit(message, &account) : TakeSync(message, &account);
}

CaptureTruth::Event CaptureTruth::TakeCommit(const json::object& message, Account* account) {
  const std::string since = TextOf(message, "since"), prev_data = TextOf(message, "prev_data");
  Event event;
  if (account->rev.empty()) {
    // A first commit is the whole repository; any other anchors the account.
    account->from_start = since.empty();
    account->sync_state = since.empty() ? "synchronized" : "partial";
    event.verification = since.empty() ? "full" : "commit";
  } else if (since == account->rev && prev_data == account->data) {
    event.verification = "full";
  } else {
    account->sync_state = "desynchronized";
    return {Fate::kHeld, "", ""};
  }
  account->rev = TextOf(message, "rev");
  account->data = TextOf(message, "data");
  account->commit = TextOf(message, "commit");
  for (const json::value& op : message.at("ops").as_array()) {
    const std::string path = TextOf(op.as_object(), "path");
    const size_t slash = path.find('/');
    levels_[TextOf(message, "did") + " " + path.substr(0, slash) + " " + path.substr(slash + 1)] =
        event.verification;
  }
  return event;
}

CaptureTruth::Event CaptureTruth::TakeSync(const json::object& message, Account* account) {
  const std::string rev = TextOf(message, "rev"), data = TextOf(message, "data");
  if (TextOf(message, "commit_rev") != rev) return {Fate::kRefused, "commit_rev_mismatch", ""};
  if (account->rev.empty()) {
    account->sync_state = "partial";
  } else if (rev < account->rev) {
    return {Fate::kIgnored, "", ""};
  } else if (data != account->data) {
    account->sync_state = "desynchronized";
    return {Fate::kHeld, "", ""};
  } else if (rev == account->rev) {
    return {};
  }
  account->rev = rev;
  account->data = data;
  account->commit = TextOf(message, "commit");
  return {};
}

std::set<int64_t> CaptureTruth::Seqs(const CapturedStream& stream, Fate fate) const {
  std::set<int64_t> seqs;
  for (const auto& [place, event] : events_) {
    if (place.first == stream.pds && event.fate == fate) seqs.insert(place.second);
  }
  return seqs;
}

}  // namespace penstock::test
