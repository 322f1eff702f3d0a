#pragma once

// The command line: verbs, and options that have one name as flag, environment variable and TOML key
// (docs/cli.md). Precedence: flag > environment > file.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"

namespace penstock::app {

// Exit codes (docs/cli.md).
inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;  // or something did not verify
inline constexpr int kExitUsage = 2;

class Cli {
 public:
  Cli();

  // A verb with its handler; options are added to the App that comes back. The handler runs after parsing and returns the
  // exit code.
  CLI::App* AddVerb(const std::string& name, const std::string& description, std::function<int()> handler);

  // Parses, fills in environment and file, runs the verb. Never throws. Usage errors go to stderr with kExitUsage.
  int Run(int argc, char** argv);

  CLI::App& app() { return app_; }

 private:
  // Values for every option of `verb` that no flag set: from PENSTOCK_<NAME>, else from the file.
  absl::Status FillFromEnvironmentAndFile(CLI::App* verb);

  CLI::App app_;
  std::string config_path_;
  struct Verb {
    CLI::App* app;
    std::function<int()> handler;
  };
  std::vector<Verb> verbs_;
};

// "--batch-rows" -> "PENSTOCK_BATCH_ROWS", the environment variable of a flag.
std::string EnvironmentName(const std::string& flag);

// Prints `status` as one line on stderr and gives the exit code that fits: usage for bad input, failed for the rest.
int Report(const absl::Status& status);

// Each verb lives in its own app/verb_<name>.cc.
void RegisterRun(Cli& cli);
void RegisterReplay(Cli& cli);
void RegisterRecord(Cli& cli);
void RegisterInspect(Cli& cli);
void RegisterVerify(Cli& cli);
void RegisterBackfill(Cli& cli);
void RegisterResync(Cli& cli);
void RegisterCursor(Cli& cli);
void RegisterBench(Cli& cli);
void RegisterDemo(Cli& cli);

}  // namespace penstock::app
