#include "firehose/manifest.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <cstdio>
#include <string_view>
#include <system_error>

#include "base/status.h"
#include "firehose/file.h"

namespace penstock::firehose {
namespace {

namespace json = boost::json;

constexpr std::string_view kManifestName = "manifest.json";
constexpr std::string_view kSegmentSuffix = ".frames.zst";
// About 300 bytes a segment: room for more segments than a disk holds.
constexpr size_t kMaxManifestBytes = 256 * 1024 * 1024;

std::string Numbered(uint64_t number, std::string_view suffix) {
  char text[32];
  std::snprintf(text, sizeof text, "%06llu", static_cast<unsigned long long>(number));
  return text + std::string(suffix);
}

json::value OrNull(const std::optional<int64_t>& value) {
  return value ? json::value(*value) : json::value(nullptr);
}

// What a manifest must say and does not.
class Fields {
 public:
  explicit Fields(const json::value& value) : object_(value.if_object()) {}

  bool Signed(std::string_view name, int64_t* out) {
    const json::value* value = Find(name);
    if (value == nullptr || !value->is_int64()) return ok_ = false;
    *out = value->get_int64();
    return true;
  }
  bool Unsigned(std::string_view name, uint64_t* out) {
    int64_t value = 0;
    if (!Signed(name, &value)) return false;
    if (value < 0) return ok_ = false;
    *out = static_cast<uint64_t>(value);
    return true;
  }
  bool Optional(std::string_view name, std::optional<int64_t>* out) {
    const json::value* value = Find(name);
    if (value == nullptr) return ok_ = false;
    if (value->is_null()) return true;
    int64_t number = 0;
    if (!Signed(name, &number)) return false;
    *out = number;
    return true;
  }
  bool Text(std::string_view name, std::string* out) {
    const json::value* value = Find(name);
    if (value == nullptr || !value->is_string()) return ok_ = false;
    *out = std::string(value->get_string());
    return true;
  }
  const json::array* Array(std::string_view name) {
    const json::value* value = Find(name);
    if (value == nullptr || !value->is_array()) ok_ = false;
    return ok_ ? &value->get_array() : nullptr;
  }
  bool ok() const { return ok_; }

 private:
  const json::value* Find(std::string_view name) {
    return object_ == nullptr ? nullptr : object_->if_contains(json::string_view(name.data(), name.size()));
  }

  const json::object* object_;
  bool ok_ = true;
};

bool ReadSegment(const json::value& value, SegmentInfo* segment) {
  Fields fields(value);
  std::string file;
  return fields.Unsigned("number", &segment->number) && fields.Text("file", &file) &&
         file == SegmentFileName(segment->number) && fields.Unsigned("frames", &segment->frames) &&
         fields.Unsigned("bytes", &segment->bytes) &&
         fields.Unsigned("stored_bytes", &segment->stored_bytes) &&
         fields.Optional("cursor_before", &segment->cursor_before) &&
         fields.Optional("first_seq", &segment->first_seq) &&
         fields.Optional("last_seq", &segment->last_seq) &&
         fields.Signed("first_arrival_us", &segment->first_arrival_us) &&
         fields.Signed("last_arrival_us", &segment->last_arrival_us);
}

json::object WriteSegment(const SegmentInfo& segment) {
  json::object object;
  object["number"] = static_cast<int64_t>(segment.number);
  object["file"] = SegmentFileName(segment.number);
  object["times"] = TimesFileName(segment.number);
  object["frames"] = static_cast<int64_t>(segment.frames);
  object["bytes"] = static_cast<int64_t>(segment.bytes);
  object["stored_bytes"] = static_cast<int64_t>(segment.stored_bytes);
  object["cursor_before"] = OrNull(segment.cursor_before);
  object["first_seq"] = OrNull(segment.first_seq);
  object["last_seq"] = OrNull(segment.last_seq);
  object["first_arrival_us"] = segment.first_arrival_us;
  object["last_arrival_us"] = segment.last_arrival_us;
  return object;
}

}  // namespace

std::string SegmentFileName(uint64_t number) { return Numbered(number, kSegmentSuffix); }
std::string TimesFileName(uint64_t number) { return Numbered(number, ".times"); }

absl::StatusOr<std::vector<uint64_t>> ListSegments(const std::filesystem::path& folder) {
  std::error_code error;
  std::vector<uint64_t> numbers;
  std::filesystem::directory_iterator entry(folder, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.ends_with(kSegmentSuffix)) continue;
    uint64_t number = 0;
    const char* last = name.data() + name.size() - kSegmentSuffix.size();
    const auto parsed = std::from_chars(name.data(), last, number);
    if (parsed.ec == std::errc() && parsed.ptr == last && name == SegmentFileName(number))
      numbers.push_back(number);
  }
  if (error) return UnavailableError("cannot list " + folder.string() + ": " + error.message());
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

absl::StatusOr<Manifest> ReadManifest(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kManifestName;
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaxManifestBytes));
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  if (error) return DataLossError(path.string() + " is no JSON: " + error.message());
  Fields fields(value);
  int64_t version = 0;
  Manifest manifest;
  if (!fields.Signed("version", &version)) return DataLossError(path.string() + " has no version");
  if (version != Manifest::kVersion) {
    return FailedPreconditionError(path.string() + " has version " + std::to_string(version) +
                                   ", this program knows " + std::to_string(Manifest::kVersion));
  }
  const json::array* segments = fields.Array("segments");
  if (!fields.Text("host", &manifest.host) || segments == nullptr) {
    return DataLossError(path.string() + " lacks host or segments");
  }
  for (const json::value& item : *segments) {
    SegmentInfo segment;
    if (!ReadSegment(item, &segment) ||
        (!manifest.segments.empty() && segment.number <= manifest.segments.back().number)) {
      return DataLossError(path.string() + ": bad entry after segment " +
                           std::to_string(manifest.segments.empty() ? 0 : manifest.segments.back().number));
    }
    manifest.segments.push_back(std::move(segment));
  }
  return manifest;
}

absl::Status WriteManifest(const std::filesystem::path& folder, const Manifest& manifest) {
  // One line a segment, so that people and line tools can read it.
  std::string text = "{\"version\":" + std::to_string(Manifest::kVersion) +
                     ",\n\"host\":" + json::serialize(json::string(manifest.host)) + ",\n\"segments\":[";
  for (size_t i = 0; i < manifest.segments.size(); ++i) {
    text += i == 0 ? "\n" : ",\n";
    text += json::serialize(WriteSegment(manifest.segments[i]));
  }
  text += "\n]}\n";
  return ReplaceFile(folder / kManifestName, text);
}

}  // namespace penstock::firehose
