#include "app/resolver_options.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <mutex>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "base/status.h"
#include "identity/resolver/network_resolver.h"
#include "net/url.h"
#include "net/xrpc_client.h"

namespace penstock::app {
namespace {

// com.atproto.sync.getRepoStatus, asked of the host itself.
class XrpcStatusAsker final : public sync::HostStatusAsker {
 public:
  XrpcStatusAsker(net::XrpcClient* client, const std::vector<std::string>& trusted)
      : client_(client), trusted_(trusted.begin(), trusted.end()) {}

  void Ask(std::string_view origin, std::string_view did,
           std::function<void(const sync::HostStatus&)> done) override {
    const std::string host(origin);
    auto answer = [done = std::move(done)](const net::XrpcOutcome& outcome, const net::RepoStatus& repo) {
      done({outcome.status, repo.active, repo.status});
    };
    client_->GetRepoStatus({host, trusted_.contains(host)}, did, std::move(answer));
  }

 private:
  net::XrpcClient* const client_;
  const std::set<std::string> trusted_;
};

// Who is told of checked handles; known only after the resolver has begun.
struct Keeper {
  std::mutex mutex;
  std::function<void(const identity::IdentityPtr&)> keep;  // guarded by mutex
};

}  // namespace

// The last one ends first: nothing is asked any more when those below it go.
struct Identities::Parts {
  Keeper keeper;
  std::unique_ptr<sync::HostStatusAsker> host_status;
  std::unique_ptr<net::XrpcClient> xrpc;
  std::unique_ptr<identity::Resolver> resolver;
};

Identities::Identities() : parts_(std::make_unique<Parts>()) {}
Identities::~Identities() = default;
Identities::Identities(Identities&&) noexcept = default;
Identities& Identities::operator=(Identities&&) noexcept = default;
identity::Resolver* Identities::resolver() const { return parts_->resolver.get(); }
sync::HostStatusAsker* Identities::host_status() const { return parts_->host_status.get(); }
net::XrpcClient* Identities::xrpc() const { return parts_->xrpc.get(); }

void Identities::KeepWith(std::function<void(const identity::IdentityPtr&)> keep) const {
  std::lock_guard lock(parts_->keeper.mutex);
  parts_->keeper.keep = std::move(keep);
}

void ResolverFlags::Bind(CLI::App* verb) {
  verb->add_option("--did-docs", did_docs,
                   "Identities from a file instead of the network: NDJSON {\"did\",\"doc\",\"from_seq\"}; "
                   "one for all sources, or "
                   "one per FILE; #MEMBER picks one where from_seq is an object")
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("FILE[#MEMBER]…");
  verb->add_option("--directory", directory, "The PLC directory that knows the accounts of did:plc")
      ->capture_default_str()
      ->type_name("URL");
  verb->add_flag(
      "--plc-audit", plc_audit,
      "Trust no directory: verify each did:plc's log of signed operations, too (twice the requests)");
  verb->add_flag("--verify-handles,!--no-verify-handles", verify_handles,
                 "Check in the background that handles lead to the accounts that claim them (DNS and HTTPS); "
                 "on by default");
  verb->add_flag("--allow-private-addresses", allow_private_addresses,
                 "Ask hosts of DID documents and handles also at private addresses, other ports and over "
                 "plain HTTP (tests and "
                 "closed networks)");
  verb->add_option("--directory-rate", directory_rate,
                   "How often the directory is asked at most, requests a second")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 10'000.0))
      ->type_name("N");
  verb->add_option("--identity-ttl", identity_ttl_s,
                   "How long an identity is used without asking again, seconds")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{30} * 86'400))
      ->type_name("S");
  verb->add_option(
          "--refresh-interval", refresh_interval_s,
          "An account whose signature fails is asked for past every cache, at most once in so many seconds")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{0}, int64_t{86'400}))
      ->type_name("S");
}

void ResolverFlags::BindConnection(CLI::App* verb) {
  verb->add_option("--ca-file", ca_file, "Certificate authorities to trust instead of the system's, PEM")
      ->type_name("FILE");
  verb->add_option("--user-agent", user_agent,
                   "What we call ourselves; add a contact so that operators can reach you")
      ->type_name("TEXT");
}

absl::Status LoadDidDocs(const std::string& argument, const std::string& source,
                         identity::RecordedResolver* resolver) {
  const size_t hash = argument.rfind('#');
  identity::RecordedResolver::Scope scope;
  scope.source = source;
  if (hash != std::string::npos) scope.member = argument.substr(hash + 1);
  const std::string path = argument.substr(0, hash);
  std::ifstream file(path, std::ios::binary);
  if (!file) return InvalidInputError("--did-docs: cannot read " + path);
  return resolver->Load(file, path, scope);
}

net::HttpClientOptions ResolverFlags::Http() const {
  net::HttpClientOptions options;
  options.user_agent = user_agent.empty() ? "penstock/" PENSTOCK_VERSION : user_agent;
  options.ca_file = ca_file;
  options.allow_private_addresses = allow_private_addresses;
  return options;
}

std::string ResolverFlags::Origin() const {
  return did_docs.empty() ? directory : "--did-docs " + std::string(absl::StrJoin(did_docs, ", "));
}

absl::StatusOr<Identities> ResolverFlags::Make(const pipeline::PipelineOptions& options,
                                               const std::vector<std::string>& sources) const {
  Identities identities;
  if (options.verify == repo::Verification::kCid) return identities;
  Identities::Parts& parts = *identities.parts_;
  net::XrpcClientOptions hosts;
  hosts.http = Http();
  if (host_rate > 0) hosts.gate.per_second = host_rate;
  if (host_burst > 0) hosts.gate.burst = host_burst;
  hosts.gate.concurrency = std::max(hosts.gate.concurrency, host_at_once);
  hosts.gate.total_concurrency = std::max(hosts.gate.total_concurrency, hosts_at_once);
  ASSIGN_OR_RETURN(parts.xrpc, net::XrpcClient::Create(std::move(hosts), options.clock, options.counters));
  if (!did_docs.empty()) {
    auto recorded = std::make_unique<identity::RecordedResolver>();
    const bool each = did_docs.size() > 1;
    if (each && did_docs.size() != sources.size()) {
      return InvalidInputError(
          "--did-docs: one file for all sources, or one for each recorded file, in their order");
    }
    for (size_t i = 0; i < did_docs.size(); ++i) {
      RETURN_IF_ERROR(LoadDidDocs(did_docs[i], each ? sources[i] : std::string(), recorded.get()));
    }
    parts.resolver = std::move(recorded);
    return identities;
  }
  if (const auto origin = net::ParseOrigin(directory); !origin.ok()) {
    return InvalidInputError("--directory: " + std::string(Message(origin.status())));
  }
  parts.host_status = std::make_unique<XrpcStatusAsker>(parts.xrpc.get(), trusted_origins);

  identity::NetworkResolverOptions network;
  network.directory = directory;
  network.plc_audit = plc_audit;
  network.http = Http();
  network.cache.fresh = std::chrono::seconds(identity_ttl_s);
  network.cache.stale = std::max<std::chrono::microseconds>(network.cache.stale, network.cache.fresh);
  network.cache.max_entries = std::max(network.cache.max_entries, options.accounts_in_memory);
  network.refresh_interval = std::chrono::seconds(refresh_interval_s);
  network.directory_gate.per_second = directory_rate;
  network.directory_gate.burst = std::max(1.0, 4 * directory_rate);
  network.verify_handles = verify_handles;
  network.on_handle = [keeper = &parts.keeper](const identity::IdentityPtr& identity) {
    std::lock_guard lock(keeper->mutex);
    if (keeper->keep) keeper->keep(identity);
  };
  ASSIGN_OR_RETURN(parts.resolver, identity::NetworkResolver::Create(
                                       std::move(network), {options.clock, options.counters, options.log}));
  return identities;
}

}  // namespace penstock::app
