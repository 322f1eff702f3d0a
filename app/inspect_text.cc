#include "app/inspect_text.h"

#include "base/status.h"
#include "cbor/second_opinion.h"
#include "fmt/chrono.h"
#include "fmt/format.h"

namespace penstock::app {
namespace {

// What a person can still look through; the rest is said to be there.
constexpr size_t kMaxSecondOpinion = 16 * 1024;

}  // namespace

void Line(std::string* out, std::string_view name, std::string_view value) {
  out->append(fmt::format("{:<10} {}\n", name, value));
}

std::string CidText(const cbor::CidView& cid) { return cid.empty() ? "-" : cid.ToString(); }

std::string Printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c >= ' ' && c <= '~') {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
    }
  }
  return out;
}

std::string TimeText(int64_t micros) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(micros / 1'000'000)));
}

bool Refused(const absl::Status& status, Bytes bytes, std::string* out, bool sequence) {
  out->append(fmt::format("REFUSED    {}\n", Printable(Message(status))));
  if (!bytes.empty()) {
    out->append("a lenient reader sees:\n");
    cbor::DiagnoseOptions options;
    options.max_output = kMaxSecondOpinion;
    options.sequence = sequence;
    out->append(cbor::Diagnose(bytes, options));
  }
  return false;
}

}  // namespace penstock::app
