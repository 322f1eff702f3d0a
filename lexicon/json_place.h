#pragma once

// Reading JSON by hand with errors that say where and what instead. Private to lexicon/document*.cc.

#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace penstock::lexicon {

// Where in a file we are: a chain of keys up the stack. Costs nothing until somebody asks for the text.
class Place {
 public:
  explicit Place(std::string_view file) : file_(file) {}
  Place Key(std::string_view key) const { return Place(this, key, 0); }
  Place Index(size_t index) const { return Place(this, {}, index); }

  std::string Path() const;  // "defs/main/record/required/0"
  // "FILE: PATH: WHAT".
  absl::Status Error(std::string_view what) const;
  // "… must be WANTED, is a text".
  absl::Status Wants(std::string_view wanted, const boost::json::value& is) const;

 private:
  Place(const Place* up, std::string_view key, size_t index)
      : file_(up->file_), up_(up), key_(key), index_(index) {}

  std::string_view file_;
  const Place* up_ = nullptr;
  std::string_view key_;  // of an element of an array: null
  size_t index_ = 0;
};

inline std::string_view View(boost::json::string_view text) { return {text.data(), text.size()}; }

// Each reads object[key] if it is there; `*out` stays as it is otherwise.
absl::Status ReadText(const Place& at, const boost::json::object& object, std::string_view key,
                      std::optional<std::string>* out);
absl::Status ReadTexts(const Place& at, const boost::json::object& object, std::string_view key,
                       std::vector<std::string>* out);
absl::Status ReadBool(const Place& at, const boost::json::object& object, std::string_view key,
                      std::optional<bool>* out);
absl::Status ReadInt(const Place& at, const boost::json::object& object, std::string_view key,
                     std::optional<int64_t>* out);
absl::Status ReadInts(const Place& at, const boost::json::object& object, std::string_view key,
                      std::vector<int64_t>* out);
absl::Status ReadCount(const Place& at, const boost::json::object& object, std::string_view key,
                       std::optional<uint64_t>* out);
// The value as an object, or why not.
absl::Status WantObject(const Place& at, const boost::json::value& value, const boost::json::object** out);
// object[key] as an object; `*out` is null when it is absent.
absl::Status ReadObject(const Place& at, const boost::json::object& object, std::string_view key,
                        const boost::json::object** out);

}  // namespace penstock::lexicon
