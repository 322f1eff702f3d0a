#include "net/dns.h"

#include <ares.h>
#include <netinet/in.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <utility>

#include "base/status.h"

namespace penstock::net {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using SteadyClock = std::chrono::steady_clock;

// RFC 1035.
constexpr int kClassIn = 1;
constexpr int kTypeTxt = 16;

// How old the system's configuration must be before a failure makes us read it again.
constexpr auto kConfigurationAge = std::chrono::seconds(30);

DnsOutcome OutcomeOf(int status) {
  switch (status) {
    case ARES_SUCCESS:
      return DnsOutcome::kFound;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME:  // no name that could ever exist
      return DnsOutcome::kNotFound;
    default:
      return DnsOutcome::kFailed;
  }
}

// c-ares wants its global state set up once, before any thread uses it.
bool LibraryReady() {
  static const bool ready = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
  return ready;
}

}  // namespace

class Dns::Impl {
 public:
  Impl(asio::any_io_executor executor, DnsOptions options)
      : executor_(std::move(executor)), options_(std::move(options)), timer_(executor_) {}
  ~Impl() { Stop(); }

  absl::Status Open() {
    if (!LibraryReady()) return InternalError("c-ares: no initialisation");
    ares_options options{};
    options.flags = ARES_FLAG_NOSEARCH;
    options.timeout = static_cast<int>(options_.timeout.count());
    options.tries = options_.tries;
    options.ndomains = 0;
    options.domains = nullptr;
    options.sock_state_cb = &Impl::OnSocketState;
    options.sock_state_cb_data = this;
    const int mask =
        ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_DOMAINS | ARES_OPT_SOCK_STATE_CB;
    if (const int status = ares_init_options(&channel_, &options, mask); status != ARES_SUCCESS) {
      channel_ = nullptr;
      return InternalError(std::string("c-ares: ") + ares_strerror(status));
    }
    opened_ = SteadyClock::now();
    if (!options_.servers.empty() &&
        ares_set_servers_ports_csv(channel_, options_.servers.c_str()) != ARES_SUCCESS) {
      Close();
      return InvalidInputError("DNS servers: " + options_.servers);
    }
    return absl::OkStatus();
  }

  void Addresses(const std::string& host, AddressesDone done) {
    if (!Ready()) return Post([done = std::move(done)] { done(DnsOutcome::kFailed, {}); });
    auto* const query = new AddressQuery{this, std::move(done)};
    ++under_way_;
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_UNSPEC;
    ares_getaddrinfo(channel_, host.c_str(), nullptr, &hints, &Impl::OnAddresses, query);
    ScheduleTimeout();
  }

  void Txt(const std::string& name, TxtDone done) {
    if (!Ready()) return Post([done = std::move(done)] { done(DnsOutcome::kFailed, {}); });
    auto* const query = new TxtQuery{this, std::move(done)};
    ++under_way_;
    ares_query(channel_, name.c_str(), kClassIn, kTypeTxt, &Impl::OnTxt, query);
    ScheduleTimeout();
  }

  void Stop() {
    stopped_ = true;
    Close();
  }

 private:
  struct AddressQuery {
    Impl* owner;
    AddressesDone done;
  };
  struct TxtQuery {
    Impl* owner;
    TxtDone done;
  };
  // One of c-ares' sockets, watched on the executor. Shared with the handlers that wait for it.
  struct Watch {
    explicit Watch(const asio::any_io_executor& executor, ares_socket_t fd) : descriptor(executor, fd) {}
    asio::posix::stream_descriptor descriptor;
    bool want_read = false, want_write = false;  // what c-ares waits for
    bool reading = false, writing = false;       // what we wait for
    bool gone = false;
  };

  template <typename F>
  void Post(F f) {
    asio::post(executor_, std::move(f));
  }

  // A channel to ask, a new one if the old one's servers stopped answering: after a change of network it
  // would ask the old ones for ever.
  bool Ready() {
    if (stopped_) return false;
    if (suspect_ && under_way_ == 0 && options_.servers.empty() &&
        SteadyClock::now() - opened_ > kConfigurationAge) {
      Close();
      suspect_ = false;
    }
    return channel_ != nullptr || Open().ok();
  }

  void Close() {
    if (channel_ == nullptr) return;
    ares_destroy(std::exchange(channel_, nullptr));  // answers everything with ARES_EDESTRUCTION
    for (auto& [fd, watch] : watches_) Forget(*watch);
    watches_.clear();
    timer_.cancel();
  }

  void Settled(DnsOutcome outcome) {
    --under_way_;
    if (outcome == DnsOutcome::kFailed) suspect_ = true;
  }

