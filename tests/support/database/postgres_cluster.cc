#include "tests/support/database/postgres_cluster.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>

#include "tests/support/database/sql.h"
#include "tests/support/database/temp_folder.h"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;

std::optional<fs::path> FindBinaries() {
  std::vector<fs::path> folders;
  if (const char* named = std::getenv("PENSTOCK_PG_BIN")) folders.emplace_back(named);
  for (int version = 18; version >= 12; --version)
    folders.emplace_back("/usr/lib/postgresql/" + std::to_string(version) + "/bin");
  if (const char* path = std::getenv("PATH")) {
    std::istringstream parts(path);
    for (std::string part; std::getline(parts, part, ':');) folders.emplace_back(part);
  }
  for (const fs::path& folder : folders) {
    if (access((folder / "initdb").c_str(), X_OK) == 0 && access((folder / "pg_ctl").c_str(), X_OK) == 0)
      return folder;
  }
  return std::nullopt;
}

// The server refuses to run as root; `nobody` is on every system.
const passwd* ServerUser() { return geteuid() == 0 ? getpwnam("nobody") : nullptr; }

// In a child between fork and exec: becomes the server's user, in its folder, without our terminal.
void BecomeServerUser(const passwd* user, const fs::path& folder) {
  if (user != nullptr &&
      (setgroups(0, nullptr) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0))
    _exit(126);
  if (chdir(folder.c_str()) != 0) _exit(126);
  unsetenv("PGDATA");
}

[[noreturn]] void Exec(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(127);
}

// Runs a program as the server's user; its output goes to `<folder>/commands.log`. Aborts with that output if
// it fails.
void Run(const std::vector<std::string>& arguments, const fs::path& folder) {
  const passwd* user = ServerUser();
  const pid_t child = fork();
  if (child == 0) {
    BecomeServerUser(user, folder);
    const int log = open("commands.log", O_WRONLY | O_CREAT | O_APPEND, 0644);
    const int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(log, 1);
    dup2(log, 2);
    Exec(arguments);
  }
  int status = 0;
  if (child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0)
    return;
  std::fprintf(stderr, "%s failed (status %d):\n", arguments[0].c_str(), status);
  for (const char* name : {"commands.log", "server.log"}) {
    std::ostringstream text;
    text << std::ifstream(folder / name).rdbuf();
    std::fprintf(stderr, "%s\n", text.str().c_str());
  }
  std::abort();
}

}  // namespace

PostgresCluster* PostgresCluster::Shared(std::string* why_not) {
  static std::string reason;
  static const std::unique_ptr<PostgresCluster> cluster = Start(&reason);
  if (cluster == nullptr) *why_not = reason;
  return cluster.get();
}

std::unique_ptr<PostgresCluster> PostgresCluster::Start(std::string* why_not,
                                                        const std::vector<std::string>& settings) {
  const std::optional<fs::path> binaries = FindBinaries();
  if (!binaries) {
    *why_not = "no PostgreSQL server here (initdb and pg_ctl; set PENSTOCK_PG_BIN to their folder)";
    return nullptr;
  }
  const fs::path folder = MakeTempFolder();
  if (const passwd* user = ServerUser();
      user != nullptr && chown(folder.c_str(), user->pw_uid, user->pw_gid) != 0)
    std::abort();
  std::unique_ptr<PostgresCluster> cluster(new PostgresCluster(folder, *binaries));
  cluster->StartGuardian();
  Run({*binaries / "initdb", "-D", "data", "-U", "penstock", "-A", "trust", "-E", "UTF8", "--locale=C",
       "--no-sync"},
      folder);
  std::ofstream conf(folder / "data" / "postgresql.conf", std::ios::app);
  conf << "listen_addresses = ''\n"
       << "unix_socket_directories = '" << folder.string() << "'\n"
       << "port = 5432\n"
       << "dynamic_shared_memory_type = mmap\n"  // a bare container has no /dev/shm
       << "shared_buffers = 64MB\n"
       << "max_connections = 40\n";
  for (const std::string& setting : settings) conf << setting << "\n";
  conf.close();
  cluster->Resume();
  return cluster;
}

PostgresCluster::PostgresCluster(fs::path folder, fs::path binaries)
    : folder_(std::move(folder)), binaries_(std::move(binaries)) {}

PostgresCluster::~PostgresCluster() {
  // The guardian does the work, here as after a crash: the end of the pipe is its sign.
  if (guardian_pipe_ >= 0) close(guardian_pipe_);
  if (guardian_ > 0) waitpid(guardian_, nullptr, 0);
}

void PostgresCluster::StartGuardian() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) std::abort();
  std::string script = "read gone; " + (binaries_ / "pg_ctl").string() + " -D data -m immediate stop; ";
  script += KeepAfterTest() ? "exit 0" : "cd /; rm -rf '" + folder_.string() + "'";
  const passwd* user = ServerUser();
  guardian_ = fork();
  if (guardian_ == 0) {
    setsid();  // an interrupt from the terminal is for the test, not for us
    BecomeServerUser(user, folder_);
    const int null = open("/dev/null", O_RDWR);
    dup2(ends[0], 0);
    dup2(null, 1);
    dup2(null, 2);
    Exec({"/bin/sh", "-c", script});
  }
  close(ends[0]);
  guardian_pipe_ = ends[1];
  if (KeepAfterTest()) std::fprintf(stderr, "kept: %s\n", folder_.c_str());
}

void PostgresCluster::PgCtl(const std::vector<std::string>& arguments) {
  std::vector<std::string> all = {binaries_ / "pg_ctl", "-D", "data", "-l", "server.log", "-w", "-t", "60"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  Run(all, folder_);
}

void PostgresCluster::Resume() { PgCtl({"start"}); }
void PostgresCluster::Stop(StopMode mode) {
  PgCtl({"stop", "-m", mode == StopMode::kImmediate ? "immediate" : "fast"});
}
void PostgresCluster::Restart(StopMode mode) {
  PgCtl({"restart", "-m", mode == StopMode::kImmediate ? "immediate" : "fast"});
}

std::string PostgresCluster::CreateDatabase() {
  const std::string name = "test" + std::to_string(++databases_);
  const std::string url = "host=" + folder_.string() + " port=5432 user=penstock dbname=postgres";
  RunSql(url, "CREATE SCHEMA " + name);
  return url + " options=-csearch_path=" + name;
}

std::string PostgresCluster::Through(const std::string& url, int port) {
  return "host=127.0.0.1 port=" + std::to_string(port) + url.substr(url.find(" user="));
}

}  // namespace penstock::test
