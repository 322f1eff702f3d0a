#include "app/verify_report.h"

#include "app/inspect_text.h"
#include "app/progress.h"
#include "base/status.h"
#include "cbor/json_out.h"
#include "cbor/utf8.h"
#include "fmt/format.h"

namespace penstock::app {
namespace {

void AppendMember(std::string_view name, std::string_view text, std::string* out) {
  out->append(out->ends_with('{') ? "\"" : ",\"").append(name).append("\":");
  cbor::AppendJsonString(text, out);
}

// Words may come from a peer: nothing that a terminal would take for a command, and nothing that is no text.
std::string Clean(std::string_view text) {
  if (!cbor::IsValidUtf8(AsBytes(text))) return Printable(text);
  std::string out(text);
  for (char& c : out) {
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return out;
}

std::string_view Mark(StepVerdict verdict, bool marks) {
  switch (verdict) {
    case StepVerdict::kOk:
      return marks ? "✓" : "ok     ";
    case StepVerdict::kFailed:
      return marks ? "✗" : "FAILED ";
    case StepVerdict::kUnknown:
      return marks ? "?" : "UNKNOWN";
  }
  return "";
}

}  // namespace

std::string_view StepVerdictName(StepVerdict verdict) {
  switch (verdict) {
    case StepVerdict::kOk:
      return "ok";
    case StepVerdict::kFailed:
      return "failed";
    case StepVerdict::kUnknown:
      return "unknown";
  }
  return "";
}

VerifyReport::VerifyReport(std::string_view kind, std::string_view input)
    : kind_(kind), input_(Clean(input)) {}

void VerifyReport::Ok(std::string_view step, std::string_view detail) {
  steps_.push_back({std::string(step), "", Clean(detail), StepVerdict::kOk, {}});
}

void VerifyReport::Fail(std::string_view step, const absl::Status& why) {
  Step made{std::string(step), "", Clean(Message(why)), StepVerdict::kFailed, {}};
  if (const std::optional<Reject> reject = RejectOf(why)) {
    made.reject = RejectName(*reject);
  } else if (IsTransient(why)) {
    made.verdict = StepVerdict::kUnknown;
  }
  if (failed_.empty()) failed_ = step;
  steps_.push_back(std::move(made));
}

void VerifyReport::Remark(std::string_view text) {
  if (!steps_.empty()) steps_.back().remarks.push_back(Clean(text));
}

void VerifyReport::Member(std::string_view name, std::string_view text) {
  AppendMember(name, text, &members_);
}
void VerifyReport::Member(std::string_view name, int64_t number) { MemberJson(name, std::to_string(number)); }
void VerifyReport::Member(std::string_view name, bool value) { MemberJson(name, value ? "true" : "false"); }
void VerifyReport::MemberJson(std::string_view name, std::string_view json) {
  members_.append(",\"").append(name).append("\":").append(json);
}

std::string VerifyReport::Text(bool marks) const {
  std::string out;
  const size_t indent = marks ? 2 : 8;
  for (const Step& step : steps_) {
    out.append(fmt::format("{} {:<10} {}\n", Mark(step.verdict, marks), step.name, step.detail));
    for (const std::string& remark : step.remarks)
      out.append(fmt::format("{:{}}{}\n", "", indent + 11, remark));
  }
  if (verified()) {
    out.append(fmt::format("verified: {}\n", conclusion_));
  } else {
    out.append(fmt::format("NOT verified: {}\n", failed_.empty() ? "not looked at to the end" : failed_));
  }
  return out;
}

std::string VerifyReport::Json() const {
  std::string out = "{";
  AppendMember("kind", kind_, &out);
  AppendMember("input", input_, &out);
  out.append(verified() ? ",\"verified\":true" : ",\"verified\":false")
      .append(members_)
      .append(",\"steps\":[");
  for (size_t i = 0; i < steps_.size(); ++i) {
    out.append(i == 0 ? "{" : ",{");
    AppendMember("step", steps_[i].name, &out);
    AppendMember("verdict", StepVerdictName(steps_[i].verdict), &out);
    if (!steps_[i].reject.empty()) AppendMember("reject", steps_[i].reject, &out);
    AppendMember("detail", steps_[i].detail, &out);
    out.append("}");
  }
  return out.append("]}\n");
}

std::string Counted(uint64_t number, std::string_view noun) {
  return fmt::format("{} {}{}", Grouped(number), noun, number == 1 ? "" : "s");
}

}  // namespace penstock::app
