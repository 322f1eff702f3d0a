#include "app/subscription_options.h"

#include <chrono>

#include "base/status.h"

namespace penstock::app {

void SubscriptionFlags::Bind(CLI::App* verb) {
  verb->add_option("--ca-file", ca_file, "Certificate authorities to trust instead of the system's, PEM")->type_name("FILE");
  verb->add_option("--user-agent", user_agent, "What we call ourselves; add a contact so that a relay's operator can reach you")
      ->type_name("TEXT");
  verb->add_option("--ping-interval", ping_interval_s, "How often a quiet peer is pinged, seconds")
      ->capture_default_str()
      ->check(CLI::Range(1, 3600))
      ->type_name("S");
  verb->add_option("--idle-timeout", idle_timeout_s, "Silence, pongs included, after which a connection counts as dead, seconds")
      ->capture_default_str()
      ->check(CLI::Range(2, 7200))
      ->type_name("S");
  verb->add_option("--backoff-max", backoff_max_s, "Longest wait between attempts to connect, seconds")
      ->capture_default_str()
      ->check(CLI::Range(1, 3600))
      ->type_name("S");
}

absl::StatusOr<firehose::SubscriptionOptions> SubscriptionFlags::Make() const {
  if (idle_timeout_s <= ping_interval_s) {
    return InvalidInputError("--idle-timeout must be longer than --ping-interval, or every quiet peer would count as dead");
  }
  firehose::SubscriptionOptions options;
  options.ca_file = ca_file;
  options.user_agent = user_agent.empty() ? "penstock/" PENSTOCK_VERSION : user_agent;
  options.ping_interval = std::chrono::seconds(ping_interval_s);
  options.idle_timeout = std::chrono::seconds(idle_timeout_s);
  options.backoff_max = std::chrono::seconds(backoff_max_s);
  return options;
}

}  // namespace penstock::app
