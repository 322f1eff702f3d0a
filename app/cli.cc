#include "app/cli.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <set>

#include "absl/strings/str_split.h"
#include "base/status.h"

// toml++ stays out of the headers: it is large. Exceptions are its way to report a syntax error; they stop here.
#include "toml++/toml.h"

namespace penstock::app {
namespace {

// One TOML value as the texts that the option would get on the command line; nullopt for a table or another odd kind.
std::optional<std::vector<std::string>> ValueTexts(const toml::node& node) {
  if (auto text = node.value_exact<std::string>()) return std::vector<std::string>{*text};
  if (auto flag = node.value_exact<bool>()) return std::vector<std::string>{*flag ? "true" : "false"};
  if (auto integer = node.value_exact<int64_t>()) return std::vector<std::string>{std::to_string(*integer)};
  if (const toml::array* array = node.as_array()) {
    std::vector<std::string> texts;
    for (const toml::node& element : *array) {
      auto one = ValueTexts(element);
      if (!one || one->size() != 1) return std::nullopt;
      texts.push_back(one->front());
    }
    return texts;
  }
  return std::nullopt;
}

// The long name of a flag, or empty for positionals and --help.
std::string LongName(const CLI::Option* option) {
  const auto& names = option->get_lnames();
  if (names.empty() || names.front() == "help" || names.front() == "version") return "";
  return names.front();
}

}  // namespace

std::string EnvironmentName(const std::string& flag) {
  std::string name = "PENSTOCK_";
  for (char c : flag.substr(flag.find_first_not_of('-'))) {
    name.push_back(c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  }
  return name;
}

int Report(const absl::Status& status) {
  std::fprintf(stderr, "penstock: %s\n", std::string(Message(status)).c_str());
  return absl::IsInvalidArgument(status) && !RejectOf(status) ? kExitUsage : kExitFailed;
}

Cli::Cli() : app_("A consumer of the AT Protocol firehose that proves what it indexes.", "penstock") {
  app_.require_subcommand(1);
  app_.set_version_flag("--version", "penstock " PENSTOCK_VERSION);
  app_.add_option("--config", config_path_, "TOML file whose keys are the names of the flags")->type_name("FILE");
  app_.footer(
      "Every option can also come from the environment (--batch-rows is PENSTOCK_BATCH_ROWS) or from the TOML file\n"
      "(batch-rows = 500). A flag beats the environment, the environment beats the file.\n"
      "Exit status: 0 done, 1 failed or something did not verify, 2 wrong usage.");
}

CLI::App* Cli::AddVerb(const std::string& name, const std::string& description, std::function<int()> handler) {
  CLI::App* verb = app_.add_subcommand(name, description);
  verb->fallthrough();  // --config may stand after the verb
  verbs_.push_back({verb, std::move(handler)});
  return verb;
}

absl::Status Cli::FillFromEnvironmentAndFile(CLI::App* verb) {
  toml::table file;
  if (config_path_.empty()) {
    if (const char* path = std::getenv("PENSTOCK_CONFIG")) config_path_ = path;
  }
  if (!config_path_.empty()) {
    try {
      file = toml::parse_file(config_path_);
    } catch (const toml::parse_error& error) {
      return InvalidInputError(config_path_ + ":" + std::to_string(error.source().begin.line) + ": " +
                               std::string(error.description()));
    }
  }
  // A key that no verb knows is a spelling mistake; one that another verb knows is that verb's business.
  std::set<std::string> known = {"config"};
  for (const Verb& other : verbs_) {
    std::vector<const CLI::App*> apps = {other.app};
    for (const CLI::App* sub : other.app->get_subcommands({})) apps.push_back(sub);
    for (const CLI::App* app : apps) {
      for (const CLI::Option* option : app->get_options({})) known.insert(LongName(option));
    }
  }
  for (const auto& [key, node] : file) {
    if (!known.contains(std::string(key.str()))) {
      return InvalidInputError(config_path_ + ": no option is named '" + std::string(key.str()) + "'");
    }
  }
  std::vector<CLI::App*> apps = {verb};
  for (CLI::App* sub : verb->get_subcommands()) apps.push_back(sub);
  for (CLI::App* app : apps) {
    for (CLI::Option* option : app->get_options({})) {
      const std::string name = LongName(option);
      if (name.empty() || option->count() > 0) continue;
      std::vector<std::string> values;
      std::string where;
      if (const char* set = std::getenv(EnvironmentName(name).c_str())) {
        where = EnvironmentName(name);
        // One text, cut where a flag's text would be: at commas for lists of NSIDs, not at all for --relay, whose commas
        // separate the stand-ins of one source.
        values = option->get_delimiter() == ',' ? std::vector<std::string>(absl::StrSplit(set, ',', absl::SkipEmpty()))
                                                : std::vector<std::string>{set};
      } else if (const toml::node* node = file.get(name)) {
        where = config_path_ + ": " + name;
        auto texts = ValueTexts(*node);
        if (!texts) return InvalidInputError(where + ": expected a text, a number, true, false, or a list of them");
        values = *std::move(texts);
      } else {
        continue;
      }
      try {
        if (option->get_expected_min() == 0) {  // a flag without a value
          const bool on = values == std::vector<std::string>{"true"} || values == std::vector<std::string>{"1"};
          // Only a flag that is on by default has a form that turns it off.
          if (!on && option->get_fnames().empty()) continue;
          option->add_result(on ? "true" : "false");
        } else {
          for (const std::string& value : values) option->add_result(value);
        }
        option->run_callback();
      } catch (const CLI::Error& error) {
        return InvalidInputError(where + ": " + error.what());
      }
    }
  }
  return absl::OkStatus();
}

int Cli::Run(int argc, char** argv) {
  try {
    app_.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app_.exit(error);
    return code == 0 ? kExitDone : kExitUsage;  // --help and --version end here, too
  }
  for (const Verb& verb : verbs_) {
    if (!verb.app->parsed()) continue;
    if (absl::Status status = FillFromEnvironmentAndFile(verb.app); !status.ok()) {
      (void)Report(status);
      return kExitUsage;
    }
    return verb.handler();
  }
  return kExitUsage;
}

}  // namespace penstock::app
