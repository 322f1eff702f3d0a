#include "net/xrpc_answers.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <utility>

#include "base/encoding.h"
#include "base/status.h"
#include "cbor/cid.h"
#include "net/url.h"
#include "repo/syntax.h"

namespace penstock::net {
namespace {

namespace json = boost::json;

constexpr size_t kMaxNameBytes = 64;      // of errors and statuses
constexpr size_t kMaxCursorBytes = 4096;  // it travels in a URL
constexpr size_t kBlessedCidText = 59;

json::object ParseObject(std::string_view body) {
  boost::system::error_code ec;
  json::value value = json::parse(json::string_view(body.data(), body.size()), ec);
  if (ec || !value.is_object()) return {};
  return std::move(value.get_object());
}

const json::value* Member(const json::object& object, std::string_view name) {
  return object.if_contains(json::string_view(name.data(), name.size()));
}

// Empty if it is absent or of another type. A view into `object`.
std::string_view Text(const json::object& object, std::string_view name) {
  const json::value* const value = Member(object, name);
  if (value == nullptr || !value->is_string()) return {};
  return {value->get_string().data(), value->get_string().size()};
}

// A name fit for a log: letters, digits and "-_" as lexicons write them, else nothing.
std::string Name(std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
  return plain && text.size() <= kMaxNameBytes ? std::string(text) : std::string();
}

std::string Rev(std::string_view text) {
  return repo::Tid::Parse(text).has_value() ? std::string(text) : std::string();
}

std::string CommitCid(std::string_view text) {
  if (text.size() != kBlessedCidText || text[0] != 'b') return {};
  const std::optional<std::vector<uint8_t>> bytes = FromBase32(text.substr(1));
  cbor::CidView cid;
  const bool good = bytes.has_value() && cbor::CidView::Parse(*bytes, &cid) && cid.IsBlessedData();
  return good ? std::string(text) : std::string();
}

std::string Did(std::string_view text) {
  return repo::Did::Parse(text).has_value() ? std::string(text) : std::string();
}

std::string HostName(std::string_view text) {
  if (text.find("://") != std::string_view::npos) return {};
  const absl::StatusOr<Url> url = ParseOrigin("https://" + std::string(text));
  return url.ok() ? url->Authority() : std::string();
}

ListedRepo ReadRepo(const json::object& entry) {
  ListedRepo repo;
  repo.did = Did(Text(entry, "did"));
  repo.rev = Rev(Text(entry, "rev"));
  repo.head = CommitCid(Text(entry, "head"));
  repo.status = Name(Text(entry, "status"));
  const json::value* const active = Member(entry, "active");
  repo.active = active == nullptr || !active->is_bool() || active->get_bool();
  return repo;
}

ListedHost ReadHost(const json::object& entry) {
  ListedHost host;
  host.hostname = HostName(Text(entry, "hostname"));
  host.status = Name(Text(entry, "status"));
  const json::value* const count = Member(entry, "accountCount");
  if (count != nullptr && count->is_int64()) host.account_count = std::max<int64_t>(count->get_int64(), 0);
  return host;
}

bool IsUsable(const ListedRepo& repo) { return !repo.did.empty(); }
bool IsUsable(const ListedHost& host) { return !host.hostname.empty(); }

template <typename Entry, typename Read>
absl::Status ReadPage(std::string_view body, std::string_view name, std::string_view asked, size_t most, Read read,
                      ListedPage<Entry>* page) {
  *page = {};
  const json::object object = ParseObject(body);
  const json::value* const entries = Member(object, name);
  if (entries == nullptr || !entries->is_array()) return UnavailableError("no page of " + std::string(name));
  const json::value* const cursor = Member(object, "cursor");
  if (cursor != nullptr && !cursor->is_null()) {
    // Taken for the end, it would hide the rest.
    const bool usable = cursor->is_string() && cursor->get_string().size() <= kMaxCursorBytes;
    if (!usable) return FailedPreconditionError("the page has a cursor that is none");
    page->cursor = std::string(Text(object, "cursor"));
  }
  if (!page->cursor.empty() && page->cursor == asked) return FailedPreconditionError("the page repeats its cursor");
  if (entries->get_array().size() > most) return FailedPreconditionError("the page has more entries than were asked for");
  for (const json::value& entry : entries->get_array()) {
    Entry one = entry.is_object() ? read(entry.get_object()) : Entry();
    if (IsUsable(one)) {
      page->entries.push_back(std::move(one));
    } else {
      ++page->malformed;
    }
  }
  return absl::OkStatus();
}

}  // namespace

XrpcOutcome JudgeAnswer(int http_status, std::string_view url, std::string_view body) {
  XrpcOutcome outcome;
  if (http_status >= 200 && http_status < 300) return outcome;
  outcome.error = Name(Text(ParseObject(body), "error"));
  std::string text = std::string(url) + ": status " + std::to_string(http_status);
  if (!outcome.error.empty()) text += ", " + outcome.error;
  if (http_status == 501 || outcome.error == kMethodNotServed || outcome.error == "XRPCNotSupported") {
    outcome.error = kMethodNotServed;
    outcome.status = FailedPreconditionError(text);
  } else if (http_status == 408 || http_status == 425 || http_status == 429 || http_status >= 500) {
    outcome.status = UnavailableError(text);
    outcome.limited = http_status == 429;
  } else if (http_status == 404 || outcome.error == "RepoNotFound" || outcome.error == "RecordNotFound") {
    outcome.status = NotFoundError(text);
  } else {
    outcome.status = FailedPreconditionError(text);
  }
  return outcome;
}

absl::Status ReadRepoStatus(std::string_view body, std::string_view did, RepoStatus* result) {
  const json::object object = ParseObject(body);
  const json::value* const active = Member(object, "active");
  if (Text(object, "did") != did || active == nullptr || !active->is_bool()) {
    return UnavailableError("no status of " + std::string(did));
  }
  result->active = active->get_bool();
  result->status = Name(Text(object, "status"));
  result->rev = Rev(Text(object, "rev"));
  return absl::OkStatus();
}

absl::Status ReadLatestCommit(std::string_view body, LatestCommit* result) {
  const json::object object = ParseObject(body);
  result->cid = CommitCid(Text(object, "cid"));
  result->rev = Rev(Text(object, "rev"));
  if (result->cid.empty() || result->rev.empty()) return UnavailableError("no commit with its rev");
  return absl::OkStatus();
}

absl::Status ReadCollections(std::string_view body, std::string_view did, std::vector<std::string>* result) {
  result->clear();
  const json::object object = ParseObject(body);
  const json::value* const collections = Member(object, "collections");
  if (Text(object, "did") != did || collections == nullptr || !collections->is_array()) {
    return UnavailableError("no description of " + std::string(did));
  }
  for (const json::value& collection : collections->get_array()) {
    if (!collection.is_string()) continue;
    const std::string_view text(collection.get_string().data(), collection.get_string().size());
    if (repo::Nsid::Parse(text).has_value()) result->emplace_back(text);
  }
  return absl::OkStatus();
}

absl::Status ReadRepoPage(std::string_view body, std::string_view cursor, size_t most, ListedPage<ListedRepo>* result) {
  return ReadPage(body, "repos", cursor, most, ReadRepo, result);
}

absl::Status ReadHostPage(std::string_view body, std::string_view cursor, size_t most, ListedPage<ListedHost>* result) {
  return ReadPage(body, "hosts", cursor, most, ReadHost, result);
}

}  // namespace penstock::net
