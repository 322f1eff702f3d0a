// `penstock resync DID…`: these accounts are fetched again and compared row by row, whatever we think of them.

#include <memory>

#include "app/backfill_work.h"
#include "app/cli.h"
#include "base/status.h"
#include "repo/syntax.h"

namespace penstock::app {
namespace {

struct ResyncCommand {
  FetchFlags flags;
  std::vector<std::string> dids;

  absl::StatusOr<int> Execute() {
    RETURN_IF_ERROR(CheckFetchFlags(flags));
    FetchRequest request;
    ASSIGN_OR_RETURN(request.dids, ReadDids("resync", dids));
    for (const std::string& did : request.dids) {
      if (!repo::Did::Parse(did)) return InvalidInputError("'" + did + "' is no DID");
    }
    if (request.dids.empty()) return InvalidInputError("no account to resync");
    request.subject = SubjectOf("resync", request.dids);
    ASSIGN_OR_RETURN(const FetchResult result, Fetch("resync", flags, request, {}));
    return ReportFetch("resync", result);
  }
};

}  // namespace

void RegisterResync(Cli& cli) {
  auto command = std::make_shared<ResyncCommand>();
  CLI::App* verb = cli.AddVerb("resync", "Fetch these accounts again, also those that look current, and mend their rows", [command] {
    const absl::StatusOr<int> code = command->Execute();
    return code.ok() ? *code : Report(code.status());
  });
  verb->add_option("did", command->dids, "Accounts, or files with one in each line (- is standard input)")
      ->required()
      ->type_name("DID…");
  command->flags.Bind(verb);
}

}  // namespace penstock::app
