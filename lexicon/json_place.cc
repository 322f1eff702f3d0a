#include "lexicon/json_place.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "base/status.h"

namespace penstock::lexicon {
namespace {

namespace json = boost::json;

std::string_view KindName(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "true or false";
    case json::kind::int64:
    case json::kind::uint64:
      return "a whole number";
    case json::kind::double_:
      return "a number with a fraction";
    case json::kind::string:
      return "a text";
    case json::kind::array:
      return "a list";
    case json::kind::object:
      return "an object";
  }
  return "something else";
}

const json::value* Find(const json::object& object, std::string_view key) {
  return object.if_contains(json::string_view(key.data(), key.size()));
}

std::optional<int64_t> IntOf(const json::value& value) {
  if (const int64_t* number = value.if_int64()) return *number;
  return std::nullopt;  // a uint64 is one that int64 does not hold
}

}  // namespace

std::string Place::Path() const {
  if (up_ == nullptr) return {};
  std::string path = up_->Path();
  if (!path.empty()) path += '/';
  return path.append(key_.data() == nullptr ? std::to_string(index_) : std::string(key_));
}

absl::Status Place::Error(std::string_view what) const {
  const std::string path = Path();
  std::string text(file_);
  text.append(": ").append(path).append(path.empty() ? "" : ": ").append(what);
  return InvalidInputError(text);
}

absl::Status Place::Wants(std::string_view wanted, const json::value& is) const {
  return Error(std::string("must be ").append(wanted).append(", is ").append(KindName(is)));
}

absl::Status ReadText(const Place& at, const json::object& object, std::string_view key,
                      std::optional<std::string>* out) {
  const json::value* const value = Find(object, key);
  if (value == nullptr) return absl::OkStatus();
  const json::string* const text = value->if_string();
  if (text == nullptr) return at.Key(key).Wants("a text", *value);
  *out = std::string(View(*text));
  return absl::OkStatus();
}

absl::Status ReadTexts(const Place& at, const json::object& object, std::string_view key,
                       std::vector<std::string>* out) {
  const json::value* const value = Find(object, key);
  if (value == nullptr) return absl::OkStatus();
  const Place place = at.Key(key);
  const json::array* const array = value->if_array();
  if (array == nullptr) return place.Wants("a list of texts", *value);
  for (size_t i = 0; i < array->size(); ++i) {
    const json::string* const text = (*array)[i].if_string();
    if (text == nullptr) return place.Index(i).Wants("a text", (*array)[i]);
    out->emplace_back(View(*text));
  }
  return absl::OkStatus();
}

absl::Status ReadBool(const Place& at, const json::object& object, std::string_view key,
                      std::optional<bool>* out) {
  const json::value* const value = Find(object, key);
  if (value == nullptr) return absl::OkStatus();
  const bool* const truth = value->if_bool();
  if (truth == nullptr) return at.Key(key).Wants("true or false", *value);
  *out = *truth;
  return absl::OkStatus();
}

absl::Status ReadInt(const Place& at, const json::object& object, std::string_view key,
                     std::optional<int64_t>* out) {
  const json::value* const value = Find(object, key);
  if (value == nullptr) return absl::OkStatus();
  *out = IntOf(*value);
  return out->has_value() ? absl::OkStatus() : at.Key(key).Wants("a whole number of 64 bits", *value);
}

absl::Status ReadInts(const Place& at, const json::object& object, std::string_view key,
                      std::vector<int64_t>* out) {
  const json::value* const value = Find(object, key);
  if (value == nullptr) return absl::OkStatus();
  const Place place = at.Key(key);
  const json::array* const array = value->if_array();
  if (array == nullptr) return place.Wants("a list of whole numbers", *value);
  for (size_t i = 0; i < array->size(); ++i) {
    const std::optional<int64_t> number = IntOf((*array)[i]);
    if (!number) return place.Index(i).Wants("a whole number of 64 bits", (*array)[i]);
    out->push_back(*number);
  }
  return absl::OkStatus();
}

absl::Status ReadCount(const Place& at, const json::object& object, std::string_view key,
                       std::optional<uint64_t>* out) {
  std::optional<int64_t> number;
  if (absl::Status status = ReadInt(at, object, key, &number); !status.ok()) {
    return at.Key(key).Wants("a whole number of 0 or more", *Find(object, key));
  }
  if (!number) return absl::OkStatus();
  if (*number < 0) return at.Key(key).Error("must be 0 or more, is " + std::to_string(*number));
  *out = static_cast<uint64_t>(*number);
  return absl::OkStatus();
}

absl::Status WantObject(const Place& at, const json::value& value, const json::object** out) {
  *out = value.if_object();
  return *out != nullptr ? absl::OkStatus() : at.Wants("an object", value);
}

absl::Status ReadObject(const Place& at, const json::object& object, std::string_view key,
                        const json::object** out) {
  const json::value* const value = Find(object, key);
  *out = nullptr;
  return value == nullptr ? absl::OkStatus() : WantObject(at.Key(key), *value, out);
}

}  // namespace penstock::lexicon
