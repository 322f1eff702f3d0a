#pragma once

// A PostgreSQL server of our own for tests: made by initdb in a temporary folder, reachable through a Unix
// socket there, run as `nobody` when we are root, stopped and removed when this process is gone, however it
// went (a guardian process sees to that). PENSTOCK_KEEP=1 keeps the folder, with the server's log.

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace penstock::test {

class PostgresCluster {
 public:
  // The one of this process, started at first use. Null, and `*why_not` says why, if this machine has no
  // server; aborts with the server's words if it has one that does not start.
  static PostgresCluster* Shared(std::string* why_not);

  // One apart. `settings`: lines for postgresql.conf.
  static std::unique_ptr<PostgresCluster> Start(std::string* why_not,
                                                const std::vector<std::string>& settings = {});
  ~PostgresCluster();
  PostgresCluster(const PostgresCluster&) = delete;
  PostgresCluster& operator=(const PostgresCluster&) = delete;

  // Makes an empty database with a name of its own and returns its URL (libpq key=value). It goes with the
  // cluster.
  std::string CreateDatabase();
  // The same database as in a URL from CreateDatabase, through another host and port (a proxy).
  static std::string Through(const std::string& url, int port);

  enum class StopMode { kFast, kImmediate };  // immediate: as a crash, without a checkpoint
  void Stop(StopMode mode);
  void Resume();  // after Stop
  void Restart(StopMode mode);

  // The Unix socket's path.
  std::string socket_path() const { return (folder_ / ".s.PGSQL.5432").string(); }

 private:
  PostgresCluster(std::filesystem::path folder, std::filesystem::path binaries);
  void PgCtl(const std::vector<std::string>& arguments);
  void StartGuardian();

  const std::filesystem::path folder_;
  const std::filesystem::path binaries_;
  int guardian_pipe_ = -1;
  pid_t guardian_ = -1;
  int databases_ = 0;
};

}  // namespace penstock::test
