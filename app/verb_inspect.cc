// `penstock inspect frame|car|mst|cbor|cid`: what bytes say, and why they are refused.

#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>

#include "app/cli.h"
#include "app/inspect.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "base/status.h"
#include "firehose/capture.h"
#include "firehose/frame.h"

namespace penstock::app {
namespace {

struct InspectCommand {
  std::string input;
  std::optional<uint64_t> index;
  std::optional<int64_t> seq;
  CLI::App *frame = nullptr, *car = nullptr, *mst = nullptr, *cbor = nullptr, *cid = nullptr;

  // The whole of a file, of standard input ("-"), or hex after "hex:".
  absl::StatusOr<std::vector<uint8_t>> ReadInput() const {
    if (input.starts_with("hex:")) {
      auto bytes = FromHex(std::string_view(input).substr(4));
      if (!bytes) return InvalidInputError("'" + input + "' is not hex");
      return *std::move(bytes);
    }
    if (input == "-") {
      return std::vector<uint8_t>(std::istreambuf_iterator<char>(std::cin), {});
    }
    std::ifstream file(input, std::ios::binary);
    if (!file) return NotFoundError("cannot read " + input);
    return std::vector<uint8_t>(std::istreambuf_iterator<char>(file), {});
  }

  absl::StatusOr<bool> Frames(std::string* out) const {
    const int64_t now_us = SystemClock().NowMicros();
    // One message by itself, unless a place in a recording was asked for.
    if (!index && !seq) {
      ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadInput());
      return InspectFrame(bytes, now_us, out);
    }
    ASSIGN_OR_RETURN(const std::unique_ptr<firehose::CaptureReader> reader, firehose::CaptureReader::Open(input));
    firehose::FrameBufferPool pool;
    firehose::FrameBuffer buffer = pool.Take();
    firehose::Frame decoded;
    for (uint64_t at = 0;; ++at) {
      ASSIGN_OR_RETURN(const bool more, reader->Next(&buffer));
      if (!more) return NotFoundError(input + " has no such frame");
      const bool wanted = index ? at == *index
                                : firehose::DecodeFrame(buffer.bytes(), &decoded).ok() && decoded.seq == seq;
      if (!wanted) continue;
      out->append("frame      " + std::to_string(at) + " of " + input + "\n");
      return InspectFrame(buffer.bytes(), now_us, out);
    }
  }

  absl::StatusOr<bool> Execute(std::string* out) const {
    if (frame->parsed()) return Frames(out);
    if (cid->parsed()) return InspectCid(input, out);
    ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadInput());
    if (car->parsed()) return InspectCar(bytes, out);
    if (mst->parsed()) return InspectMst(bytes, out);
    return InspectCbor(bytes, out);
  }
};

}  // namespace

void RegisterInspect(Cli& cli) {
  auto command = std::make_shared<InspectCommand>();
  CLI::App* verb = cli.AddVerb("inspect", "Show what bytes say, and why they are refused (exit 1 then)", [command] {
    std::string out;
    const absl::StatusOr<bool> good = command->Execute(&out);
    std::fwrite(out.data(), 1, out.size(), stdout);
    if (!good.ok()) return Report(good.status());
    return *good ? kExitDone : kExitFailed;
  });
  verb->require_subcommand(1);
  const auto add = [&](const char* name, const char* description, const char* input) {
    CLI::App* sub = verb->add_subcommand(name, description);
    sub->fallthrough();
    sub->add_option("input", command->input, input)->required();
    return sub;
  };
  const char* const bytes = "A file, - for standard input, or hex:…";
  command->frame = add("frame", "One WebSocket message: envelope, blocks, ops, verdict", bytes);
  command->frame->add_option("--index", command->index, "The input is a recording: take its frame N, from 0")->type_name("N");
  command->frame->add_option("--seq", command->seq, "The input is a recording: take the frame with this seq")->type_name("SEQ");
  command->car = add("car", "A CAR file: header and every block with its check", bytes);
  command->mst = add("mst", "The tree of a repository or a slice: keys, heights, values", bytes);
  command->cbor = add("cbor", "One DAG-CBOR item as JSON, or why it is none", bytes);
  command->cid = add("cid", "The parts of a CID", "The CID's text form");
}

}  // namespace penstock::app
