// `penstock cursor show|set|clear`: what each source's durable position is, and the one way to move it by hand.

#include <cstdio>

#include "app/cli.h"
#include "app/common_options.h"
#include "base/status.h"

namespace penstock::app {
namespace {

struct CursorCommand {
  StoreFlags store;
  std::string source;
  int64_t position = 0;
  CLI::App* show = nullptr;
  CLI::App* set = nullptr;
  CLI::App* clear = nullptr;

  SystemClock clock;
  Counters counters;

  absl::Status Execute() {
    ASSIGN_OR_RETURN(std::unique_ptr<indexer::Store> opened, store.Make(&clock, &counters));
    // The lease is taken also to look: a running service keeps its own cursor, and changing it underneath would be undone.
    RETURN_IF_ERROR(opened->Open());
    if (set->parsed()) RETURN_IF_ERROR(opened->SetCursor(source, position));
    if (clear->parsed()) RETURN_IF_ERROR(opened->SetCursor(source, std::nullopt));
    ASSIGN_OR_RETURN(const std::vector<indexer::SourceCursor> cursors, opened->LoadCursors());
    for (const indexer::SourceCursor& cursor : cursors) {
      std::printf("%s\t%lld\n", cursor.source.c_str(), static_cast<long long>(cursor.position));
    }
    return absl::OkStatus();
  }
};

}  // namespace

void RegisterCursor(Cli& cli) {
  auto command = std::make_shared<CursorCommand>();
  CLI::App* verb = cli.AddVerb("cursor", "Show or move the durable position of each source (stop the service first)", [command] {
    const absl::Status status = command->Execute();
    return status.ok() ? kExitDone : Report(status);
  });
  command->store.lease_wait_s = 0;  // a person waits here: say at once that a service holds the store
  command->store.Bind(verb);
  verb->require_subcommand(1);
  const auto add = [&](const char* name, const char* description) {
    CLI::App* sub = verb->add_subcommand(name, description);
    sub->fallthrough();
    return sub;
  };
  command->show = add("show", "Print each source and its position, separated by a tab");
  command->set = add("set", "Continue after this seq next time; 0 = from the oldest event that the host still has");
  command->set->add_option("source", command->source, "As `cursor show` prints it: host[:port]")->required();
  command->set->add_option("seq", command->position, "The last seq that counts as processed")
      ->required()
      ->check(CLI::Range(int64_t{0}, (int64_t{1} << 53) - 1));
  command->clear = add("clear", "Forget the position: the next start begins at the live end of the stream");
  command->clear->add_option("source", command->source, "As `cursor show` prints it: host[:port]")->required();
}

}  // namespace penstock::app