  static void OnAddresses(void* argument, int status, int /*timeouts*/, ares_addrinfo* result) {
    const std::unique_ptr<AddressQuery> query(static_cast<AddressQuery*>(argument));
    std::vector<asio::ip::address> addresses;
    for (const ares_addrinfo_node* node = result != nullptr ? result->nodes : nullptr; node != nullptr;
         node = node->ai_next) {
      if (node->ai_family == AF_INET) {
        const auto* v4 = reinterpret_cast<const sockaddr_in*>(node->ai_addr);
        addresses.emplace_back(asio::ip::address_v4(ntohl(v4->sin_addr.s_addr)));
      } else if (node->ai_family == AF_INET6) {
        const auto* v6 = reinterpret_cast<const sockaddr_in6*>(node->ai_addr);
        asio::ip::address_v6::bytes_type bytes;
        std::copy(std::begin(v6->sin6_addr.s6_addr), std::end(v6->sin6_addr.s6_addr), bytes.begin());
        addresses.emplace_back(asio::ip::address_v6(bytes, v6->sin6_scope_id));
      }
    }
    if (result != nullptr) ares_freeaddrinfo(result);
    DnsOutcome outcome = OutcomeOf(status);
    if (outcome == DnsOutcome::kFound && addresses.empty()) outcome = DnsOutcome::kNotFound;
    query->owner->Settled(outcome);
    query->owner->Post([done = std::move(query->done), outcome, addresses = std::move(addresses)]() mutable {
      done(outcome, std::move(addresses));
    });
  }

  static void OnTxt(void* argument, int status, int /*timeouts*/, unsigned char* answer, int length) {
    const std::unique_ptr<TxtQuery> query(static_cast<TxtQuery*>(argument));
    std::vector<std::string> records;
    ares_txt_ext* parsed = nullptr;
    if (status == ARES_SUCCESS) status = ares_parse_txt_reply_ext(answer, length, &parsed);
    for (const ares_txt_ext* part = parsed; part != nullptr; part = part->next) {
      if (part->record_start != 0 || records.empty()) records.emplace_back();
      records.back().append(reinterpret_cast<const char*>(part->txt), part->length);
    }
    if (parsed != nullptr) ares_free_data(parsed);
    const DnsOutcome outcome = OutcomeOf(status);
    query->owner->Settled(outcome);
    query->owner->Post([done = std::move(query->done), outcome, records = std::move(records)]() mutable {
      done(outcome, std::move(records));
    });
  }

  // --- c-ares' sockets and timeouts on the executor

  static void OnSocketState(void* self, ares_socket_t fd, int readable, int writable) {
    static_cast<Impl*>(self)->SocketState(fd, readable != 0, writable != 0);
  }

  // c-ares says what it waits for on `fd`; nothing at all: it is about to close it.
  void SocketState(ares_socket_t fd, bool readable, bool writable) {
    auto found = watches_.find(fd);
    if (!readable && !writable) {
      if (found == watches_.end()) return;
      Forget(*found->second);
      watches_.erase(found);
      return;
    }
    if (found == watches_.end()) found = watches_.emplace(fd, std::make_shared<Watch>(executor_, fd)).first;
    found->second->want_read = readable;
    found->second->want_write = writable;
    Wait(found->second);
  }

  // The descriptor stays c-ares' own: it is let go of, not closed.
  static void Forget(Watch& watch) {
    watch.gone = true;
    watch.descriptor.release();
  }

  void Wait(const std::shared_ptr<Watch>& watch) {
    if (watch->want_read && !watch->reading) {
      watch->reading = true;
      watch->descriptor.async_wait(asio::posix::stream_descriptor::wait_read, [this, watch](error_code ec) {
        watch->reading = false;
        if (!ec && !watch->gone) Process(watch, watch->descriptor.native_handle(), ARES_SOCKET_BAD);
      });
    }
    if (watch->want_write && !watch->writing) {
      watch->writing = true;
      watch->descriptor.async_wait(asio::posix::stream_descriptor::wait_write, [this, watch](error_code ec) {
        watch->writing = false;
        if (!ec && !watch->gone) Process(watch, ARES_SOCKET_BAD, watch->descriptor.native_handle());
      });
    }
  }

  void Process(const std::shared_ptr<Watch>& watch, ares_socket_t read, ares_socket_t write) {
    if (channel_ == nullptr) return;
    ares_process_fd(channel_, read, write);
    if (!watch->gone) Wait(watch);
    ScheduleTimeout();
  }

  void ScheduleTimeout() {
    if (channel_ == nullptr) return;
    timeval space{};
    const timeval* const left = ares_timeout(channel_, nullptr, &space);
    if (left == nullptr) {
      timer_.cancel();
      return;
    }
    timer_.expires_after(std::chrono::seconds(left->tv_sec) + std::chrono::microseconds(left->tv_usec));
    timer_.async_wait([this](error_code ec) {
      if (ec || channel_ == nullptr) return;
      ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
      ScheduleTimeout();
    });
  }

  const asio::any_io_executor executor_;
  const DnsOptions options_;
  asio::steady_timer timer_;
  ares_channel channel_ = nullptr;
  SteadyClock::time_point opened_;
  std::map<ares_socket_t, std::shared_ptr<Watch>> watches_;
  size_t under_way_ = 0;
  bool suspect_ = false, stopped_ = false;
};

absl::StatusOr<std::unique_ptr<Dns>> Dns::Create(asio::any_io_executor executor, DnsOptions options) {
  auto impl = std::make_unique<Impl>(std::move(executor), std::move(options));
  RETURN_IF_ERROR(impl->Open());
  return std::unique_ptr<Dns>(new Dns(std::move(impl)));
}

Dns::Dns(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Dns::~Dns() = default;

void Dns::Addresses(const std::string& host, AddressesDone done) { impl_->Addresses(host, std::move(done)); }
void Dns::Txt(const std::string& name, TxtDone done) { impl_->Txt(name, std::move(done)); }
void Dns::Stop() { impl_->Stop(); }

}  // namespace penstock::net
