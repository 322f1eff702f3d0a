// `penstock verify`: is this what its authors signed? A repository, one record, recorded frames, or a whole
// store.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <thread>

#include "app/cli.h"
#include "app/common_options.h"
#include "app/handle_lookup.h"
#include "app/resolver_options.h"
#include "app/stop_signals.h"
#include "app/verify_car.h"
#include "app/verify_frames.h"
#include "app/verify_live.h"
#include "app/verify_report.h"
#include "app/verify_store.h"
#include "base/status.h"
#include "car/reader.h"
#include "firehose/capture.h"
#include "net/xrpc_client.h"
#include "repo/syntax.h"

namespace penstock::app {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMib = 1024 * 1024;

absl::StatusOr<std::vector<uint8_t>> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return NotFoundError("cannot read " + path);
  return std::vector<uint8_t>(std::istreambuf_iterator<char>(file), {});
}

// Whether the file at `path` is a CAR, by its name or else by its first bytes; all else is taken for frames.
absl::StatusOr<bool> IsCar(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return NotFoundError("cannot read " + path);
  if (fs::is_directory(path, error)) return false;
  if (path.ends_with(".car")) return true;
  if (path.ends_with(".frames") || path.ends_with(".zst")) return false;
  std::ifstream file(path, std::ios::binary);
  if (!file) return NotFoundError("cannot read " + path);
  std::vector<char> begin(4096);
  file.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  begin.resize(static_cast<size_t>(file.gcount()));
  return car::Reader(AsBytes(std::string_view(begin.data(), begin.size()))).ReadHeader().ok();
}

struct VerifyCommand {
  std::string input, record, key, save, store, after, resume, now;
  std::vector<std::string> allow;
  bool allow_v2 = false, json = false;
  size_t workers = 0;
  int64_t held_memory_mb = 256;
  int64_t shutdown_timeout_s = 600;
  ResolverFlags resolver;

  // Made in this order, gone in the other.
  std::unique_ptr<Clock> clock;
  Counters counters;
  pipeline::PipelineOptions options;

  absl::StatusOr<bool> Execute() {
    if (input.empty() && store.empty()) return InvalidInputError("say what: a FILE, at://… or --store URL");
    if (input.empty()) return Store();
    PipelineFlags flags;
    flags.now = now;
    ASSIGN_OR_RETURN(clock, flags.MakeClock());
    resolver.verify_handles = false;  // the one that somebody typed is looked at here
    options.verify = repo::Verification::kFull;
    options.clock = clock.get();
    options.counters = &counters;
    options.log = MakeLogger();
    if (input.starts_with("at://")) return Live();
    ASSIGN_OR_RETURN(const bool is_car, IsCar(input));
    return is_car ? Car() : Frames();
  }

  bool Print(const VerifyReport& report) const {
    const std::string text = json ? report.Json() : report.Text(isatty(STDOUT_FILENO) == 1);
    std::fwrite(text.data(), 1, text.size(), stdout);
    return report.verified();
  }

  static absl::StatusOr<identity::IdentityPtr> Find(const Identities& identities, std::string_view did) {
    // Of a recording, the last version counts.
    const identity::Position end{"", std::numeric_limits<int64_t>::max()};
    const auto promise = std::make_shared<std::promise<identity::Answer>>();
    identities.resolver()->Resolve(did, end, identity::Ask::kCached,
                                   [promise](const identity::Answer& answer) { promise->set_value(answer); });
    const identity::Answer answer = promise->get_future().get();
    RETURN_IF_ERROR(answer.status);
    return answer.identity;
  }

