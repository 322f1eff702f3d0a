#include "cbor/json_out.h"

#include <charconv>
#include <cstring>

#include "base/encoding.h"
#include "cbor/reader.h"

namespace penstock::cbor {
namespace {

constexpr uint64_t kOnes = 0x0101010101010101u, kHighBits = 0x8080808080808080u;

constexpr uint64_t ZeroBytes(uint64_t word) { return (word - kOnes) & ~word & kHighBits; }

// Not zero if one of the eight bytes is a control character, a quote or a backslash.
constexpr uint64_t BytesToEscape(uint64_t word) {
  const uint64_t controls = (word - kOnes * 0x20) & ~word & kHighBits;
  return controls | ZeroBytes(word ^ (kOnes * '"')) | ZeroBytes(word ^ (kOnes * '\\'));
}

bool NeedsEscape(char c) { return static_cast<uint8_t>(c) < 0x20 || c == '"' || c == '\\'; }

// How many characters from `at` on can be copied as they are.
size_t PlainRun(const char* at, const char* end) {
  const char* const start = at;
  for (; end - at >= 8; at += 8) {
    uint64_t word;
    std::memcpy(&word, at, sizeof word);
    if (BytesToEscape(word) != 0) break;
  }
  while (at < end && !NeedsEscape(*at)) ++at;
  return static_cast<size_t>(at - start);
}

void AppendEscape(char c, std::string* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  switch (c) {
    case '"':
      out->append("\\\"");
      return;
    case '\\':
      out->append("\\\\");
      return;
    case '\b':
      out->append("\\b");
      return;
    case '\f':
      out->append("\\f");
      return;
    case '\n':
      out->append("\\n");
      return;
    case '\r':
      out->append("\\r");
      return;
    case '\t':
      out->append("\\t");
      return;
    default: {
      const char escape[] = {'\\', 'u', '0', '0', kHex[static_cast<uint8_t>(c) >> 4], kHex[c & 15]};
      out->append(escape, sizeof escape);
    }
  }
}

// One item's way into JSON. The first failure stays in the reader.
class JsonWriter {
 public:
  JsonWriter(Reader* reader, const JsonOptions& options, std::string* out)
      : reader_(*reader), options_(options), out_(*out) {}

  // `depth` counts the containers around this item.
  bool Item(uint32_t depth) {
    switch (reader_.Peek()) {
      case Kind::kUint:
      case Kind::kNegative:
        return Number();
      case Kind::kBytes: {
        Bytes bytes;
        if (!reader_.ReadBytes(&bytes)) return false;
        out_.append("{\"$bytes\":\"");
        AppendBase64(bytes, &out_);
        out_.append("\"}");
        return true;
      }
      case Kind::kText: {
        std::string_view text;
        if (!reader_.ReadText(&text)) return false;
        String(text);
        return true;
      }
      case Kind::kArray:
        return depth < kMaxDepth ? Array(depth) : reader_.Fail(Reject::kCborTooDeep);
      case Kind::kMap:
        return depth < kMaxDepth ? Map(depth) : reader_.Fail(Reject::kCborTooDeep);
      case Kind::kLink: {
        CidView cid;
        if (!reader_.ReadLink(&cid)) return false;
        out_.append("{\"$link\":\"");
        cid.AppendTo(&out_);
        out_.append("\"}");
        return true;
      }
      case Kind::kBool: {
        bool value;
        if (!reader_.ReadBool(&value)) return false;
        out_.append(value ? "true" : "false");
        return true;
      }
      case Kind::kNull:
        if (!reader_.ReadNull()) return false;
        out_.append("null");
        return true;
      case Kind::kFloat:
        return Float();
      case Kind::kEnd:
      case Kind::kInvalid:
        break;
    }
    return reader_.Skip();  // names what is wrong
  }

  bool lossy() const { return lossy_; }

 private:
  bool Number() {
    Integer integer;
    if (!reader_.ReadInteger(&integer)) return false;
    if (integer.negative && integer.value == UINT64_MAX) {
      out_.append("-18446744073709551616");  // the one magnitude beyond uint64_t
      return true;
    }
    char digits[24];
    char* at = digits;
    if (integer.negative) *at++ = '-';
    at = std::to_chars(at, digits + sizeof digits, integer.value + (integer.negative ? 1 : 0)).ptr;
    out_.append(digits, static_cast<size_t>(at - digits));
    return true;
  }

  bool Float() {
    double value;
    if (!reader_.ReadFloat(&value)) return false;
    char digits[32];
    const char* const end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    const std::string_view text(digits, static_cast<size_t>(end - digits));
    out_.append(text);
    // Without this, 1.0 would come back as the integer 1.
    if (text.find_first_of(".e") == std::string_view::npos) out_.append(".0");
    return true;
  }

  bool Array(uint32_t depth) {
    uint64_t count;
    if (!reader_.ReadArrayHeader(&count)) return false;
    out_.push_back('[');
    for (uint64_t i = 0; i < count; ++i) {
      if (i != 0) out_.push_back(',');
      if (!Item(depth + 1)) return false;
    }
    out_.push_back(']');
    return true;
  }

  bool Map(uint32_t depth) {
    MapCursor map;
    if (!reader_.BeginMap(&map)) return false;
    out_.push_back('{');
    std::string_view key;
    for (bool first = true; reader_.NextKey(&map, &key); first = false) {
      if (!first) out_.push_back(',');
      String(key);
      out_.push_back(':');
      if (!Item(depth + 1)) return false;
    }
    out_.push_back('}');
    return reader_.ok();
  }

  void String(std::string_view text) {
    if (options_.replace_nul && std::memchr(text.data(), '\0', text.size()) != nullptr) {
      StringWithoutNul(text);
    } else {
      AppendJsonString(text, &out_);
    }
  }

  void StringWithoutNul(std::string_view text) {
    lossy_ = true;
    out_.push_back('"');
    for (char c : text) {
      if (c == '\0') {
        out_.append("\xEF\xBF\xBD");  // U+FFFD
      } else if (NeedsEscape(c)) {
        AppendEscape(c, &out_);
      } else {
        out_.push_back(c);
      }
    }
    out_.push_back('"');
  }

  Reader& reader_;
  const JsonOptions& options_;
  std::string& out_;
  bool lossy_ = false;
};

}  // namespace

void AppendJsonString(std::string_view text, std::string* out) {
  out->push_back('"');
  const char* at = text.data();
  const char* const end = at + text.size();
  for (;;) {
    const size_t run = PlainRun(at, end);
    out->append(at, run);
    at += run;
    if (at == end) break;
    AppendEscape(*at++, out);
  }
  out->push_back('"');
}

absl::Status AppendJson(Bytes item, const JsonOptions& options, std::string* out, bool* lossy) {
  const size_t before = out->size();
  Reader reader(item);
  JsonWriter writer(&reader, options, out);
  if (writer.Item(0) && !reader.AtEnd()) (void)reader.Fail(Reject::kCborTrailingBytes);
  if (!reader.ok()) {
    out->resize(before);
    return reader.status();
  }
  if (lossy != nullptr) *lossy = writer.lossy();
  return absl::OkStatus();
}

}  // namespace penstock::cbor
