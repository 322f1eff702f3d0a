// Identifiers: DID, handle, NSID, record key, path, AT-URI, and the two loose shapes. TIDs are in
// syntax_tid.cc, datetimes in syntax_datetime.cc, language tags in syntax_language.cc. Lengths are compared
// first: everything after is linear in them.

#include "repo/syntax.h"

#include "repo/syntax_chars.h"

namespace penstock::repo {
namespace {

using chars::All;
using chars::Is;

constexpr size_t kMaxDidBytes = 2048;
constexpr size_t kMaxHandleBytes = 253;  // of a DNS name; also of an NSID's authority
constexpr size_t kMaxLabelBytes = 63;
constexpr size_t kMaxNsidBytes = 317;  // authority, dot, and a name of one label
constexpr size_t kMaxRecordKeyBytes = 512;
constexpr size_t kMaxUriBytes = 8192;
constexpr size_t kMaxSchemeBytes = 81;
constexpr size_t kMinCidBytes = 8, kMaxCidBytes = 256;
constexpr size_t kPlcIdBytes = 24;

// [a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?
bool IsLabel(std::string_view text) {
  return !text.empty() && text.size() <= kMaxLabelBytes && Is(text.front(), chars::kAlnum) &&
         Is(text.back(), chars::kAlnum) && All(text, chars::kAlnum | chars::kHyphen);
}

// Splits off the text before the first dot. False, and nothing done, when there is no dot.
bool TakeUntilDot(std::string_view* rest, std::string_view* label) {
  const size_t dot = rest->find('.');
  if (dot == std::string_view::npos) return false;
  *label = rest->substr(0, dot);
  rest->remove_prefix(dot + 1);
  return true;
}

}  // namespace

std::optional<Did> Did::Parse(std::string_view text) {
  constexpr std::string_view kScheme = "did:";
  if (text.size() > kMaxDidBytes || !text.starts_with(kScheme)) return std::nullopt;
  const size_t colon = text.find(':', kScheme.size());
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view method = text.substr(kScheme.size(), colon - kScheme.size());
  if (method.empty() || !All(method, chars::kLower)) return std::nullopt;
  const std::string_view id = text.substr(colon + 1);
  if (id.empty() || !All(id, chars::kAlnum | chars::kDidMark)) return std::nullopt;
  if (id.back() == ':' || id.back() == '%') return std::nullopt;
  return Did(text);
}

std::string_view Did::method() const {
  if (text_.empty()) return {};
  const std::string_view rest = text_.substr(4);
  return rest.substr(0, rest.find(':'));
}

bool Did::IsResolvable() const {
  constexpr std::string_view kPlc = "did:plc:", kWeb = "did:web:";
  if (text_.starts_with(kPlc)) {
    const std::string_view id = text_.substr(kPlc.size());
    return id.size() == kPlcIdBytes && All(id, chars::kBase32);
  }
  return text_.starts_with(kWeb) && Handle::Parse(text_.substr(kWeb.size())).has_value();
}

std::optional<Handle> Handle::Parse(std::string_view text) {
  if (text.size() > kMaxHandleBytes) return std::nullopt;
  std::string_view rest = text, label;
  size_t before_last = 0;
  for (; TakeUntilDot(&rest, &label); ++before_last) {
    if (!IsLabel(label)) return std::nullopt;
  }
  // The top-level domain starts with a letter: an IP address is no handle.
  if (before_last == 0 || !IsLabel(rest) || !Is(rest.front(), chars::kAlpha)) return std::nullopt;
  return Handle(text);
}

std::string Handle::Normalized() const {
  std::string lower(text_);
  for (char& c : lower) c = chars::ToLower(c);
  return lower;
}

bool IsAtIdentifier(std::string_view text) {
  return text.starts_with("did:") ? Did::Parse(text).has_value() : Handle::Parse(text).has_value();
}

std::optional<Nsid> Nsid::Parse(std::string_view text) {
  if (text.size() > kMaxNsidBytes) return std::nullopt;
  std::string_view rest = text, label;
  size_t before_last = 0;
  for (; TakeUntilDot(&rest, &label); ++before_last) {
    if (!IsLabel(label)) return std::nullopt;
  }
  // Reversed domain name of at least two labels, then the name: letters and digits only.
  if (before_last < 2 || !Is(text.front(), chars::kAlpha)) return std::nullopt;
  if (rest.empty() || rest.size() > kMaxLabelBytes || !Is(rest.front(), chars::kAlpha)) return std::nullopt;
  if (!All(rest, chars::kAlnum)) return std::nullopt;
  if (text.size() - rest.size() - 1 > kMaxHandleBytes) return std::nullopt;
  return Nsid(text);
}

std::string_view Nsid::authority() const {
  const size_t dot = text_.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : text_.substr(0, dot);
}

std::string_view Nsid::name() const {
  const size_t dot = text_.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : text_.substr(dot + 1);
}

std::optional<RecordKey> RecordKey::Parse(std::string_view text) {
  if (text.empty() || text.size() > kMaxRecordKeyBytes) return std::nullopt;
  if (text == "." || text == "..") return std::nullopt;
  if (!All(text, chars::kAlnum | chars::kRecordKeyMark)) return std::nullopt;
  return RecordKey(text);
}

std::optional<RepoPath> RepoPath::Parse(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  // A second slash is no character of a record key.
  const std::optional<RecordKey> rkey = RecordKey::Parse(text.substr(slash + 1));
  const std::optional<Nsid> collection = Nsid::Parse(text.substr(0, slash));
  if (!collection || !rkey) return std::nullopt;
  return RepoPath{*collection, *rkey};
}

std::optional<AtUri> AtUri::Parse(std::string_view text) {
  constexpr std::string_view kScheme = "at://";
  if (text.size() > kMaxUriBytes || !text.starts_with(kScheme)) return std::nullopt;
  AtUri uri;
  uri.text_ = text;
  const std::string_view rest = text.substr(kScheme.size());
  const size_t slash = rest.find('/');
  uri.authority_ = rest.substr(0, slash);
  if (!IsAtIdentifier(uri.authority_)) return std::nullopt;
  if (slash == std::string_view::npos) return uri;

  const std::string_view path = rest.substr(slash + 1);
  const size_t second = path.find('/');
  uri.collection_ = path.substr(0, second);
  if (!Nsid::Parse(uri.collection_)) return std::nullopt;
  if (second == std::string_view::npos) return uri;

  uri.rkey_ = path.substr(second + 1);
  if (!RecordKey::Parse(uri.rkey_)) return std::nullopt;
  return uri;
}

bool IsUriSyntax(std::string_view text) {
  if (text.size() > kMaxUriBytes || text.empty() || !Is(text.front(), chars::kLower)) return false;
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon > kMaxSchemeBytes) return false;
  if (!All(text.substr(0, colon), chars::kLower | chars::kSchemeMark)) return false;
  const std::string_view rest = text.substr(colon + 1);
  return !rest.empty() && All(rest, chars::kGraph);
}

bool IsCidSyntax(std::string_view text) {
  // "Qmb" is how a base58 CIDv0 may start; the format wants version 1.
  return text.size() >= kMinCidBytes && text.size() <= kMaxCidBytes && !text.starts_with("Qmb") &&
         All(text, chars::kAlnum | chars::kCidMark);
}

}  // namespace penstock::repo
