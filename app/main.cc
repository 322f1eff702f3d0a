#include <csignal>
#include <cstdio>
#include <exception>

#include "app/cli.h"

int main(int argc, char** argv) {
  // A peer or a pipe that closes is an error code where it happens, never a signal.
  std::signal(SIGPIPE, SIG_IGN);
  // The last catch of the program: libraries throw (out of memory, a full disk while logging), Penstock does not.
  try {
    penstock::app::Cli cli;
    penstock::app::RegisterRun(cli);
    penstock::app::RegisterBackfill(cli);
    penstock::app::RegisterResync(cli);
    penstock::app::RegisterDemo(cli);
    penstock::app::RegisterReplay(cli);
    penstock::app::RegisterRecord(cli);
    penstock::app::RegisterVerify(cli);
    penstock::app::RegisterInspect(cli);
    penstock::app::RegisterCursor(cli);
    penstock::app::RegisterBench(cli);
    return cli.Run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "penstock: unexpected: %s\n", error.what());
    return penstock::app::kExitFailed;
  }
}
