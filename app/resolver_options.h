#pragma once

// Options of every verb that has to know who an account is: from the network, or from files.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "identity/recorded.h"
#include "identity/resolver.h"
#include "net/http_client.h"
#include "pipeline/options.h"
#include "sync/host_status.h"

namespace penstock::net {
class XrpcClient;
}

namespace penstock::app {

// Whoever answers questions about accounts, with all that it stands on. Outlives the pipeline that asks.
// Movable.
class Identities {
 public:
  Identities();
  ~Identities();
  Identities(Identities&&) noexcept;
  Identities& operator=(Identities&&) noexcept;

  identity::Resolver* resolver() const;        // null at level cid
  sync::HostStatusAsker* host_status() const;  // null without a network
  // Whoever else asks hosts asks through this one, so that its limits per host hold over everything. Null at level cid.
  net::XrpcClient* xrpc() const;

  // Where identities go whose handle was checked: `keep` is called on the resolver's thread from here on. In
  // place of the one before it; empty for nowhere. When this returns the one before is not called any more.
  void KeepWith(std::function<void(const identity::IdentityPtr&)> keep) const;

 private:
  friend struct ResolverFlags;
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// --did-docs, --directory, --plc-audit, --verify-handles, --allow-private-addresses, --directory-rate,
// --identity-ttl,
// --refresh-interval
struct ResolverFlags {
  std::vector<std::string> did_docs;  // FILE, or FILE#MEMBER
  std::string directory = "https://plc.directory";
  bool allow_private_addresses = false;
  bool plc_audit = false;
  bool verify_handles = true;
  double directory_rate = 5;
  int64_t identity_ttl_s = 86'400;
  int64_t refresh_interval_s = 300;
  // How hard a host may be pressed, requests a second and at once after a pause; 0: as net/xrpc_client.h has it.
  double host_rate = 0, host_burst = 0;
  // The same, requests under way at one host and at all; at least what net/xrpc_client.h has.
  size_t host_at_once = 0, hosts_at_once = 0;
  // Of the connection that the verb has anyway, or options by BindConnection.
  std::string ca_file, user_agent;
  // Hosts that the operator chose (relays): unlike those that documents name they may be anywhere.
  // "https://host[:port]".
  std::vector<std::string> trusted_origins;

  void Bind(CLI::App* verb);
  // --ca-file, --user-agent: for verbs that open no stream.
  void BindConnection(CLI::App* verb);
  // `sources`: names of recorded sources, for one --did-docs each; empty otherwise. What `options` points to
  // outlives the result. Errors: kInvalidArgument (a file that is not readable or malformed, a bad URL).
  absl::StatusOr<Identities> Make(const pipeline::PipelineOptions& options,
                                  const std::vector<std::string>& sources) const;
  // How strangers' hosts are asked, by whatever asks them.
  net::HttpClientOptions Http() const;
  // Where identities come from, for people: the files, or the directory.
  std::string Origin() const;
};

// Loads one --did-docs argument: FILE, or FILE#MEMBER where `from_seq` is an object. `source`: for events of
// this source only; empty for all.
absl::Status LoadDidDocs(const std::string& argument, const std::string& source,
                         identity::RecordedResolver* resolver);

}  // namespace penstock::app
