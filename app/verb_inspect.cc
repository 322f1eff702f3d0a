// `penstock inspect frame|commit|car|mst|cbor|cid|did`: what bytes say, and who an account is; and why they are refused.

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>

#include "app/cli.h"
#include "app/inspect.h"
#include "app/inspect_commit.h"
#include "app/inspect_did.h"
#include "app/inspect_tree.h"
#include "app/resolver_options.h"
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
  InspectDidCommand account;
  std::string did_key, did_docs;
  bool tree = false;
  CLI::App *frame = nullptr, *commit = nullptr, *car = nullptr, *mst = nullptr, *cbor = nullptr, *cid = nullptr, *did = nullptr;

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

  // One message by itself, unless a place in a recording was asked for.
  absl::StatusOr<bool> WithMessage(std::string* out, const std::function<bool(Bytes)>& inspect) const {
    if (!index && !seq) {
      if (input.ends_with(".frames") || input.ends_with(".frames.zst") || std::filesystem::is_directory(input)) {
        return InvalidInputError(input + " is a recording: say which frame, by --index or --seq");
      }
      ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadInput());
      return inspect(bytes);
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
      return inspect(buffer.bytes());
    }
  }

  absl::StatusOr<bool> Commit(std::string* out) const {
    CommitKey key;
    identity::RecordedResolver identities;
    if (!did_key.empty()) {
      const absl::StatusOr<crypto::PublicKey> given = crypto::PublicKey::FromDidKey(did_key);
      if (!given.ok()) return InvalidInputError("--key: " + std::string(Message(given.status())));
      key = [given](std::string_view, int64_t) { return given; };
    } else if (!did_docs.empty()) {
      RETURN_IF_ERROR(LoadDidDocs(did_docs, "", &identities));
      key = [&identities](std::string_view of, int64_t at) -> absl::StatusOr<crypto::PublicKey> {
        // What is no message of a stream was signed by whatever key came last.
        const int64_t place = at > 0 ? at : std::numeric_limits<int64_t>::max();
        const identity::IdentityPtr known = identities.Find(of, {"", place});
        if (known == nullptr) return RejectError(Reject::kDidNotFound, "in the file");
        if (!known->key) return RejectError(known->fault.value_or(Reject::kDidNoKey));
        return *known->key;
      };
    }
    const int64_t now_us = SystemClock().NowMicros();
    return WithMessage(out, [&](Bytes bytes) { return InspectCommit(bytes, key, now_us, out); });
  }

  absl::StatusOr<bool> Execute(std::string* out) const {
    if (frame->parsed()) {
      const int64_t now_us = SystemClock().NowMicros();
      return WithMessage(out, [&](Bytes bytes) { return InspectFrame(bytes, now_us, out); });
    }
    if (commit->parsed()) return Commit(out);
    if (cid->parsed()) return InspectCid(input, out);
    if (did->parsed()) return account.Execute(input, out);
    ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadInput());
    if (car->parsed()) return InspectCar(bytes, out);
    if (mst->parsed()) return tree ? InspectTree(bytes, out) : InspectMst(bytes, out);
    return InspectCbor(bytes, out);
  }
};

}  // namespace

void RegisterInspect(Cli& cli) {
  auto command = std::make_shared<InspectCommand>();
  CLI::App* verb = cli.AddVerb("inspect", "Show what bytes say, or who an account is, and why they are refused (exit 1 then)", [command] {
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
  command->commit = add("commit", "One commit of a message or a CAR: what is signed, by whose key, and every verdict", bytes);
  for (CLI::App* sub : {command->frame, command->commit}) {
    sub->add_option("--index", command->index, "The input is a recording: take its frame N, from 0")->type_name("N");
    sub->add_option("--seq", command->seq, "The input is a recording: take the frame with this seq")->type_name("SEQ");
  }
  CLI::Option* const key = command->commit->add_option("--key", command->did_key, "Judge the signature by this key")->type_name("DID:KEY");
  command->commit->add_option("--did-docs", command->did_docs, "Judge the signature by the account's document in this file")
      ->type_name("FILE[#MEMBER]")
      ->excludes(key);
  command->car = add("car", "A CAR file: header and every block with its check", bytes);
  command->mst = add("mst", "The tree of a repository or a slice: keys, heights, values", bytes);
  command->mst->add_flag("--tree", command->tree, "As the nodes hang together, also of a tree that is refused");
  command->cbor = add("cbor", "One DAG-CBOR item as JSON, or why it is none", bytes);
  command->cid = add("cid", "The parts of a CID", "The CID's text form");
  command->did = add("did", "Who an account is: key, PDS, handle, or why it is nobody", "The DID; or a file: a DID document, or the audit log of a did:plc");
  command->account.Bind(command->did);
}

}  // namespace penstock::app
