#include "cbor/json_in.h"

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cstddef>
#include <optional>
#include <vector>

#include "base/encoding.h"
#include "base/status.h"
#include "cbor/cid.h"
#include "cbor/record_data.h"
#include "cbor/writer.h"

namespace penstock::cbor {
namespace {

namespace json = boost::json;

std::string_view View(json::string_view text) { return std::string_view(text.data(), text.size()); }

// The value of a JSON number that is an integer however it is written; nullopt for a fraction or one beyond
// int64. Works on the digits: 9007199254740993.0 is exact here, as a double it would not be.
std::optional<int64_t> ExactInteger(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  std::string digits;
  int64_t exponent = 0;  // the value is `digits` times ten to this
  size_t at = 0;
  bool point = false;
  for (; at < text.size() && text[at] != 'e' && text[at] != 'E'; ++at) {
    if (text[at] == '.') {
      point = true;
      continue;
    }
    if (point) --exponent;
    if (text[at] != '0' || !digits.empty()) digits.push_back(text[at]);
  }
  if (digits.empty()) return 0;
  if (at < text.size()) {
    std::string_view written = text.substr(at + 1);
    if (written.starts_with('+')) written.remove_prefix(1);
    int32_t value;
    if (std::from_chars(written.data(), written.data() + written.size(), value).ec != std::errc())
      return std::nullopt;
    exponent += value;
  }
  for (; exponent < 0 && digits.back() == '0'; ++exponent) digits.pop_back();
  constexpr size_t kMaxDigits = 19;  // of 2^63
  if (exponent < 0 || digits.size() > kMaxDigits ||
      exponent > static_cast<int64_t>(kMaxDigits - digits.size())) {
    return std::nullopt;
  }
  digits.append(static_cast<size_t>(exponent), '0');
  if (negative) digits.insert(digits.begin(), '-');
  int64_t value;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

// Receives the parser's events and writes CBOR. Finished values lie one behind the other in `bytes_`; when a
// container ends, its values move behind the head that can only then be written.
class Handler {
 public:
  static constexpr size_t max_object_size = SIZE_MAX, max_array_size = SIZE_MAX;
  static constexpr size_t max_key_size = SIZE_MAX, max_string_size = SIZE_MAX;

  Handler(std::string_view input, const Limits& limits, DataModel model)
      : input_(input), limits_(limits), model_(model), writer_(&bytes_) {}

  std::string TakeBytes() { return std::move(bytes_); }
  // Why an event was refused; nullopt while none was.
  std::optional<Reject> error() const { return error_; }
  // A byte of the input near which the last event was.
  size_t offset() const { return offset_; }

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }

  bool on_array_begin(json::error_code& ec) {
    if (containers_.size() >= limits_.max_depth) return Fail(Reject::kJsonTooDeep, ec);
    containers_.push_back({bytes_.size(), pairs_.size(), keys_.size()});
    return true;
  }
  bool on_array_end(size_t count, json::error_code& ec) {
    if (count > limits_.max_elements) return Fail(Reject::kCborTooManyElements, ec);
    scratch_.clear();
    Writer(&scratch_).ArrayHeader(count);
    bytes_.insert(containers_.back().bytes_begin, scratch_);
    containers_.pop_back();
    return true;
  }

  bool on_object_begin(json::error_code&) {
    containers_.push_back({bytes_.size(), pairs_.size(), keys_.size()});
    return true;
  }
  bool on_object_end(size_t count, json::error_code& ec) {
    const Container object = containers_.back();
    containers_.pop_back();
    if (count > limits_.max_elements) return Fail(Reject::kCborTooManyElements, ec);
    const std::span<Pair> pairs(pairs_.data() + object.pairs_begin, pairs_.size() - object.pairs_begin);
    std::optional<Reject> reject;
    if (HasKey(pairs, "$link")) {
      reject = EndLink(object, pairs);
    } else if (HasKey(pairs, "$bytes")) {
      reject = EndBytes(object, pairs);
    } else {
      reject = EndMap(object, pairs);
    }
    if (reject) return Fail(*reject, ec);
    pairs_.resize(object.pairs_begin);
    keys_.resize(object.keys_begin);
    return true;
  }

  bool on_key_part(json::string_view part, size_t, json::error_code&) {
    text_.append(View(part));
    return true;
  }
  bool on_key(json::string_view last, size_t, json::error_code& ec) {
    const std::string_view key = WholeText(last);
    if (key.size() > limits_.max_key_bytes) return Fail(Reject::kCborMapKeyTooLong, ec);
    pairs_.push_back({keys_.size(), key.size(), bytes_.size(), 0});
    keys_.append(key);
    text_.clear();
    return true;
  }

  bool on_string_part(json::string_view part, size_t, json::error_code&) {
    text_.append(View(part));
    return true;
  }
  bool on_string(json::string_view last, size_t, json::error_code&) {
    writer_.Text(WholeText(last));
    text_.clear();
    return true;
  }

  bool on_number_part(json::string_view part, json::error_code&) {
    text_.append(View(part));
    return true;
  }
  bool on_int64(int64_t value, json::string_view last, json::error_code&) {
    Note(last);
    text_.clear();
    writer_.Int(value);
    return true;
  }
  bool on_uint64(uint64_t value, json::string_view last, json::error_code& ec) {
    Note(last);
    text_.clear();
    if (model_ == DataModel::kAtproto && value > static_cast<uint64_t>(INT64_MAX)) {
      return Fail(Reject::kJsonNumber, ec);
    }
    writer_.Integer({false, value});
    return true;
  }
  // Everything that is no plain integer of 64 bits. Its text decides; the double given here is rounded.
  bool on_double(double, json::string_view last, json::error_code& ec) {
    const bool ok =
        model_ == DataModel::kAtproto ? AtprotoNumber(WholeText(last)) : DrislNumber(WholeText(last));
    text_.clear();
    return ok || Fail(Reject::kJsonNumber, ec);
  }

  bool on_bool(bool value, json::error_code&) {
    writer_.Bool(value);
    return true;
  }
  bool on_null(json::error_code&) {
    writer_.Null();
    return true;
  }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }

