#include "net/xrpc_client.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <map>
#include <mutex>
#include <utility>

#include "base/status.h"
#include "net/io_thread.h"
#include "net/url.h"

namespace penstock::net {
namespace {

namespace asio = boost::asio;
using SteadyClock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::seconds;

constexpr size_t kMaxJsonBytes = 64 * 1024;
constexpr int kMaxRedirects = 5;  // protocol 8.5
constexpr char kJsonType[] = "application/json";
constexpr char kCarType[] = "application/vnd.ipld.car";
constexpr char kBytesType[] = "application/octet-stream";
// An answer that was none: not a matter of seconds.
constexpr microseconds kAfterNonsense = std::chrono::minutes(1);

std::string Query(std::string_view nsid, std::string_view name, std::string_view value) {
  return std::string(nsid) + "?" + std::string(name) + "=" + EncodeQueryValue(value);
}

std::string PageQuery(std::string query, size_t limit, std::string_view cursor) {
  query += (query.find('?') == std::string::npos ? "?limit=" : "&limit=") + std::to_string(limit);
  if (!cursor.empty()) query += "&cursor=" + EncodeQueryValue(cursor);
  return query;
}

}  // namespace

class XrpcClient::Impl {
 public:
  using Done = std::function<void(const XrpcOutcome&, std::string body)>;

  Impl(XrpcClientOptions options, Counters* counters)
      : options_(std::move(options)), counters_(counters), gate_(io_.executor(), options_.gate) {}
  ~Impl() {
    io_.Stop([this] {
      gate_.Stop();
      if (http_ != nullptr) http_->Stop();
    });
  }

  absl::Status Start(const Clock* clock) {
    ASSIGN_OR_RETURN(http_, HttpClient::Create(io_.executor(), options_.http, clock, counters_));
    return absl::OkStatus();
  }

  const XrpcClientOptions& options() const { return options_; }

  // `query`: "nsid?name=value&…", encoded.
  void Get(const XrpcHost& host, const std::string& query, size_t max_bytes, const char* accept, Done done) {
    const auto call = std::make_shared<Call>();
    call->request.accept = accept;
    call->request.max_body_bytes = max_bytes;
    call->request.timeout = options_.timeout;
    call->done = std::move(done);
    Begin(host, query, call);
  }

  void GetArchive(const XrpcHost& host, const std::string& query, std::shared_ptr<BodyPipe> pipe) {
    const auto call = std::make_shared<Call>();
    call->request.accept = kCarType;
    call->request.max_body_bytes = kMaxJsonBytes;  // of an error
    call->request.timeout = options_.archive_timeout;
    call->request.silence = options_.archive_silence;
    call->request.piped_types = {kCarType, kBytesType};
    call->pipe = std::move(pipe);
    Begin(host, query, call);
  }

  // A body read by `read(body, &value)`, whose error takes the outcome's place.
  template <typename Value, typename Read, typename ValueDone>
  void GetJson(const XrpcHost& host, const std::string& query, size_t max_bytes, Read read, ValueDone done) {
    auto hand_over = [read = std::move(read), done = std::move(done)](XrpcOutcome outcome, const std::string& body) {
      Value value;
      if (outcome.status.ok()) {
        outcome.status = read(body, &value);
        if (IsTransient(outcome.status)) outcome.retry_after_us = kAfterNonsense.count();
        if (!outcome.status.ok()) value = {};
      }
      done(outcome, value);
    };
    Get(host, query, max_bytes, kJsonType, std::move(hand_over));
  }

  // The same of a listing: no account is asked of, so not to be found is not to be served.
  template <typename Entry, typename Read, typename PageDone>
  void GetPage(const XrpcHost& host, const std::string& query, Read read, PageDone done) {
    auto hand_over = [done = std::move(done)](XrpcOutcome outcome, const ListedPage<Entry>& page) {
      if (absl::IsNotFound(outcome.status)) {
        outcome.status = FailedPreconditionError(Message(outcome.status));
        outcome.error = kMethodNotServed;
      }
      done(outcome, page);
    };
    GetJson<ListedPage<Entry>>(host, query, options_.max_page_bytes, std::move(read), std::move(hand_over));
  }

  bool IsBusy(const std::string& origin, int64_t* retry_after_us) const {
    const absl::StatusOr<Url> url = ParseOrigin(origin);
    const auto now = SteadyClock::now();
    std::lock_guard lock(mutex_);
    const auto found = url.ok() ? busy_until_.find(url->Origin()) : busy_until_.end();
    const bool busy = found != busy_until_.end() && found->second > now;
    *retry_after_us = busy ? std::chrono::ceil<microseconds>(found->second - now).count() : 0;
    return busy;
  }

 private:
  // One question, with all requests that it takes.
  struct Call {
    std::string host;  // the origin that is being asked
    HttpRequest request;
    Done done;                       // or
    std::shared_ptr<BodyPipe> pipe;  // of an archive
    int redirects = 0;
    bool asked_again = false;
  };

