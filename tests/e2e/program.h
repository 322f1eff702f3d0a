#pragma once

// The built program as a process, and a store of its own for it: what end-to-end tests are made of.

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace penstock::test {

struct ProgramRun {
  int exit_code = -1;  // 128 + signal if it was killed
  std::string out, err;
};

// Runs `penstock ARGS…` to its end. The path comes from the build (PENSTOCK_PROGRAM).
ProgramRun RunProgram(const std::vector<std::string>& args);

// Starts it, output to /dev/null (stderr to `log`, when given). Ends with Kill or Wait.
class ProgramProcess {
 public:
  explicit ProgramProcess(const std::vector<std::string>& args, const std::string& log = "");
  ~ProgramProcess() { Kill(); }
  ProgramProcess(const ProgramProcess&) = delete;
  ProgramProcess& operator=(const ProgramProcess&) = delete;

  void Signal(int signal);
  // SIGKILL and reap; harmless when it has ended.
  void Kill();
  // The exit code (128 + signal); nullopt if it still runs after `seconds`.
  std::optional<int> Wait(double seconds);
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  std::optional<int> exit_code_;
};

// An empty database of the given kind ("sqlite", "postgresql"), gone with the object.
class TestStore {
 public:
  explicit TestStore(const std::string& kind);
  ~TestStore();

  bool available() const { return why_not_.empty(); }
  const std::string& why_not() const { return why_not_; }
  const std::string& url() const { return url_; }

  using Row = std::vector<std::optional<std::string>>;
  // Asks on a connection of its own. Fails the test on an error.
  std::vector<Row> Query(const std::string& sql);
  // The same while a program may still be making the tables: no rows on an error.
  std::vector<Row> TryQuery(const std::string& sql);

 private:
  struct Backend;
  std::unique_ptr<Backend> backend_;
  std::string url_, why_not_;
};

}  // namespace penstock::test
