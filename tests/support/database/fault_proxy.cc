#include "tests/support/database/fault_proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace penstock::test {
namespace {

using SteadyClock = std::chrono::steady_clock;

class Socket {
 public:
  explicit Socket(int file = -1) : file_(file) {}
  Socket(Socket&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }
  ~Socket() {
    if (file_ >= 0) close(file_);
  }
  int file() const { return file_; }

 private:
  int file_;
};

void Must(bool good, const char* what) {
  if (good) return;
  std::perror(what);
  std::abort();
}

int ConnectUnix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(file, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    close(file);
    return -1;
  }
  fcntl(file, F_SETFL, O_NONBLOCK);
  return file;
}

}  // namespace

// One way of a connection. Holds one piece at a time: the next is read when it is out.
struct FaultProxy::Pipe {
  int from = -1, to = -1;
  std::string data;
  size_t sent = 0;
  SteadyClock::time_point ready_at{};
  bool cut_when_sent = false;

  bool empty() const { return sent == data.size(); }
  // False when the connection is over.
  bool Write() {
    const ssize_t n = send(to, data.data() + sent, data.size() - sent, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    sent += static_cast<size_t>(n);
    return !(empty() && cut_when_sent);
  }
};

struct FaultProxy::Connection {
  Socket client, server;
  Pipe pipes[2];  // by Direction
  bool frozen = false;
};

FaultProxy::FaultProxy(std::string upstream_path) : upstream_path_(std::move(upstream_path)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  Must(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0, "bind");
  Must(listen(listener_, 16) == 0, "listen");
  socklen_t size = sizeof(address);
  Must(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0, "getsockname");
  port_ = ntohs(address.sin_port);
  wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  Must(wake_ >= 0, "eventfd");
  thread_ = std::thread([this] { Loop(); });
}

FaultProxy::~FaultProxy() {
  stop_ = true;
  Wake();
  thread_.join();
  close(listener_);
  close(wake_);
}

void FaultProxy::Wake() {
  const uint64_t one = 1;
  Must(write(wake_, &one, sizeof(one)) == sizeof(one), "eventfd");
}

void FaultProxy::CutAll() {
  uint64_t wanted = 0;
  {
    std::lock_guard lock(mutex_);
    wanted = ++faults_.cut_all;
  }
  Wake();
  while (cuts_done_.load() < wanted) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void FaultProxy::FreezeAll() {
  uint64_t wanted = 0;
  {
    std::lock_guard lock(mutex_);
    wanted = ++faults_.freeze_all;
  }
  Wake();
  while (freezes_done_.load() < wanted) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void FaultProxy::CutAfter(Direction direction, std::optional<uint64_t> bytes) {
  std::lock_guard lock(mutex_);
  faults_.cut_after[static_cast<int>(direction)] = bytes;
}

void FaultProxy::Refuse(bool refuse) {
  std::lock_guard lock(mutex_);
  faults_.refuse = refuse;
}

void FaultProxy::Stall(bool stall) {
  {
    std::lock_guard lock(mutex_);
    faults_.stall = stall;
  }
  Wake();
}

void FaultProxy::Delay(std::chrono::microseconds delay) {
  std::lock_guard lock(mutex_);
  faults_.delay = delay;
}

void FaultProxy::Accept(std::vector<Connection>* connections) {
  Connection connection;
  connection.client = Socket(accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (connection.client.file() < 0) return;
  ++connections_;
  {
    std::lock_guard lock(mutex_);
    if (faults_.refuse) return;
  }
  const int yes = 1;
  setsockopt(connection.client.file(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  connection.server = Socket(ConnectUnix(upstream_path_));
  if (connection.server.file() < 0) return;  // the server is down: so are we
  const int client = connection.client.file(), server = connection.server.file();
  connection.pipes[static_cast<int>(Direction::kToServer)].from = client;
  connection.pipes[static_cast<int>(Direction::kToServer)].to = server;
  connection.pipes[static_cast<int>(Direction::kToClient)].from = server;
  connection.pipes[static_cast<int>(Direction::kToClient)].to = client;
  connections->push_back(std::move(connection));
}

bool FaultProxy::Read(Direction direction, Pipe* pipe, std::chrono::microseconds delay) {
  char buffer[16 * 1024];
  const ssize_t n = recv(pipe->from, buffer, sizeof(buffer), 0);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) return false;
  size_t size = static_cast<size_t>(n);
  {
    std::lock_guard lock(mutex_);
    std::optional<uint64_t>& left = faults_.cut_after[static_cast<int>(direction)];
    if (left.has_value() && size > *left) {
      size = *left;
      pipe->cut_when_sent = true;
      left.reset();
    } else if (left.has_value()) {
      *left -= size;
    }
  }
  bytes_[static_cast<int>(direction)] += size;
  pipe->data.assign(buffer, size);
  pipe->sent = 0;
  pipe->ready_at = SteadyClock::now() + delay;
  return size > 0 || !pipe->cut_when_sent;
}

void FaultProxy::Loop() {
  std::vector<Connection> connections;
  std::vector<pollfd> polled;
  while (!stop_) {
    Faults faults;
    {
      std::lock_guard lock(mutex_);
      faults = faults_;
    }
    if (cuts_done_.load() < faults.cut_all) {
      connections.clear();
      cuts_done_ = faults.cut_all;
    }
    if (freezes_done_.load() < faults.freeze_all) {
      for (Connection& connection : connections) connection.frozen = true;
      freezes_done_ = faults.freeze_all;
    }
    polled.assign({{wake_, POLLIN, 0}, {listener_, POLLIN, 0}});
    const auto now = SteadyClock::now();
    for (const Connection& connection : connections) {
      for (const Pipe& pipe : connection.pipes) {
        // A negative descriptor is passed over by poll.
        const bool wait = faults.stall || connection.frozen || (!pipe.empty() && pipe.ready_at > now);
        polled.push_back({wait           ? -1
                          : pipe.empty() ? pipe.from
                                         : pipe.to,
                          static_cast<short>(pipe.empty() ? POLLIN : POLLOUT), 0});
      }
    }
    const int timeout_ms = faults.delay.count() > 0 ? 1 : 20;
    poll(polled.data(), polled.size(), timeout_ms);
    uint64_t ignored = 0;
    while (read(wake_, &ignored, sizeof(ignored)) > 0) {
    }
    std::vector<bool> over(connections.size());
    for (size_t i = 0; i < connections.size(); ++i) {
      for (int d = 0; d < 2; ++d) {
        if (polled[2 + 2 * i + static_cast<size_t>(d)].revents == 0) continue;
        Pipe& pipe = connections[i].pipes[d];
        if (!(pipe.empty() ? Read(static_cast<Direction>(d), &pipe, faults.delay) : pipe.Write()))
          over[i] = true;
      }
    }
    for (size_t i = connections.size(); i-- > 0;) {
      if (over[i]) connections.erase(connections.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if ((polled[1].revents & POLLIN) != 0) Accept(&connections);
  }
}

}  // namespace penstock::test
