#pragma once

// Questions to a PDS or a relay (protocol 8.1, 8.2): the state of an account, the proof of a record, listings, whole
// repositories. Answers are bounded and not proven: whoever asked checks them.
//
// Every request, redirects included, is let in by its host's gate (net/host_gate.h). A redirect leads on, five times at most;
// unless it stays at its origin, a host that it leads to is a stranger's choice, whoever chose the first.
//
// Runs a thread of its own; callbacks come from it. All methods are thread-safe.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/counters.h"
#include "net/body_pipe.h"
#include "net/host_gate.h"
#include "net/http_client.h"
#include "net/xrpc_answers.h"

namespace penstock::net {

struct XrpcClientOptions {
  HttpClientOptions http;
  // Of each host, and of all.
  HostGateOptions gate{.per_second = 5,
                       .burst = 20,
                       .concurrency = 4,
                       .max_waiting = 1'000,
                       .max_wait = std::chrono::seconds(20),
                       .total_concurrency = 32,
                       .total_waiting = 10'000};
  std::chrono::microseconds timeout = std::chrono::seconds(15);
  // Of a whole archive: as long as bytes come, the reader of the pipe decides what is too slow.
  std::chrono::microseconds archive_timeout = std::chrono::hours(2);
  std::chrono::microseconds archive_silence = std::chrono::seconds(30);  // without a byte
  size_t max_page_bytes = 4 * 1024 * 1024;
  // A commit's blocks are 2 MB at most, a record 1 MB.
  size_t max_car_bytes = 3 * 1024 * 1024;
};

// Who is asked.
struct XrpcHost {
  std::string origin;  // "https://host[:port]"
  // The operator chose it (a relay); otherwise a document of a stranger did (a PDS), and the rules of
  // HttpRequest apply.
  bool trusted = false;
};

// Counts: xrpc_requests, xrpc_redirects, xrpc_errors (no answer), xrpc_refused (by the gate).
class XrpcClient {
 public:
  // Errors: kInvalidArgument (CA file, DNS servers).
  static absl::StatusOr<std::unique_ptr<XrpcClient>> Create(XrpcClientOptions options, const Clock* clock,
                                                            Counters* counters);
  // Ends what is under way; every callback has been called before this returns.
  ~XrpcClient();
  XrpcClient(const XrpcClient&) = delete;
  XrpcClient& operator=(const XrpcClient&) = delete;

  // com.atproto.sync.getRepoStatus. An answer about another account is none: kUnavailable.
  using RepoStatusDone = std::function<void(const XrpcOutcome&, const RepoStatus&)>;
  void GetRepoStatus(const XrpcHost& host, std::string_view did, RepoStatusDone done);

  // com.atproto.sync.getRecord: a CAR with the commit, the path to the record, or to where it would be, and
  // the record.
  using CarDone = std::function<void(const XrpcOutcome&, std::string car)>;
  void GetRecord(const XrpcHost& host, std::string_view did, std::string_view collection,
                 std::string_view rkey, CarDone done);

  // com.atproto.sync.getLatestCommit. An answer without a CID and a rev is none: kUnavailable.
  using LatestCommitDone = std::function<void(const XrpcOutcome&, const LatestCommit&)>;
  void GetLatestCommit(const XrpcHost& host, std::string_view did, LatestCommitDone done);

  // com.atproto.repo.describeRepo: the collections that the account has records of, as its host says. An answer about another
  // account is none: kUnavailable.
  using CollectionsDone = std::function<void(const XrpcOutcome&, const std::vector<std::string>& collections)>;
  void DescribeRepo(const XrpcHost& host, std::string_view did, CollectionsDone done);

  // com.atproto.sync.listRepos, listReposByCollection, listHosts: one page from `cursor` (empty: the first). A page that comes
  // back with the cursor that it was asked with is an error (protocol 8.1): kFailedPrecondition. So is one with more entries than
  // were asked for (net/xrpc_answers.h), and a host that does not serve the method (404, 501, MethodNotImplemented): its `error`
  // is then kMethodNotServed.
  using ReposDone = std::function<void(const XrpcOutcome&, const ListedPage<ListedRepo>&)>;
  void ListRepos(const XrpcHost& host, std::string_view cursor, ReposDone done);
  void ListReposByCollection(const XrpcHost& host, std::string_view collection, std::string_view cursor, ReposDone done);
  using HostsDone = std::function<void(const XrpcOutcome&, const ListedPage<ListedHost>&)>;
  void ListHosts(const XrpcHost& host, std::string_view cursor, HostsDone done);

  // com.atproto.sync.getRepo: the body goes into `pipe` as it comes (net/body_pipe.h), and the pipe's end says how it went. Waits
  // while the pipe is full; ends when its reader cancels. The gate's place is kept until the body has come. A body shorter than
  // Content-Length, or cut off, is kUnavailable ("cut_off" in its message), a host that is silent for archive_silence
  // kDeadlineExceeded; a body that is no archive by its Content-Type is kFailedPrecondition with kNoArchive.
  void GetRepo(const XrpcHost& host, std::string_view did, std::shared_ptr<BodyPipe> pipe);

  // True while nobody should ask this host: it is down, or asked to be left alone; and until when, microseconds from now.
  bool IsBusy(const std::string& origin, int64_t* retry_after_us) const;

 private:
  class Impl;
  explicit XrpcClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::net
