#pragma once

// The identifiers of atproto as types: `Parse` is the only way to one, so whoever holds a Did need not check
// it again. They are views: the owner of the bytes rides along (for a frame, the frame).
// Protocol 6.1, 7.4-7.7. Pure, thread-safe.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/attributes.h"

namespace penstock::repo {

// Each Parse returns nullopt for anything that the grammar in its protocol section does not accept. None
// allocates.

// did:method:id, any method (7.4), at most 2,048 bytes.
class Did {
 public:
  Did() = default;
  static std::optional<Did> Parse(std::string_view text ABSL_ATTRIBUTE_LIFETIME_BOUND);
  std::string_view text() const { return text_; }
  std::string_view method() const;  // "plc", "web", …
  // did:plc with its 24 base32 characters, or did:web of a bare host name: what can be resolved, and so
  // indexed.
  bool IsResolvable() const;
  friend bool operator==(const Did&, const Did&) = default;

 private:
  explicit Did(std::string_view text) : text_(text) {}
  std::string_view text_;
};

// Domain name (7.4), at most 253 bytes, as written; Normalized() is the lower-case form.
class Handle {
 public:
  static std::optional<Handle> Parse(std::string_view text ABSL_ATTRIBUTE_LIFETIME_BOUND);
  std::string_view text() const { return text_; }
  std::string Normalized() const;

 private:
  explicit Handle(std::string_view text) : text_(text) {}
  std::string_view text_;
};

// A DID if it starts with "did:", else a handle (7.4).
bool IsAtIdentifier(std::string_view text);

// Namespaced identifier (7.5), at most 317 bytes, authority at most 253.
class Nsid {
 public:
  Nsid() = default;
  static std::optional<Nsid> Parse(std::string_view text ABSL_ATTRIBUTE_LIFETIME_BOUND);
  std::string_view text() const { return text_; }
  std::string_view authority() const;  // everything before the last dot
  std::string_view name() const;       // everything after it

 private:
  explicit Nsid(std::string_view text) : text_(text) {}
  std::string_view text_;
};

// Record key (7.5), 1-512 bytes, not "." or "..".
class RecordKey {
 public:
  RecordKey() = default;
  static std::optional<RecordKey> Parse(std::string_view text ABSL_ATTRIBUTE_LIFETIME_BOUND);
  std::string_view text() const { return text_; }

 private:
  explicit RecordKey(std::string_view text) : text_(text) {}
  std::string_view text_;
};

// `<NSID>/<record-key>`, exactly one slash (4.5).
struct RepoPath {
  Nsid collection;
  RecordKey rkey;
  static std::optional<RepoPath> Parse(std::string_view text ABSL_ATTRIBUTE_LIFETIME_BOUND);
};

// Timestamp identifier (7.6): 13 characters whose byte order is time order. A value, not a view.
class Tid {
 public:
  Tid() = default;
  static std::optional<Tid> Parse(std::string_view text);
  // `micros` since the Unix epoch (53 bits), `clock_id` 10 bits.
  static Tid FromMicros(int64_t micros, uint32_t clock_id);
  int64_t micros() const { return static_cast<int64_t>(value_ >> 10); }
  uint64_t value() const { return value_; }
  std::string ToString() const;
  friend auto operator<=>(const Tid&, const Tid&) = default;

 private:
  explicit Tid(uint64_t value) : value_(value) {}
  uint64_t value_ = 0;
};

// at://AUTHORITY[/NSID[/RKEY]] (7.7), at most 8,192 bytes.
class AtUri {
 public:
  static std::optional<AtUri> Parse(std::string_view text ABSL_ATTRIBUTE_LIFETIME_BOUND);
  std::string_view text() const { return text_; }
  std::string_view authority() const { return authority_; }    // a DID or a handle
  std::string_view collection() const { return collection_; }  // empty if absent
  std::string_view rkey() const { return rkey_; }              // empty if absent

 private:
  AtUri() = default;
  std::string_view text_, authority_, collection_, rkey_;
};

// Lexicon datetime (7.7); `micros` since the Unix epoch (finer digits cut off). The calendar value must
// exist; no leap second.
struct Datetime {
  int64_t micros = 0;
  static std::optional<Datetime> Parse(std::string_view text);
};

// RFC 5646 well-formed language tag (7.7): the shape alone, as `language_syntax_*` of the interop vectors.
bool IsLanguageSyntax(std::string_view text);
// Also no duplicate variants or extension singletons (`language_parse_invalid`).
bool IsLanguage(std::string_view text);

// The lexicon formats `uri` and `cid`: shape checks, much wider than what this program itself accepts (7.7).
bool IsUriSyntax(std::string_view text);
bool IsCidSyntax(std::string_view text);

}  // namespace penstock::repo