  void Begin(const XrpcHost& host, const std::string& query, const std::shared_ptr<Call>& call) {
    const absl::StatusOr<Url> origin = ParseOrigin(host.origin);
    if (!origin.ok()) return End(*call, {origin.status(), {}, 0}, {});
    call->host = origin->Origin();
    call->request.url = call->host + "/xrpc/" + query;
    call->request.trusted = host.trusted;
    call->request.one_request = true;
    counters_->Count("xrpc_requests");
    asio::post(io_.executor(), [this, call] { Enter(call); });
  }

  static void End(const Call& call, const XrpcOutcome& outcome, std::string body) {
    if (call.pipe != nullptr) {
      call.pipe->End(outcome, call.host);
    } else {
      call.done(outcome, std::move(body));
    }
  }

  void Enter(const std::shared_ptr<Call>& call) {
    gate_.Enter(call->host, [this, call](const HostGate::Admission& admission) {
      if (!admission.status.ok()) {
        counters_->Count("xrpc_refused");
        NoteBusy(call->host);
        return End(*call, {admission.status, {}, admission.retry_after_us, !admission.down}, {});
      }
      // Its reader may have lost patience while it waited for its turn.
      if (call->pipe != nullptr && call->pipe->cancelled()) {
        gate_.Leave(call->host, HostGate::Outcome::kAbandoned);
        return End(*call, {absl::CancelledError("the reader wants no more"), {}, 0}, {});
      }
      asio::co_spawn(io_.executor(), http_->Get(call->request, call->pipe.get()),
                     [this, call](std::exception_ptr error, HttpAnswer answer) {
                       if (error) answer.fault = HttpFault::kProtocol;
                       Answered(call, std::move(answer));
                     });
    });
  }

  void Answered(const std::shared_ptr<Call>& call, HttpAnswer answer) {
    using Outcome = HostGate::Outcome;
    const bool ours = answer.fault == HttpFault::kStopped || answer.fault == HttpFault::kAbandoned ||
                      answer.fault == HttpFault::kStale;
    // We did not want to ask. Were it a failure of the host, a stranger who redirects to a relay in our own network
    // would take that down for us.
    const bool unasked = answer.fault == HttpFault::kBadUrl || answer.fault == HttpFault::kForbiddenAddress;
    // What it does not serve it answers all the same.
    const bool failed = answer.ok() ? answer.status >= 500 && answer.status != 501 : !ours && !unasked;
    answer.rate.exceeded = answer.ok() && answer.status == 429;
    const Outcome outcome_of_host = failed ? Outcome::kFailed : answer.ok() ? Outcome::kAnswered : Outcome::kAbandoned;
    gate_.Leave(call->host, outcome_of_host, answer.pause, answer.rate);
    NoteBusy(call->host);

    if (answer.fault == HttpFault::kStale && !call->asked_again) {
      call->asked_again = true;
      return Enter(call);
    }
    if (answer.ok() && !answer.location.empty()) return Follow(call, answer.location);

    XrpcOutcome outcome;
    if (!answer.ok()) {
      if (!ours) counters_->Count("xrpc_errors");
      outcome.status = answer.ToStatus();
    } else {
      outcome = JudgeAnswer(answer.status, answer.url, answer.body);
      if (outcome.status.ok() && call->pipe != nullptr && !answer.piped) {
        outcome.error = kNoArchive;
        outcome.status = FailedPreconditionError(answer.url + ": no archive but " + answer.content_type);
      } else if (outcome.status.ok() && answer.body_too_large) {
        outcome.status = FailedPreconditionError(answer.url + ": the answer is too large");
      }
    }
    if (IsTransient(outcome.status)) {
      outcome.retry_after_us =
          std::max<int64_t>(gate_.RetryAfter(call->host).count(), microseconds(seconds(1)).count());
    }
    End(*call, outcome, std::move(answer.body));
  }

  // A redirect is a request of its own, at a host of its own.
  void Follow(const std::shared_ptr<Call>& call, const std::string& location) {
    counters_->Count("xrpc_redirects");
    const absl::StatusOr<Url> from = ParseUrl(call->request.url), to = ParseUrl(location);
    if (!from.ok() || !to.ok() || ++call->redirects > kMaxRedirects) {
      const std::string why = call->host + ": too many redirects, the last to " + location;
      return End(*call, {UnavailableError(why), {}, kAfterNonsense.count()}, {});
    }
    call->request.trusted = call->request.trusted && from->SameOrigin(*to);
    call->request.url = location;
    call->host = to->Origin();
    call->asked_again = false;
    Enter(call);
  }

  void NoteBusy(const std::string& host) {
    const auto now = SteadyClock::now();
    const microseconds wait = gate_.RetryAfter(host);
    std::lock_guard lock(mutex_);
    if (wait.count() > 0) {
      busy_until_[host] = now + wait;
    } else {
      busy_until_.erase(host);
    }
    if (busy_until_.size() <= options_.gate.max_hosts) return;
    std::erase_if(busy_until_, [&](const auto& entry) { return entry.second <= now; });
    // The gate still knows; whoever asks there is refused.
    if (busy_until_.size() > options_.gate.max_hosts) busy_until_.erase(busy_until_.begin());
  }

