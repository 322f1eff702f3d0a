#include "tests/e2e/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "tests/support/database/postgres_cluster.h"
#include "tests/support/database/sql.h"
#include "tests/support/database/temp_folder.h"
#include "tests/support/shared_data.h"

namespace penstock::test {
namespace {

int ExitCode(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

// Forks and becomes the program; `out` and `err` are files to write to.
pid_t Spawn(const std::vector<std::string>& args, const std::string& out, const std::string& err) {
  std::vector<char*> argv = {const_cast<char*>(PENSTOCK_PROGRAM)};
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid != 0) return pid;
  const int out_fd = open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const int err_fd = open(err.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int in_fd = open("/dev/null", O_RDONLY);
  if (out_fd < 0 || err_fd < 0 || in_fd < 0) _exit(126);
  dup2(in_fd, 0);
  dup2(out_fd, 1);
  dup2(err_fd, 2);
  execv(argv[0], argv.data());
  _exit(127);
}

}  // namespace

ProgramRun RunProgram(const std::vector<std::string>& args) {
  TempFolder folder;
  const std::string out = folder.path() / "out", err = folder.path() / "err";
  const pid_t pid = Spawn(args, out, err);
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return {};
  return {ExitCode(status), ReadFileText(out), ReadFileText(err)};
}

ProgramProcess::ProgramProcess(const std::vector<std::string>& args, const std::string& log)
    : pid_(Spawn(args, "/dev/null", log.empty() ? "/dev/null" : log)) {}

void ProgramProcess::Signal(int signal) {
  if (!exit_code_ && pid_ > 0) kill(pid_, signal);
}

void ProgramProcess::Kill() {
  if (exit_code_ || pid_ <= 0) return;
  kill(pid_, SIGKILL);
  int status = 0;
  if (waitpid(pid_, &status, 0) == pid_) exit_code_ = ExitCode(status);
}

std::optional<int> ProgramProcess::Wait(double seconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!exit_code_) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) exit_code_ = ExitCode(status);
    if (exit_code_ || std::chrono::steady_clock::now() >= deadline) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return exit_code_;
}

struct TestStore::Backend {
  TempFolder folder;
};

TestStore::TestStore(const std::string& kind) : backend_(std::make_unique<Backend>()) {
  if (kind == "sqlite") {
    url_ = "sqlite:" + (backend_->folder.path() / "store.db").string();
    return;
  }
  PostgresCluster* cluster = PostgresCluster::Shared(&why_not_);
  if (cluster != nullptr) url_ = cluster->CreateDatabase();
}

TestStore::~TestStore() = default;

std::vector<TestStore::Row> TestStore::Query(const std::string& sql) {
  try {
    return RunSql(url_, sql).rows;
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what() << " in: " << sql;
    return {};
  }
}

std::vector<TestStore::Row> TestStore::TryQuery(const std::string& sql) {
  try {
    return RunSql(url_, sql).rows;
  } catch (const std::exception&) {
    return {};
  }
}

}  // namespace penstock::test
