#include "backfill/find_rules.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace penstock::backfill {
namespace {

using sync::Listing;

bool IsPrefix(std::string_view pattern) { return pattern.ends_with(".*"); }
// "space.atbb." of "space.atbb.*".
std::string_view Stem(std::string_view pattern) { return pattern.substr(0, pattern.size() - 1); }

Listing At(std::string_view host, std::string_view method, std::string_view argument) {
  Listing listing;
  listing.host = host;
  listing.method = method;
  listing.argument = argument;
  listing.trusted = true;
  return listing;
}

void Append(std::vector<Listing> more, std::vector<Listing>* listings) {
  listings->insert(listings->end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

// Rules may expand to the same collections.
void DropDuplicates(std::vector<Listing>* listings) {
  std::set<std::tuple<std::string, std::string, std::string>> seen;
  std::erase_if(*listings, [&](const Listing& listing) {
    return !seen.insert({listing.host, listing.method, listing.argument}).second;
  });
}

// As the argument of a listing of all accounts.
std::string_view Argument(std::string_view pattern) { return pattern == "*" ? std::string_view() : pattern; }

}  // namespace

std::string_view PatternOf(std::string_view rule) { return rule.substr(0, rule.find(':')); }

bool PatternCovers(std::string_view broader, std::string_view pattern) {
  if (broader == "*" || broader == pattern) return true;
  // "a.b.*" covers "a.b.c" and "a.b.c.*", and not "a.bc" or "a.b".
  return IsPrefix(broader) && pattern.size() > Stem(broader).size() && pattern.starts_with(Stem(broader));
}

std::vector<std::string_view> SplitPatterns(std::string_view argument) {
  std::vector<std::string_view> patterns;
  while (!argument.empty()) {
    const size_t end = std::min(argument.find(' '), argument.size());
    if (end > 0) patterns.push_back(argument.substr(0, end));
    argument.remove_prefix(std::min(end + 1, argument.size()));
  }
  return patterns;
}

std::string JoinPatterns(const std::vector<std::string>& rules) {
  std::string joined;
  std::set<std::string_view> seen;
  for (const std::string& rule : rules) {
    const std::string_view pattern = PatternOf(rule);
    if (pattern == "*") return {};
    if (!seen.insert(pattern).second) continue;
    if (!joined.empty()) joined += ' ';
    joined += pattern;
  }
  return joined;
}

bool MatchesPatterns(const std::vector<std::string_view>& patterns, std::string_view collection) {
  return patterns.empty() || std::any_of(patterns.begin(), patterns.end(), [&](std::string_view pattern) {
           return PatternCovers(pattern, collection);
         });
}

std::string HostOf(std::string_view origin) {
  if (const size_t scheme = origin.find("://"); scheme != std::string_view::npos) origin.remove_prefix(scheme + 3);
  std::string host(origin.substr(0, origin.find('/')));
  for (char& c : host) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return host;
}

const FinderHost* FindHost(const FinderOptions& options, std::string_view origin) {
  const auto host = std::find_if(options.hosts.begin(), options.hosts.end(),
                                 [&](const FinderHost& h) { return HostOf(h.origin) == HostOf(origin); });
  return host == options.hosts.end() ? nullptr : &*host;
}

std::vector<Listing> ListingsForRule(std::string_view rule, const std::vector<std::string>& known_nsids,
                                     const FinderOptions& options) {
  const std::string_view pattern = PatternOf(rule);
  std::vector<Listing> listings;

  // The exact NSIDs that stand for the pattern where only those are taken.
  std::vector<std::string_view> nsids;
  if (IsPrefix(pattern)) {
    for (const std::string& nsid : known_nsids) {
      if (PatternCovers(pattern, nsid)) nsids.push_back(nsid);
    }
  } else if (pattern != "*") {
    nsids.push_back(pattern);
  }

  std::vector<std::string> relays;
  for (const FinderHost& host : options.hosts) {
    if (!host.pds) relays.push_back(host.origin);
  }
  const std::vector<std::string>& directories = options.collection_hosts.empty() ? relays : options.collection_hosts;
  for (const std::string& origin : nsids.empty() ? relays : directories) {
    if (nsids.empty()) listings.push_back(At(origin, "listHosts", Argument(pattern)));
    for (std::string_view nsid : nsids) listings.push_back(At(origin, "listReposByCollection", nsid));
  }
  for (const FinderHost& host : options.hosts) {
    if (host.pds) listings.push_back(At(host.origin, "listRepos", Argument(pattern)));
  }
  DropDuplicates(&listings);
  return listings;
}

std::vector<Listing> ListingsForGap(const sync::OpenGap& gap, const FinderOptions& options) {
  std::vector<FinderHost> hosts;
  for (const FinderHost& host : options.hosts) {
    if (HostOf(host.origin) == HostOf(gap.source)) hosts.push_back(host);
  }
  if (hosts.empty()) hosts = options.hosts;

  std::vector<Listing> listings;
  bool compared = false;  // one relay is enough to say of which accounts; each is asked about at its own host anyway
  for (const FinderHost& host : hosts) {
    if (host.pds) {
      listings.push_back(At(host.origin, "compare", ""));
      if (!options.rules.empty()) listings.push_back(At(host.origin, "listRepos", JoinPatterns(options.rules)));
      continue;
    }
    if (!std::exchange(compared, true)) listings.push_back(At(host.origin, "compare", ""));
    FinderOptions here = options;
    here.hosts = {host};
    for (const std::string& rule : options.rules) Append(ListingsForRule(rule, options.known_nsids, here), &listings);
  }
  DropDuplicates(&listings);
  return listings;
}

std::vector<Listing> FallbackFor(const Listing& listing, const FinderOptions& options) {
  std::vector<Listing> listings;
  if (listing.method == "listReposByCollection") {
    const FinderHost* const host = FindHost(options, listing.host);
    const bool directory = host == nullptr && std::any_of(options.collection_hosts.begin(), options.collection_hosts.end(),
                                                          [&](const std::string& o) { return o == listing.host; });
    if (directory) {
      // It is no source of ours, so its accounts are none of ours either: what is followed is asked itself.
      FinderOptions sources = options;
      sources.collection_hosts.clear();
      std::erase_if(sources.hosts, [](const FinderHost& h) { return h.pds; });
      listings = ListingsForRule(listing.argument, {}, sources);
    } else {
      listings.push_back(At(listing.host, "listHosts", listing.argument));
    }
  } else if (listing.method == "listHosts") {
    listings.push_back(At(listing.host, "listRepos", listing.argument));
  }
  for (Listing& next : listings) {
    next.run = listing.run;
    next.trusted = listing.trusted;
  }
  return listings;
}

}  // namespace penstock::backfill