 private:
  // An open array or object: where its part of each store begins.
  struct Container {
    size_t bytes_begin, pairs_begin, keys_begin;
  };
  struct Pair {
    size_t key_begin, key_size;      // in keys_
    size_t value_begin, value_size;  // in bytes_; the size is set when the object ends
  };

  bool Fail(Reject reject, json::error_code& ec) {
    error_ = reject;
    ec = json::error::syntax;  // any error stops the parser
    return false;
  }

  // Remembers where in the input we are. Texts that held escapes come from a buffer of the parser and tell
  // nothing.
  void Note(json::string_view text) {
    if (text.data() >= input_.data() && text.data() <= input_.data() + input_.size()) {
      offset_ = static_cast<size_t>(text.data() - input_.data());
    }
  }

  // The text whose earlier parts, if any, are in text_. A view of text_ or of `last`.
  std::string_view WholeText(json::string_view last) {
    Note(last);
    if (text_.empty()) return View(last);
    text_.append(View(last));
    return text_;
  }

  std::string_view KeyOf(const Pair& pair) const {
    return std::string_view(keys_).substr(pair.key_begin, pair.key_size);
  }
  Bytes ValueOf(const Pair& pair) const { return AsBytes(bytes_).subspan(pair.value_begin, pair.value_size); }

  bool HasKey(std::span<const Pair> pairs, std::string_view key) const {
    return std::any_of(pairs.begin(), pairs.end(), [&](const Pair& pair) { return KeyOf(pair) == key; });
  }

  // The text that is the one value of the object {"$link": …} or {"$bytes": …}; nullopt for any other shape.
  std::optional<std::string> OnlyText(const Container& object, std::span<const Pair> pairs) const {
    Reader reader(AsBytes(bytes_).subspan(object.bytes_begin));
    std::string_view text;
    if (pairs.size() != 1 || !reader.ReadText(&text)) return std::nullopt;
    return std::string(text);
  }

  std::optional<Reject> EndLink(const Container& object, std::span<const Pair> pairs) {
    const auto text = OnlyText(object, pairs);
    if (!text) return Reject::kJsonBadLink;
    const auto cid = Cid::FromString(*text);
    if (!cid.ok()) return Reject::kJsonBadLink;
    bytes_.resize(object.bytes_begin);
    writer_.Link(*cid);
    return std::nullopt;
  }