  absl::StatusOr<bool> Car() {
    Signer signer;
    Identities identities;
    if (!key.empty()) {
      auto parsed = crypto::PublicKey::FromDidKey(key);
      if (!parsed.ok()) return InvalidInputError("--key: " + std::string(Message(parsed.status())));
      signer.key = *std::move(parsed);
      signer.origin = "--key";
    } else {
      ASSIGN_OR_RETURN(identities, resolver.Make(options, {}));
      signer.find = [&identities](std::string_view did) { return Find(identities, did); };
      signer.origin = resolver.Origin();
    }
    if (record.empty()) {
      std::ifstream file(input, std::ios::binary);
      if (!file) return NotFoundError("cannot read " + input);
      VerifyReport report("repository", input);
      VerifyRepository({&file, clock->NowMicros(), allow_v2}, signer, &report);
      return Print(report);
    }
    ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadFile(input));
    RecordQuestion question;
    question.car = bytes;
    question.now_us = clock->NowMicros();
    question.path = record;
    if (record.starts_with("at://")) {
      const auto uri = repo::AtUri::Parse(record);
      if (!uri || uri->rkey().empty() || !repo::Did::Parse(uri->authority())) {
        return InvalidInputError("--record: '" + record + "' is no at://DID/collection/rkey");
      }
      question.did = uri->authority();
      question.path = std::string(uri->collection()) + "/" + std::string(uri->rkey());
    }
    if (!repo::RepoPath::Parse(question.path))
      return InvalidInputError("--record: '" + record + "' is no collection/rkey");
    VerifyReport report("record", input);
    VerifyRecord(question, signer, &report);
    return Print(report);
  }

  absl::StatusOr<bool> Live() {
    const auto uri = repo::AtUri::Parse(input);
    if (!uri || uri->rkey().empty())
      return InvalidInputError("'" + input + "' is no at://DID-or-handle/collection/rkey");
    const LiveQuestion question{std::string(uri->authority()), std::string(uri->collection()),
                                std::string(uri->rkey()), clock->NowMicros()};
    ASSIGN_OR_RETURN(const Identities identities, resolver.Make(options, {}));
    net::XrpcClientOptions hosts;
    hosts.http = resolver.Http();
    ASSIGN_OR_RETURN(const std::unique_ptr<net::XrpcClient> client,
                     net::XrpcClient::Create(hosts, clock.get(), &counters));
    LiveSources sources;
    sources.resolve_handle = [this](const std::string& handle) {
      return LookUpHandle(handle, resolver.Http(), clock.get(), &counters);
    };
    sources.find_identity = [&identities](std::string_view did) { return Find(identities, did); };
    sources.identity_origin = resolver.Origin();
    sources.get_record = [&client](const std::string& origin, const std::string& did,
                                   const LiveQuestion& of) -> absl::StatusOr<std::string> {
      const auto promise = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
      auto done = [promise](const net::XrpcOutcome& outcome, std::string car) {
        if (outcome.status.ok()) {
          promise->set_value(std::move(car));
        } else {
          promise->set_value(outcome.status);
        }
      };
      client->GetRecord({origin, false}, did, of.collection, of.rkey, std::move(done));
      return promise->get_future().get();
    };
    std::string car;
    VerifyReport report("record", input);
    VerifyLiveRecord(question, sources, &car, &report);
    if (!save.empty() && !car.empty()) {
      std::ofstream file(save, std::ios::binary | std::ios::trunc);
      file << car;
      file.close();
      if (!file) return UnavailableError("--save: cannot write " + save);
    }
    return Print(report);
  }

  absl::StatusOr<bool> Frames() {
    FramesQuestion question;
    question.file = input;
    ASSIGN_OR_RETURN(question.source, firehose::FileSourceName(input));
    ASSIGN_OR_RETURN(options.policies, sync::Policies::Make(allow));
    const indexer::Filter everything = indexer::Filter::Everything();
    options.filter = &everything;
    options.workers = workers != 0 ? workers : std::max(2u, std::thread::hardware_concurrency()) - 1;
    // Nothing is kept anywhere else: an account that were forgotten would begin anew.
    options.accounts_in_memory = 100'000'000;
    options.held.memory_bytes = static_cast<size_t>(held_memory_mb * kMib);
    ASSIGN_OR_RETURN(const Identities identities, resolver.Make(options, {question.source}));
    options.resolver = identities.resolver();
    question.options = options;
    question.wait_us = shutdown_timeout_s * 1'000'000;
    question.stop = &StopOnSignals();
    VerifyReport report("frames", input);
    RETURN_IF_ERROR(VerifyFrames(question, &report));
    return Print(report);
  }

  absl::StatusOr<bool> Store() {
    VerifyStoreOptions scan;
    scan.url = store;
    scan.after = after;
    scan.resume_file = resume;
    scan.json = json;
    scan.stop = &StopOnSignals();
    scan.terminal = isatty(STDERR_FILENO) == 1;
    scan.log = MakeLogger();
    VerifyStoreReport report;
    RETURN_IF_ERROR(VerifyStore(scan, &report));
    return report.ok();
  }
};

}  // namespace

void RegisterVerify(Cli& cli) {
  auto command = std::make_shared<VerifyCommand>();
  CLI::App* verb = cli.AddVerb(
      "verify", "Prove a repository, a record, recorded frames or a whole store (exit 1 if it does not hold)",
      [command] {
        const absl::StatusOr<bool> verified = command->Execute();
        if (!verified.ok()) return Report(verified.status());
        return *verified ? kExitDone : kExitFailed;
      });
  verb->add_option(
          "input", command->input,
          "A CAR file; recorded frames (.frames, .frames.zst, a folder made by `penstock record`); or "
          "at://DID-or-handle/collection/rkey, which asks the account's PDS")
      ->type_name("FILE|at://…");
  verb->add_flag("--json", command->json, "The verdict as JSON instead of lines for people");
  verb->add_option("--record", command->record,
                   "Of a CAR file: only this record, or its absence. A slice as getRecord gives it is enough")
      ->type_name("COLLECTION/RKEY|at://…");
  verb->add_option("--key", command->key, "Of a CAR file: the account's key, instead of asking who it is")
      ->type_name("did:key:…");
  verb->add_flag("--allow-v2", command->allow_v2,
                 "Of a CAR file: also a repository of version 2, as old files hold");
  verb->add_option("--save", command->save, "Of at://…: keep the proof that the PDS gave, a CAR file")
      ->type_name("FILE");
  verb->add_option("--store", command->store,
                   "Without FILE or at://…: every row of this store, sqlite:PATH or postgresql://…")
      ->type_name("URL");
  verb->add_option("--after", command->after, "Of a store: begin behind this row")->type_name("at://…");
  verb->add_option("--resume", command->resume,
                   "Of a store: remember in this file how far it is, and go on from there")
      ->type_name("FILE");
  verb->add_option("--now", command->now,
                   "Stop the clock at this datetime (what lies in the future is refused)")
      ->type_name("DATETIME");
  verb->add_option("--allow", command->allow,
                   "Of frames: relaxations, as of `run`: legacy-commits, partial-proofs, since-mismatch")
      ->delimiter(',')
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("NAME…");
  verb->add_option("--workers", command->workers,
                   "Of frames: threads; 0 = one less than the cores, at least 1")
      ->capture_default_str()
      ->check(CLI::Range(0, 256))
      ->type_name("N");
  verb->add_option("--held-memory-mb", command->held_memory_mb,
                   "Of frames: what may wait for answers about accounts before reading waits, too, MiB")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->type_name("MIB");
  verb->add_option("--shutdown-timeout", command->shutdown_timeout_s,
                   "Of frames: how long to wait at the end for answers about accounts, seconds")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{0}, int64_t{86400}))
      ->type_name("S");
  command->resolver.Bind(verb);
  command->resolver.BindConnection(verb);
}

}  // namespace penstock::app
