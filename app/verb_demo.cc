// `penstock demo`: the real service against a relay on loopback that tells a made-up story, into an embedded store; then a
// tour of what was indexed, what was refused and why. Needs no network and leaves only its database file.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include "app/cli.h"
#include "app/common_options.h"
#include "app/progress.h"
#include "app/service.h"
#include "app/stop_signals.h"
#include "base/status.h"
#include "fixtures/builder/scenario.h"
#include "fixtures/directory/directory.h"
#include "fixtures/relay/relay.h"
#include "fmt/format.h"
#include "identity/resolver/network_resolver.h"
#include "indexer/readers.h"

namespace penstock::app {
namespace {

constexpr const char* kCollections[] = {"space.atbb.*", "com.huddle.*", "sh.tangled.*", "community.lexicon.calendar.*"};

void Title(const std::string& text) { fmt::print("\n\x1b[1m{}\x1b[0m\n", text); }

// Titles without the escape codes where nobody reads them as such.
void PlainTitle(const std::string& text) { fmt::print("\n{}\n{}\n", text, std::string(text.size(), '-')); }

std::string Shorten(std::string text, size_t width) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  if (text.size() <= width) return text;
  size_t end = width - 3;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) --end;  // not inside of a character
  return text.substr(0, end) + "...";
}

// Columns as wide as their widest cell, at most `max_width`.
void PrintTable(const indexer::TextTable& table, size_t max_width = 60) {
  std::vector<size_t> widths;
  for (const std::string& column : table.columns) widths.push_back(column.size());
  for (const auto& row : table.rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], std::min(max_width, row[i].value_or("").size()));
  }
  const auto print_row = [&](auto cell) {
    std::string line = "  ";
    for (size_t i = 0; i < widths.size(); ++i) line += fmt::format("{:<{}}  ", Shorten(cell(i), max_width), widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    fmt::print("{}\n", line);
  };
  print_row([&](size_t i) { return table.columns[i]; });
  for (const auto& row : table.rows) {
    print_row([&](size_t i) { return row[i].value_or("-"); });
  }
}

// Tells the story in step with who listens: a new version of somebody's document is published when everything before it has
// been heard, as it would be if the story took the days that it is about.
class Teller {
 public:
  Teller(const builder::Scenario* scenario, fixtures::Relay* relay, fixtures::Directory* directory)
      : scenario_(*scenario), relay_(relay), directory_(directory) {
    std::set<std::string> known;
    for (const builder::DidDocumentVersion& version : scenario_.documents) {
      if (known.insert(version.did).second) {
        directory_->SetDocument(version.did, version.document);
      } else {
        later_.push_back(&version);
      }
    }
    GoOn(0);
  }

  // `heard`: the listener's durable cursor.
  void GoOn(int64_t heard) {
    for (; next_ < scenario_.frames.size(); ++next_) {
      const builder::ScenarioFrame& frame = scenario_.frames[next_];
      for (; published_ < later_.size() && later_[published_]->from_seq <= frame.seq; ++published_) {
        if (heard < last_) return;
        directory_->SetDocument(later_[published_]->did, later_[published_]->document);
      }
      relay_->Append(frame.seq, frame.bytes);
      last_ = frame.seq;
    }
  }

 private:
  const builder::Scenario& scenario_;
  fixtures::Relay* const relay_;
  fixtures::Directory* const directory_;
  std::vector<const builder::DidDocumentVersion*> later_;  // by from_seq
  size_t next_ = 0, published_ = 0;
  int64_t last_ = 0;  // seq of the last frame told
};

struct DemoCommand {
  std::string store_path;
  uint64_t seed = 1;

  absl::Status Show(indexer::Store& store, const std::string& sql, size_t max_width = 60) const {
    ASSIGN_OR_RETURN(const indexer::TextTable table, store.Query(sql));
    PrintTable(table, max_width);
    return absl::OkStatus();
  }