  const XrpcClientOptions options_;
  Counters* const counters_;
  mutable std::mutex mutex_;
  std::map<std::string, SteadyClock::time_point> busy_until_;  // by origin; guarded by mutex_
  IoThread io_;
  HostGate gate_;
  std::unique_ptr<HttpClient> http_;
};

absl::StatusOr<std::unique_ptr<XrpcClient>> XrpcClient::Create(XrpcClientOptions options, const Clock* clock,
                                                               Counters* counters) {
  auto impl = std::make_unique<Impl>(std::move(options), counters);
  RETURN_IF_ERROR(impl->Start(clock));
  return std::unique_ptr<XrpcClient>(new XrpcClient(std::move(impl)));
}

XrpcClient::XrpcClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
XrpcClient::~XrpcClient() = default;

void XrpcClient::GetRepoStatus(const XrpcHost& host, std::string_view did, RepoStatusDone done) {
  auto read = [did = std::string(did)](const std::string& body, RepoStatus* status) {
    return ReadRepoStatus(body, did, status);
  };
  impl_->GetJson<RepoStatus>(host, Query("com.atproto.sync.getRepoStatus", "did", did), kMaxJsonBytes, std::move(read),
                             std::move(done));
}

void XrpcClient::GetRecord(const XrpcHost& host, std::string_view did, std::string_view collection,
                           std::string_view rkey, CarDone done) {
  const std::string query = "com.atproto.sync.getRecord?did=" + EncodeQueryValue(did) +
                            "&collection=" + EncodeQueryValue(collection) + "&rkey=" + EncodeQueryValue(rkey);
  auto hand_over = [done = std::move(done)](const XrpcOutcome& outcome, std::string body) {
    if (!outcome.status.ok()) body.clear();
    done(outcome, std::move(body));
  };
  impl_->Get(host, query, impl_->options().max_car_bytes, "application/vnd.ipld.car", std::move(hand_over));
}

void XrpcClient::GetLatestCommit(const XrpcHost& host, std::string_view did, LatestCommitDone done) {
  impl_->GetJson<LatestCommit>(host, Query("com.atproto.sync.getLatestCommit", "did", did), kMaxJsonBytes,
                               ReadLatestCommit, std::move(done));
}

void XrpcClient::DescribeRepo(const XrpcHost& host, std::string_view did, CollectionsDone done) {
  auto read = [did = std::string(did)](const std::string& body, std::vector<std::string>* collections) {
    return ReadCollections(body, did, collections);
  };
  impl_->GetJson<std::vector<std::string>>(host, Query("com.atproto.repo.describeRepo", "repo", did),
                                           impl_->options().max_page_bytes, std::move(read), std::move(done));
}

void XrpcClient::ListRepos(const XrpcHost& host, std::string_view cursor, ReposDone done) {
  auto read = [cursor = std::string(cursor)](const std::string& body, ListedPage<ListedRepo>* page) {
    return ReadRepoPage(body, cursor, kReposPerPage, page);
  };
  impl_->GetPage<ListedRepo>(host, PageQuery("com.atproto.sync.listRepos", kReposPerPage, cursor), std::move(read),
                             std::move(done));
}

void XrpcClient::ListReposByCollection(const XrpcHost& host, std::string_view collection, std::string_view cursor,
                                       ReposDone done) {
  auto read = [cursor = std::string(cursor)](const std::string& body, ListedPage<ListedRepo>* page) {
    return ReadRepoPage(body, cursor, kReposOfCollectionPerPage, page);
  };
  std::string query = Query("com.atproto.sync.listReposByCollection", "collection", collection);
  impl_->GetPage<ListedRepo>(host, PageQuery(std::move(query), kReposOfCollectionPerPage, cursor), std::move(read),
                             std::move(done));
}

void XrpcClient::ListHosts(const XrpcHost& host, std::string_view cursor, HostsDone done) {
  auto read = [cursor = std::string(cursor)](const std::string& body, ListedPage<ListedHost>* page) {
    return ReadHostPage(body, cursor, kHostsPerPage, page);
  };
  impl_->GetPage<ListedHost>(host, PageQuery("com.atproto.sync.listHosts", kHostsPerPage, cursor), std::move(read),
                             std::move(done));
}

void XrpcClient::GetRepo(const XrpcHost& host, std::string_view did, std::shared_ptr<BodyPipe> pipe) {
  impl_->GetArchive(host, Query("com.atproto.sync.getRepo", "did", did), std::move(pipe));
}

bool XrpcClient::IsBusy(const std::string& origin, int64_t* retry_after_us) const {
  return impl_->IsBusy(origin, retry_after_us);
}

}  // namespace penstock::net
