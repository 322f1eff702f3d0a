#pragma once

// Questions to a PDS or a relay (protocol 8.1, 8.2): the state of an account, the proof of a record. Answers
// are bounded and not proven: whoever asked checks them.
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

namespace penstock::net {

struct XrpcClientOptions {
  HttpClientOptions http;
  // Of each host, and of all.
  HostGateOptions gate{.per_second = 5,
                       .burst = 20,
                       .concurrency = 4,
                       .max_waiting = 1'000,
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

// How asking went. `status`:
//   OK
//   kInvalidArgument     `origin` is none
//   kNotFound            conclusively: RepoNotFound, RecordNotFound, 404
//   kFailedPrecondition  refused otherwise, in a way that no quick retry cures (4xx, RepoTakendown, …)
//   kUnavailable, kDeadlineExceeded  no answer now; ask again after `retry_after_us`
struct XrpcOutcome {
  absl::Status status;
  std::string error;  // the XRPC error, "RepoNotFound"; empty if the host named none
  int64_t retry_after_us = 0;
};

struct RepoStatus {
  bool active = false;
  std::string status;  // "deactivated", "takendown", …; empty if there is none
  std::string rev;     // empty if it is not told
};

struct LatestCommit {
  std::string cid, rev;
};

struct ListedRepo {
  std::string did;
  std::string rev, head;  // empty where the method tells none
  bool active = true;
  std::string status;
};

struct ListedHost {
  std::string hostname;
  std::string status;  // "active", "idle", …; empty if it is not told
  int64_t account_count = 0;
};

// A page of a listing. `cursor` is empty at the end. Entries whose DID or host name is none are left out and counted.
template <typename Entry>
struct ListedPage {
  std::vector<Entry> entries;
  std::string cursor;
  size_t malformed = 0;
};

// Counts: xrpc_requests, xrpc_errors (no answer), xrpc_refused (by the gate).
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

  // com.atproto.sync.getLatestCommit.
  using LatestCommitDone = std::function<void(const XrpcOutcome&, const LatestCommit&)>;
  void GetLatestCommit(const XrpcHost& host, std::string_view did, LatestCommitDone done);

  // com.atproto.repo.describeRepo: the collections that the account has records of, as its host says.
  using CollectionsDone = std::function<void(const XrpcOutcome&, const std::vector<std::string>& collections)>;
  void DescribeRepo(const XrpcHost& host, std::string_view did, CollectionsDone done);

  // com.atproto.sync.listRepos, listReposByCollection, listHosts: one page from `cursor` (empty: the first). A page that comes
  // back with the cursor that it was asked with is an error (protocol 8.1): kFailedPrecondition. So is a host that does not serve
  // the method (404, 501, MethodNotImplemented): its `error` is then "MethodNotImplemented".
  using ReposDone = std::function<void(const XrpcOutcome&, const ListedPage<ListedRepo>&)>;
  void ListRepos(const XrpcHost& host, std::string_view cursor, ReposDone done);
  void ListReposByCollection(const XrpcHost& host, std::string_view collection, std::string_view cursor, ReposDone done);
  using HostsDone = std::function<void(const XrpcOutcome&, const ListedPage<ListedHost>&)>;
  void ListHosts(const XrpcHost& host, std::string_view cursor, HostsDone done);

  // com.atproto.sync.getRepo: the body goes into `pipe` as it comes (net/body_pipe.h), and the pipe's end says how it went. Waits
  // while the pipe is full; ends when its reader cancels. Redirects to other hosts are followed, each through that host's gate.
  // The gate's place is kept until the body has come. A body shorter than Content-Length, or cut off, is kUnavailable.
  void GetRepo(const XrpcHost& host, std::string_view did, std::shared_ptr<BodyPipe> pipe);

  // True while nobody should ask this host: it is down, or asked to be left alone; and until when, microseconds from now.
  bool IsBusy(const std::string& origin, int64_t* retry_after_us) const;

 private:
  class Impl;
  explicit XrpcClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::net
