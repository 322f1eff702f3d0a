#include "identity/recorded.h"

#include <algorithm>
#include <boost/json.hpp>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "base/status.h"
#include "identity/did_document.h"
#include "repo/syntax.h"

namespace penstock::identity {
namespace {

namespace json = boost::json;

std::string_view View(json::string_view text) { return std::string_view(text.data(), text.size()); }

absl::StatusOr<int64_t> SeqOf(const json::value& value) {
  const int64_t* seq = value.if_int64();
  if (seq == nullptr || *seq < 0) return InvalidInputError("from_seq is not a seq");
  return *seq;
}

// Where the version begins; nullopt if it is never in force.
absl::StatusOr<std::optional<int64_t>> FromSeq(const json::object& line, std::string_view member) {
  const json::value* value = line.if_contains("from_seq");
  if (value == nullptr || value->is_null()) return 0;
  const json::object* streams = value->if_object();
  if (streams == nullptr) return SeqOf(*value);
  if (member.empty()) return InvalidInputError("from_seq is an object, and no member of it was chosen");
  value = streams->if_contains(json::string_view(member.data(), member.size()));
  if (value == nullptr) return InvalidInputError("from_seq has no member \"" + std::string(member) + "\"");
  if (value->is_null()) return std::nullopt;
  return SeqOf(*value);
}

}  // namespace

absl::Status RecordedResolver::Load(std::istream& lines, std::string_view name, const Scope& scope) {
  if (!lines) return InvalidInputError(std::string(name) + ": cannot be read");
  size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (absl::Status status = LoadLine(line, scope); !status.ok()) {
      return InvalidInputError(std::string(name) + ":" + std::to_string(number) + ": " +
                               std::string(Message(status)));
    }
  }
  if (lines.bad()) return InvalidInputError(std::string(name) + ": cannot be read");
  return absl::OkStatus();
}

absl::Status RecordedResolver::LoadLine(std::string_view text, const Scope& scope) {
  json::monotonic_resource memory;
  json::error_code error;
  const json::value value = json::parse(json::string_view(text.data(), text.size()), error, &memory);
  if (error) return InvalidInputError("no JSON");
  const json::object* line = value.if_object();
  const json::value* did = line == nullptr ? nullptr : line->if_contains("did");
  if (did == nullptr || !did->is_string() || !repo::Did::Parse(View(did->get_string())))
    return InvalidInputError("no DID in `did`");
  const json::value* doc = line->if_contains("doc");
  if (doc == nullptr || !(doc->is_object() || doc->is_null()))
    return InvalidInputError("no document in `doc`");
  ASSIGN_OR_RETURN(const std::optional<int64_t> from_seq, FromSeq(*line, scope.member));
  if (!from_seq) return absl::OkStatus();

  const std::string_view name = View(did->get_string());
  auto identity = std::make_shared<Identity>(doc->is_null() ? NoIdentity(name, Reject::kDidNotFound)
                                                            : ParseDidDocument(name, json::serialize(*doc)));
  identity->asked_us = kAlwaysCurrent;
  std::vector<Version>& versions = versions_[ToAbsl(name)];
  const auto after =
      std::upper_bound(versions.begin(), versions.end(), *from_seq,
                       [](int64_t seq, const Version& version) { return seq < version.from_seq; });
  versions.insert(after, Version{*from_seq, scope.source, std::move(identity)});
  ++version_count_;
  return absl::OkStatus();
}

IdentityPtr RecordedResolver::Find(std::string_view did, const Position& position) {
  const auto found = versions_.find(ToAbsl(did));
  if (found == versions_.end()) return nullptr;
  const std::vector<Version>& versions = found->second;
  const auto in_force = std::find_if(versions.rbegin(), versions.rend(), [&](const Version& version) {
    return version.from_seq <= position.seq && (version.source.empty() || version.source == position.source);
  });
  return in_force == versions.rend() ? nullptr : in_force->identity;
}

void RecordedResolver::Resolve(std::string_view did, const Position& position, Ask /*ask*/, Done done) {
  Answer answer;
  answer.identity = Find(did, position);
  if (answer.identity == nullptr) {
    auto nobody = std::make_shared<Identity>(NoIdentity(did, Reject::kDidNotFound));
    nobody->asked_us = kAlwaysCurrent;
    answer.identity = std::move(nobody);
  }
  done(answer);
}

void RecordedResolver::Purge(std::string_view /*did*/) {}

void RecordedResolver::Keep(IdentityPtr /*identity*/) {}

}  // namespace penstock::identity
