// The strict reader on any bytes. What it accepts has one form only, so decoding and encoding it must give
// the same bytes, and libcbor, which shares no code with it, must read the same values. The diagnosis for
// people must come to an end within its bound, and find fault exactly where the reader does.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cbor/reader.h"
#include "cbor/record_data.h"
#include "cbor/second_opinion.h"
#include "tests/cbor/differential.h"
#include "tests/cbor/random_item.h"

namespace {

using penstock::Bytes;
namespace cbor = penstock::cbor;

void Require(bool truth, const char* what) {
  if (truth) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  const bool accepted = cbor::CheckItem(input).ok();

  const std::string disagreement = penstock::test::Disagreement(input);
  Require(disagreement.empty(), disagreement.c_str());

  if (accepted) {
    std::string copy;
    cbor::Reader reader(input);
    Require(penstock::test::CopyItem(reader, &copy), "what Skip accepts, the single reads refuse");
    Require(penstock::Equal(penstock::AsBytes(copy), input), "the same value has two forms");
  }

  const cbor::DiagnoseOptions options = {.max_output = 8 * 1024};
  const std::string text = cbor::Diagnose(input, options);
  // A line more than the bound: the one that passed it, with at most a mark for each of its tags.
  Require(text.size() < options.max_output + 32 * 1024, "the diagnosis passed its bound");
  // Strings of the input may hold what a mark looks like; short items without that arrow cannot.
  const bool may_look_marked = penstock::AsText(input).find("<-") != std::string_view::npos;
  if (accepted && !may_look_marked)
    Require(text.find("  <- ") == std::string::npos, "fault found with a good item");

  cbor::RecordReport report;
  if (cbor::CheckRecord(input, "", &report).ok()) {
    Require(accepted, "a record that is no item");
    Require(!report.type.empty(), "a record without its type");
  }
  return 0;
}
