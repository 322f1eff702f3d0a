#pragma once

// What hosts answer to the questions of net/xrpc_client.h, and how it is read: every DID, rev, CID, NSID and host name
// is checked for its syntax (protocol 7), every page is bounded. Nothing of it is proven. Pure.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace penstock::net {

// How asking went. `status`:
//   OK
//   kInvalidArgument     `origin` is none
//   kNotFound            conclusively: RepoNotFound, RecordNotFound, 404
//   kFailedPrecondition  refused otherwise, in a way that no quick retry cures (4xx, RepoTakendown, …)
//   kUnavailable, kDeadlineExceeded  no answer now; ask again after `retry_after_us`
//   kCancelled           the reader of the body wanted no more
struct XrpcOutcome {
  absl::Status status;
  // The XRPC error, "RepoNotFound"; empty if the host named none. Two of them are ours: kMethodNotServed, kNoArchive.
  std::string error;
  int64_t retry_after_us = 0;
  bool limited = false;  // with kUnavailable: it works, and is spared: 429, a pause that it asked for, or our own limits for it
};

// The host does not serve the method at all: 501, or an error that means this; a 404 to one that no account is asked of.
inline constexpr std::string_view kMethodNotServed = "MethodNotImplemented";
// A body of another type than an archive's, such as a page for people.
inline constexpr std::string_view kNoArchive = "UnexpectedContentType";

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
  std::string rev, head;  // empty where the method tells none, or nothing that is one
  bool active = true;
  std::string status;
};

struct ListedHost {
  std::string hostname;  // lower case, with its port if that is not 443
  std::string status;    // "active", "idle", …; empty if it is not told
  int64_t account_count = 0;
};

// A page of a listing. `cursor` is empty at the end. Entries whose DID or host name is none are left out and counted.
template <typename Entry>
struct ListedPage {
  std::vector<Entry> entries;
  std::string cursor;
  size_t malformed = 0;
};

// Entries that are asked for, and so the most that a page may have (protocol 8.2).
inline constexpr size_t kReposPerPage = 1000;
inline constexpr size_t kReposOfCollectionPerPage = 2000;
inline constexpr size_t kHostsPerPage = 1000;

// What an answer with this HTTP status says of the question. `body` may be anything: proxies answer HTML.
XrpcOutcome JudgeAnswer(int http_status, std::string_view url, std::string_view body);

// The bodies of good answers. Errors: kUnavailable when they are none (malformed, about another account, a field
// missing or of the wrong type); kFailedPrecondition for a page with the cursor that it was asked with, which would
// lead in a circle, with a cursor that is no text, or with more than `most` entries. `*result` is then undefined.
absl::Status ReadRepoStatus(std::string_view body, std::string_view did, RepoStatus* result);
absl::Status ReadLatestCommit(std::string_view body, LatestCommit* result);
// Collections that are no NSID are left out.
absl::Status ReadCollections(std::string_view body, std::string_view did, std::vector<std::string>* result);
absl::Status ReadRepoPage(std::string_view body, std::string_view cursor, size_t most, ListedPage<ListedRepo>* result);
absl::Status ReadHostPage(std::string_view body, std::string_view cursor, size_t most, ListedPage<ListedHost>* result);

}  // namespace penstock::net
