#pragma once

// Stands between a client and a server, relays bytes, and breaks the way between them when a test says so.
// One thread of its own; every method may be called from any thread and takes effect within milliseconds.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace penstock::test {

class FaultProxy {
 public:
  enum class Direction { kToServer, kToClient };

  // Listens on 127.0.0.1, on a port that the system picks, and relays to the Unix socket at `upstream_path`.
  explicit FaultProxy(std::string upstream_path);
  ~FaultProxy();
  FaultProxy(const FaultProxy&) = delete;
  FaultProxy& operator=(const FaultProxy&) = delete;

  int port() const { return port_; }

  // Cuts every connection that there is now; returns once they are cut.
  void CutAll();
  // Cuts the connection that carries the (bytes + 1)th byte from now on in this direction, after exactly
  // `bytes` of them went through. Once; nullopt calls it off.
  void CutAfter(Direction direction, std::optional<uint64_t> bytes);
  // While true, new connections are closed as soon as they come.
  void Refuse(bool refuse);
  // While true, nothing moves, and nobody is told.
  void Stall(bool stall);
  // The connections that there are now fall silent for good, while new ones work: a router that has forgotten
  // them. Returns once they have; only CutAll ends them.
  void FreezeAll();
  // Each piece of data waits for so long.
  void Delay(std::chrono::microseconds delay);

  // Since the beginning.
  uint64_t bytes(Direction direction) const { return bytes_[static_cast<int>(direction)].load(); }
  int connections() const { return connections_.load(); }

 private:
  struct Pipe;
  struct Connection;
  struct Faults {
    bool refuse = false;
    bool stall = false;
    std::chrono::microseconds delay{0};
    std::optional<uint64_t> cut_after[2];
    uint64_t cut_all = 0, freeze_all = 0;  // how often it was asked for
  };
  void Loop();
  void Accept(std::vector<Connection>* connections);
  bool Read(Direction direction, Pipe* pipe, std::chrono::microseconds delay);  // false: cut
  void Wake();

  const std::string upstream_path_;
  int listener_ = -1;
  int wake_ = -1;
  int port_ = 0;
  std::atomic<uint64_t> bytes_[2] = {0, 0};
  std::atomic<int> connections_ = 0;
  std::atomic<uint64_t> cuts_done_ = 0, freezes_done_ = 0;
  std::atomic<bool> stop_ = false;
  std::mutex mutex_;
  Faults faults_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace penstock::test