  absl::Status Execute() {
    const auto start = std::chrono::steady_clock::now();
    const builder::Scenario scenario = builder::DemoScenario(seed);
    if (scenario.frames.empty()) return InternalError("the demo has no story");

    ASSIGN_OR_RETURN(const std::unique_ptr<fixtures::Relay> relay, fixtures::Relay::Start());
    ASSIGN_OR_RETURN(const std::unique_ptr<fixtures::Directory> directory, fixtures::Directory::Start());
    Teller teller(&scenario, relay.get(), directory.get());
    const int64_t last_seq = scenario.frames.back().seq;

    std::filesystem::path path = store_path;
    if (path.empty()) {
      path = std::filesystem::temp_directory_path() / fmt::format("penstock-demo-{}.db", getpid());
    }
    // The story is in the past; the clock of the service stands at its end, so that what comes "from the future" does.
    FixedClock clock(scenario.frames.back().time_us);
    Counters counters;
    indexer::FilterOptions filter_options;
    filter_options.collections.assign(std::begin(kCollections), std::end(kCollections));
    ASSIGN_OR_RETURN(const indexer::Filter filter, indexer::Filter::Make(filter_options));
    indexer::StoreOptions store_options;
    store_options.url = "sqlite:" + path.string();
    store_options.owner = OwnerName();
    store_options.clock = &clock;
    store_options.counters = &counters;
    store_options.verify = indexer::Verification::kFull;
    ASSIGN_OR_RETURN(const std::unique_ptr<indexer::Store> store, indexer::MakeStore(store_options));
    RETURN_IF_ERROR(store->Open());

    identity::NetworkResolverOptions resolving;
    resolving.directory = directory->url();
    resolving.http.user_agent = "penstock-demo/" PENSTOCK_VERSION;
    // The directory is ours and a few dozen people long: no reason to ask slowly.
    resolving.directory_gate.per_second = 1000;
    resolving.directory_gate.burst = 1000;
    ASSIGN_OR_RETURN(const std::unique_ptr<identity::NetworkResolver> resolver,
                     identity::NetworkResolver::Create(resolving, {&clock, &counters, {}}));

    fmt::print("A relay on {} tells a made-up story in {} frames;\na directory of identities on {} knows its people.\n",
               relay->url(), scenario.frames.size(), directory->url());
    fmt::print("penstock follows it with --collections '");
    for (size_t i = 0; i < std::size(kCollections); ++i) fmt::print("{}{}", i ? "," : "", kCollections[i]);
    fmt::print("' --verify full\nand writes to {}\n", path.string());

    ServiceOptions service;
    service.sources = {{{relay->url()}, /*pds=*/false}};
    service.start_cursor = 0;
    ASSIGN_OR_RETURN(service.cursors, store->LoadCursors());
    ASSIGN_OR_RETURN(service.quarantine, store->LoadQuarantine());
    service.subscription.backoff_first = std::chrono::milliseconds(20);
    service.subscription.user_agent = "penstock-demo/" PENSTOCK_VERSION;
    service.pipeline.verify = indexer::Verification::kFull;
    service.pipeline.resolver = resolver.get();
    service.pipeline.state_store = [store_options] { return *indexer::MakeStateStore(store_options); };
    service.pipeline.filter = &filter;
    service.pipeline.clock = &clock;
    service.pipeline.counters = &counters;
    service.pipeline.cursor_interval_us = 50'000;
    service.stop = &StopOnSignals();
    service.show_progress = false;
    service.name = "demo";
    service.finished = [&](const std::vector<indexer::SourceCursor>& durable) {
      const int64_t position = durable.empty() ? 0 : durable.front().position;
      teller.GoOn(position);
      return position >= last_seq || std::chrono::steady_clock::now() - start > std::chrono::seconds(40);
    };
    pipeline::StoreOutput output(store.get());
    RETURN_IF_ERROR(RunService(service, &output));
    ASSIGN_OR_RETURN(const std::vector<indexer::SourceCursor> cursors, store->LoadCursors());
    if (cursors.empty() || cursors.front().position < last_seq) {
      return DeadlineExceededError("the demo did not reach the end of its story in time");
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return Tour(*store, scenario, counters, path.string(), seconds);
  }

  absl::Status Tour(indexer::Store& store, const builder::Scenario& scenario, const Counters& counters, const std::string& path,
                    double seconds) const {
    const auto title = isatty(STDOUT_FILENO) == 1 ? Title : PlainTitle;

    title("What is in the table `record`");
    RETURN_IF_ERROR(Show(store,
                         "SELECT r.collection, sum(v.did IS NOT NULL) AS visible, sum(r.deleted) AS deleted, "
                         "count(*) - sum(v.did IS NOT NULL) - sum(r.deleted) AS hidden FROM record r "
                         "LEFT JOIN visible_record v ON v.did = r.did AND v.collection = r.collection AND v.rkey = r.rkey "
                         "GROUP BY r.collection ORDER BY r.collection"));

    title("A thread of the forum, by its references (`record_ref`)");
    RETURN_IF_ERROR(Show(store,
                         "SELECT substr(p.created_at, 1, 16) AS written, substr(p.did, 9, 8) AS author, "
                         "json_extract(p.value, '$.text') AS text FROM visible_record p "
                         "WHERE p.collection = 'space.atbb.post' AND (SELECT target_uri FROM record_ref f WHERE f.did = p.did AND "
                         "f.collection = p.collection AND f.rkey = p.rkey AND f.path = 'reply.root') = "
                         "(SELECT target_uri FROM record_ref WHERE collection = 'space.atbb.post' AND path = 'reply.root' "
                         "GROUP BY target_uri ORDER BY count(*) DESC, target_uri LIMIT 1) ORDER BY p.created_us LIMIT 6",
                         78));

    title("Bookings and repositories");
    RETURN_IF_ERROR(Show(store,
                         "SELECT collection, json_extract(value, '$.status') AS status, count(*) AS n FROM visible_record "
                         "WHERE collection LIKE 'com.huddle.booking%' GROUP BY 1, 2 ORDER BY 1, 2"));
    RETURN_IF_ERROR(Show(store,
                         "SELECT json_extract(value, '$.name') AS repo, json_extract(value, '$.knot') AS knot, "
                         "json_extract(value, '$.spindle') AS spindle FROM visible_record WHERE collection = 'sh.tangled.repo' "
                         "ORDER BY 1 LIMIT 5"));

    title("Accounts that a relay reported as not active: their rows are kept and hidden");
    RETURN_IF_ERROR(Show(store,
                         "SELECT did, status, (SELECT count(*) FROM record r WHERE r.did = repo.did) AS hidden_rows FROM repo "
                         "WHERE NOT active ORDER BY did"));

    title("What was proven: of each row, and of each account that is followed");
    RETURN_IF_ERROR(Show(store,
                         "SELECT verification, count(*) AS rows_of_this_level, 'docs/verification.md says what it is worth' AS note "
                         "FROM record GROUP BY 1 ORDER BY 1"));
    RETURN_IF_ERROR(Show(store, "SELECT sync_state, count(*) AS accounts FROM repo WHERE sync_state IS NOT NULL GROUP BY 1"));

    title("A row can be proven again: the signed bytes are kept, and hash to the CID");
    RETURN_IF_ERROR(Show(store,
                         "SELECT 'at://' || did || '/' || collection || '/' || rkey AS uri, cid, length(cbor) AS bytes, verification "
                         "FROM visible_record WHERE collection = 'space.atbb.forum.forum' LIMIT 1",
                         120));

    title("What was refused, and why (`dead_letter`, `quarantine`)");
    ASSIGN_OR_RETURN(const indexer::TextTable refused,
                     store.Query("SELECT seq, reject, detail FROM dead_letter ORDER BY seq"));
    ASSIGN_OR_RETURN(const indexer::TextTable poison, store.Query("SELECT position, reject FROM quarantine ORDER BY position"));
    std::map<int64_t, std::string> why;
    for (const builder::ScenarioFrame& frame : scenario.frames) {
      if (frame.refusal) why[frame.seq] = frame.refusal->why;
    }
    for (const auto& row : refused.rows) {
      const int64_t seq = std::stoll(row[0].value_or("0"));
      fmt::print("  seq {:<5} {:<26} {}\n", seq, row[1].value_or(""), why.contains(seq) ? why[seq] : row[2].value_or(""));
    }
    for (const auto& row : poison.rows) {
      const int64_t position = std::stoll(row[0].value_or("0"));
      const auto after = why.upper_bound(position);
      fmt::print("  after {:<3} {:<26} {}\n", position, row[1].value_or(""),
                 after == why.end() ? "a frame that is none; stepped over after three attempts" : after->second);
    }

    title("In numbers");
    ASSIGN_OR_RETURN(const indexer::TextTable numbers,
                     store.Query("SELECT (SELECT count(*) FROM record), (SELECT count(*) FROM visible_record), "
                                 "(SELECT count(*) FROM record_ref), (SELECT max(position) FROM stream_cursor)"));
    fmt::print("  {} frames, {} rows of which {} are visible, {} references, cursor {}, {:.1f} s in all\n",
               scenario.frames.size(), numbers.rows[0][0].value_or(""), numbers.rows[0][1].value_or(""),
               numbers.rows[0][2].value_or(""), numbers.rows[0][3].value_or(""), seconds);
    for (const auto& [name, count] : counters.Snapshot()) fmt::print("  {:<34} {}\n", name, count);

    title("Next");
    fmt::print(
        "  Look around:          sqlite3 {}\n"
        "  Follow a real relay:  ./run run --relay wss://RELAY --collections 'space.atbb.*' --store forum.db\n"
        "  Into PostgreSQL:      … --store postgresql://user@host/database\n"
        "  As lines of JSON:     … --out ndjson   (instead of --store)\n"
        "  What it can do:       ./run --help, README.md\n",
        path);
    return absl::OkStatus();
  }
};

}  // namespace

void RegisterDemo(Cli& cli) {
  auto command = std::make_shared<DemoCommand>();
  CLI::App* verb = cli.AddVerb("demo", "Offline: a loopback relay tells a made-up story, the real service indexes it", [command] {
    const absl::Status status = command->Execute();
    return status.ok() ? kExitDone : Report(status);
  });
  verb->add_option("--store", command->store_path, "The SQLite file to make; by default a new one in the temporary folder")
      ->type_name("PATH");
  verb->add_option("--seed", command->seed, "Another seed tells it with other people")->capture_default_str()->type_name("N");
}

}  // namespace penstock::app
