#pragma once

// What a verification found, step by step: for a person as lines, for a program as one JSON object. Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace penstock::app {

enum class StepVerdict : uint8_t {
  kOk,       // "ok": holds
  kFailed,   // "failed": does not
  kUnknown,  // "unknown": could not be judged, because nobody answered
};
std::string_view StepVerdictName(StepVerdict verdict);

class VerifyReport {
 public:
  // `kind` says what was verified ("repository", "record", …), `input` what was asked about.
  VerifyReport(std::string_view kind, std::string_view input);

  // Steps, in the order in which they were made.
  void Ok(std::string_view step, std::string_view detail);
  // kUnknown if `why` is an error that passes (base/status.h, IsTransient), else kFailed.
  void Fail(std::string_view step, const absl::Status& why);

  // A line below the last step, for people only.
  void Remark(std::string_view text);
  // Members of the JSON object, for programs only.
  void Member(std::string_view name, std::string_view text);
  void Member(std::string_view name, const char* text) { Member(name, std::string_view(text)); }
  void Member(std::string_view name, int64_t number);
  void Member(std::string_view name, bool value);
  void MemberJson(std::string_view name, std::string_view json);

  // What is proven, when no step failed. Without a conclusion nothing is.
  void Conclude(std::string_view text) { conclusion_ = text; }
  bool verified() const { return !conclusion_.empty() && failed_.empty(); }

  // The steps and the verdict, a line each. `marks`: with ✓ and ✗ instead of words.
  std::string Text(bool marks) const;
  // One line: {"kind":…,"input":…,"verified":…,<members>,"steps":[…]}, a step being
  // {"step":…,"verdict":…,"reject":…,"detail":…}.
  std::string Json() const;

 private:
  struct Step {
    std::string name, reject, detail;
    StepVerdict verdict;
    std::vector<std::string> remarks;
  };

  std::string kind_, input_, conclusion_;
  std::string failed_;  // the first step that did not hold
  std::vector<Step> steps_;
  std::string members_;  // each ","name":value"
};

// "1 node", "1,234 nodes".
std::string Counted(uint64_t number, std::string_view noun);

}  // namespace penstock::app