  std::optional<Reject> EndBytes(const Container& object, std::span<const Pair> pairs) {
    const auto text = OnlyText(object, pairs);
    if (!text) return Reject::kJsonBadBytes;
    const auto bytes = FromBase64(*text);
    if (!bytes) return Reject::kJsonBadBytes;
    bytes_.resize(object.bytes_begin);
    writer_.ByteString(*bytes);
    return std::nullopt;
  }

  std::optional<Reject> EndMap(const Container& object, std::span<Pair> pairs) {
    // An object that was a link or bytes could be one level deeper: in CBOR it is no container.
    if (containers_.size() >= limits_.max_depth) return Reject::kJsonTooDeep;
    for (size_t i = 0; i < pairs.size(); ++i) {
      const size_t end = i + 1 < pairs.size() ? pairs[i + 1].value_begin : bytes_.size();
      pairs[i].value_size = end - pairs[i].value_begin;
    }
    std::sort(pairs.begin(), pairs.end(),
              [this](const Pair& a, const Pair& b) { return KeyBefore(KeyOf(a), KeyOf(b)); });
    scratch_.clear();
    Writer map(&scratch_);
    map.MapHeader(pairs.size());
    for (size_t i = 0; i < pairs.size(); ++i) {
      if (i > 0 && KeyOf(pairs[i]) == KeyOf(pairs[i - 1])) return Reject::kCborMapKeyDuplicate;
      map.Text(KeyOf(pairs[i]));
      map.Raw(ValueOf(pairs[i]));
    }
    bytes_.resize(object.bytes_begin);
    bytes_.append(scratch_);
    return std::nullopt;
  }

  bool AtprotoNumber(std::string_view text) {
    const auto value = ExactInteger(text);
    if (value) writer_.Int(*value);
    return value.has_value();
  }

  bool DrislNumber(std::string_view text) {
    if (text.find_first_of(".eE") != std::string_view::npos) {
      double value = 0;
      return std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc() &&
             writer_.Float(value);
    }
    // An integer that is neither int64 nor uint64: it may still be one of -2^64 .. -2^63-1.
    if (text == "-18446744073709551616") {
      writer_.Integer({true, UINT64_MAX});
      return true;
    }
    uint64_t magnitude = 0;
    const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), magnitude);
    if (!text.starts_with('-') || error != std::errc() || magnitude == 0) return false;
    writer_.Integer({true, magnitude - 1});
    return true;
  }

  const std::string_view input_;
  const Limits limits_;
  const DataModel model_;
  std::string bytes_;    // the values that are finished
  Writer writer_;        // appends to bytes_
  std::string keys_;     // the keys of the objects that are open
  std::string text_;     // the earlier parts of a text or number
  std::string scratch_;  // for the container that ends
  std::vector<Pair> pairs_;
  std::vector<Container> containers_;
  std::optional<Reject> error_;
  size_t offset_ = 0;
};

Reject RejectOfParser(const json::error_code& ec) {
  if (ec == json::error::too_deep) return Reject::kJsonTooDeep;
  if (ec == json::error::exponent_overflow) return Reject::kJsonNumber;
  return Reject::kJsonMalformed;
}

}  // namespace

absl::StatusOr<std::string> JsonToCbor(std::string_view text, const Limits& limits, DataModel model) {
  Limits bounded = limits;
  bounded.max_depth = std::min(bounded.max_depth, kMaxDepth);
  json::parse_options options;
  options.max_depth = bounded.max_depth + 1;  // the handler counts too, and knows links and bytes from maps
  json::basic_parser<Handler> parser(options, text, bounded, model);
  json::error_code ec;
  const size_t consumed = parser.write_some(/*more=*/false, text.data(), text.size(), ec);
  if (ec) {
    const Reject reject = parser.handler().error().value_or(RejectOfParser(ec));
    return RejectError(reject, "near byte " + std::to_string(parser.handler().offset()));
  }
  if (consumed < text.size()) return RejectError(Reject::kJsonMalformed, "more than one value");
  std::string item = parser.handler().TakeBytes();
  if (model == DataModel::kAtproto) RETURN_IF_ERROR(CheckData(AsBytes(item), nullptr));
  return item;
}

}  // namespace penstock::cbor
