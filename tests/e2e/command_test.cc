// The command line as a user meets it: exit codes, precedence of flag, environment and file, what is refused.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "fixtures/builder/stream.h"
#include "fixtures/directory/directory.h"
#include "firehose/capture.h"
#include "tests/e2e/capture_truth.h"
#include "tests/e2e/program.h"
#include "tests/support/database/temp_folder.h"
#include "tests/support/shared_data.h"

namespace penstock::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Command : public testing::Test {
 protected:
  Command() : frames_(folder_.path() / "some.frames"), documents_(folder_.path() / "documents.ndjson") {
    builder::StreamOptions options;
    options.seed = 3;
    options.accounts = 5;
    options.commits = 40;
    builder::StreamBuilder stream(options);
    auto writer = firehose::CaptureWriter::Create(frames_);
    builder::StreamFrame frame;
    while (stream.Next(&frame)) EXPECT_TRUE((*writer)->Append(AsBytes(frame.bytes)).ok());
    EXPECT_TRUE((*writer)->Close().ok());
    std::ofstream(documents_, std::ios::binary) << builder::ToNdjson(stream.documents());
  }
  ~Command() override { unsetenv("PENSTOCK_COLLECTIONS"); }

  size_t Lines(const std::string& text) { return static_cast<size_t>(std::count(text.begin(), text.end(), '\n')); }

  TempFolder folder_;
  std::string frames_, documents_;
};

TEST_F(Command, HelpAndVersionSucceed) {
  EXPECT_EQ(RunProgram({"--help"}).exit_code, 0);
  EXPECT_EQ(RunProgram({"run", "--help"}).exit_code, 0);
  EXPECT_THAT(RunProgram({"--version"}).out, HasSubstr("penstock"));
}

TEST_F(Command, WrongUsageIsExitTwo) {
  EXPECT_EQ(RunProgram({}).exit_code, 2);
  EXPECT_EQ(RunProgram({"no-such-verb"}).exit_code, 2);
  EXPECT_EQ(RunProgram({"replay", frames_, "--no-such-option"}).exit_code, 2);
  EXPECT_EQ(RunProgram({"replay", frames_, "--verify", "cid"}).exit_code, 2);  // neither --store nor --out
  EXPECT_EQ(RunProgram({"replay", frames_, "--verify", "cid", "--out", "xml"}).exit_code, 2);
  EXPECT_EQ(RunProgram({"run", "--collections", "*", "--verify", "cid"}).exit_code, 2);  // no --relay
  EXPECT_EQ(RunProgram({"run", "--relay", "ws://127.0.0.1:1", "--verify", "cid", "--out", "ndjson"}).exit_code, 2);  // no --collections
  EXPECT_EQ(RunProgram({"run", "--relay", "ftp://x", "--collections", "*", "--verify", "cid", "--out", "ndjson"}).exit_code, 2);
}

TEST_F(Command, AFileThatIsNotThereOrNoCaptureIsExitOneOrTwoAndSaysWhich) {
  const ProgramRun missing = RunProgram({"replay", "/nowhere.frames", "--verify", "cid", "--out", "ndjson"});
  EXPECT_NE(missing.exit_code, 0);
  EXPECT_THAT(missing.err, HasSubstr("/nowhere.frames"));
  const std::string cut = folder_.path() / "cut.frames";
  std::ofstream(cut, std::ios::binary) << std::string("\0\0\1\0abc", 7);
  const ProgramRun run = RunProgram({"replay", cut, "--verify", "cid", "--out", "ndjson"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("cut.frames"));
}

TEST_F(Command, FullIsTheDefaultAndNothingUnprovenPasses) {
  const ProgramRun proven = RunProgram({"replay", frames_, "--out", "ndjson", "--did-docs", documents_});
  EXPECT_EQ(proven.exit_code, 0) << proven.err;
  EXPECT_THAT(proven.out, HasSubstr("\"verification\":\"full\""));
  for (const char* weaker : {"\"verification\":\"cid\"", "\"verification\":\"signature\""}) {
    EXPECT_THAT(proven.out, Not(HasSubstr(weaker)));
  }
  // Nobody says who the accounts are: their commits wait, at either level that needs a key.
  for (const std::vector<std::string>& level : {std::vector<std::string>{}, {"--verify", "signature"}}) {
    std::vector<std::string> args = {"replay", frames_, "--out", "ndjson", "--directory", "http://127.0.0.1:1", "--shutdown-timeout", "1"};
    args.insert(args.end(), level.begin(), level.end());
    const ProgramRun run = RunProgram(args);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    EXPECT_THAT(run.out, Not(HasSubstr("\"record\"")));
    EXPECT_THAT(run.err, HasSubstr("could not be judged"));
  }
  EXPECT_EQ(RunProgram({"replay", frames_, "--out", "ndjson", "--verify", "everything"}).exit_code, 2);
  EXPECT_EQ(RunProgram({"replay", frames_, "--out", "ndjson", "--directory", "not a url"}).exit_code, 2);
  EXPECT_EQ(RunProgram({"replay", frames_, "--out", "ndjson", "--allow", "anything"}).exit_code, 2);
}

TEST_F(Command, AFlagThatIsOnCanBeTurnedOffInEveryPlace) {
  const auto directory = *fixtures::Directory::Start();
  for (const boost::json::object& line : ReadNdjson(documents_)) {
    directory->SetDocument(line.at("did").as_string(), boost::json::serialize(line.at("doc")));
  }
  // Their handles are under .test, which is nobody's: known without asking, and counted.
  int run = 0;
  const auto checked = [&](const std::vector<std::string>& more) {
    const std::string store = folder_.path() / ("store" + std::to_string(++run) + ".db");
    std::vector<std::string> args = {"replay", frames_, "--store", store, "--directory", directory->url(), "--directory-rate", "1000"};
    args.insert(args.end(), more.begin(), more.end());
    const ProgramRun replay = RunProgram(args);
    EXPECT_EQ(replay.exit_code, 0) << replay.err;
    return replay.err.find("handle_invalid") != std::string::npos;
  };
  EXPECT_TRUE(checked({}));
  EXPECT_FALSE(checked({"--no-verify-handles"}));
  const std::string config = folder_.path() / "penstock.toml";
  std::ofstream(config) << "verify-handles = false\n";
  EXPECT_FALSE(checked({"--config", config}));
  setenv("PENSTOCK_VERIFY_HANDLES", "true", 1);
  EXPECT_TRUE(checked({"--config", config}));
  setenv("PENSTOCK_VERIFY_HANDLES", "0", 1);
  EXPECT_FALSE(checked({}));
  EXPECT_TRUE(checked({"--verify-handles"}));
  unsetenv("PENSTOCK_VERIFY_HANDLES");
}

TEST_F(Command, FlagBeatsEnvironmentBeatsFile) {
  const std::string config = folder_.path() / "penstock.toml";
  std::ofstream(config) << "verify = \"cid\"\nout = \"ndjson\"\ncollections = [\"space.atbb.*\"]\n";
  const auto collections = [](const std::string& out) {
    std::string seen;
    for (const char* prefix : {"space.atbb.", "com.huddle.", "app.bsky."}) {
      if (out.find(std::string("\"collection\":\"") + prefix) != std::string::npos) seen += prefix;
    }
    return seen;
  };
  const std::vector<std::string> base = {"replay", frames_, "--config", config};
  EXPECT_EQ(collections(RunProgram(base).out), "space.atbb.");
  setenv("PENSTOCK_COLLECTIONS", "com.huddle.*", 1);
  EXPECT_EQ(collections(RunProgram(base).out), "com.huddle.");
  std::vector<std::string> flag = base;
  flag.insert(flag.end(), {"--collections", "app.bsky.*"});
  EXPECT_EQ(collections(RunProgram(flag).out), "app.bsky.");
}

TEST_F(Command, AnUnknownKeyInTheFileIsAMistakeThatIsSaid) {
  const std::string config = folder_.path() / "penstock.toml";
  std::ofstream(config) << "colections = [\"*\"]\n";
  const ProgramRun run = RunProgram({"replay", frames_, "--config", config, "--verify", "cid", "--out", "ndjson"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("colections"));
}

TEST_F(Command, ReplayIntoAStoreResumesAndTheCursorCanBeMoved) {
  const std::string store = folder_.path() / "store.db";
  const std::vector<std::string> replay = {"replay", frames_, "--verify", "cid", "--store", store};
  ASSERT_EQ(RunProgram(replay).exit_code, 0);
  const std::string shown = RunProgram({"cursor", "show", "--store", store}).out;
  ASSERT_THAT(shown, testing::StartsWith("file:"));
  EXPECT_THAT(RunProgram(replay).err, HasSubstr("0 frames"));
  const std::string source = shown.substr(0, shown.find('\t'));
  EXPECT_EQ(RunProgram({"cursor", "set", source, "3", "--store", store}).out, source + "\t3\n");
  EXPECT_THAT(RunProgram(replay).err, HasSubstr("0 rows written"));  // everything is known already
  EXPECT_EQ(RunProgram({"cursor", "show", "--store", store}).out, shown);
  EXPECT_EQ(RunProgram({"cursor", "clear", source, "--store", store}).out, "");
}

TEST_F(Command, TwoInstancesNeverShareAStore) {
  const std::string store = "sqlite:" + (folder_.path() / "store.db").string();
  ProgramProcess first({"run", "--relay", "ws://127.0.0.1:1", "--collections", "*", "--verify", "cid", "--store", store});
  const std::string holder = "pid " + std::to_string(first.pid());
  ProgramRun second;
  // Until the first one has its lease, and has written its name where the one before it stood.
  for (int attempts = 0; attempts < 200 && second.err.find(holder) == std::string::npos; ++attempts) {
    second = RunProgram({"cursor", "show", "--store", store});
  }
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, HasSubstr(holder));
  first.Signal(SIGTERM);
  EXPECT_EQ(first.Wait(20), 0);
  EXPECT_EQ(RunProgram({"cursor", "show", "--store", store}).exit_code, 0);
}

TEST_F(Command, InspectExplainsARefusalAndFails) {
  const ProgramRun bad = RunProgram({"inspect", "cbor", "hex:a2616201616100"});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_THAT(bad.out, HasSubstr("cbor_map_key_order"));
  const ProgramRun good = RunProgram({"inspect", "cbor", "hex:a2616100616201"});
  EXPECT_EQ(good.exit_code, 0);
  EXPECT_THAT(good.out, HasSubstr("{\"a\":0,\"b\":1}"));
  EXPECT_EQ(RunProgram({"inspect", "cid", "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"}).exit_code, 0);
  EXPECT_EQ(RunProgram({"inspect", "cid", "bafyreie"}).exit_code, 1);
  const ProgramRun frame = RunProgram({"inspect", "frame", frames_, "--index", "0"});
  EXPECT_EQ(frame.exit_code, 0) << frame.out << frame.err;
}

TEST_F(Command, InspectCommitJudgesByTheKeyThatItIsGiven) {
  // The third frame is the first account's first commit.
  const std::vector<std::string> inspect = {"inspect", "commit", frames_, "--index", "2"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> args = inspect;
    args.insert(args.end(), more.begin(), more.end());
    return RunProgram(args);
  };
  const ProgramRun unjudged = with({});
  EXPECT_EQ(unjudged.exit_code, 0) << unjudged.out << unjudged.err;
  EXPECT_THAT(unjudged.out, HasSubstr("not judged"));
  const ProgramRun good = with({"--did-docs", documents_});
  EXPECT_EQ(good.exit_code, 0) << good.out << good.err;
  EXPECT_THAT(good.out, HasSubstr("signature  holds"));
  const std::string another = "did:key:zQ3shafhGFdtE872Hz9mvoJjtNtE7tSefLRt1f6UpU31Q9b2B";
  const ProgramRun bad = with({"--key", another});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_THAT(bad.out, HasSubstr("signature_"));
  EXPECT_EQ(with({"--key", "did:key:nothing"}).exit_code, 2);
  EXPECT_EQ(with({"--key", another, "--did-docs", documents_}).exit_code, 2);
  EXPECT_EQ(RunProgram({"inspect", "commit", frames_}).exit_code, 2) << "which of them?";
}

TEST_F(Command, DemoTellsItsStory) {
  const ProgramRun run = RunProgram({"demo", "--store", (folder_.path() / "demo.db").string()});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  for (const char* part : {"space.atbb.post", "com.huddle.booking", "sh.tangled.repo", "What was refused", "Next"}) {
    EXPECT_THAT(run.out, HasSubstr(part));
  }
}

// What --help prints for `verb` and, if it has verbs of its own, for each of them.
void CollectHelp(const std::vector<std::string>& verb, std::string* all) {
  std::vector<std::string> args = verb;
  args.push_back("--help");
  const std::string help = RunProgram(args).out;
  all->append(help);
  const size_t verbs = help.find("\nSubcommands:\n");
  if (verbs == std::string::npos) return;
  static const std::regex line("\n  ([a-z]+) ");
  for (auto it = std::sregex_iterator(help.begin() + static_cast<std::ptrdiff_t>(verbs), help.end(), line);
       it != std::sregex_iterator(); ++it) {
    std::vector<std::string> sub = verb;
    sub.push_back((*it)[1]);
    CollectHelp(sub, all);
  }
}

// The options that lines of `text` introduce, as "--name" and, where one is given, "--name = default".
std::set<std::string> Options(const std::string& text, const std::regex& line) {
  std::set<std::string> options;
  for (auto it = std::sregex_iterator(text.begin(), text.end(), line); it != std::sregex_iterator(); ++it) {
    options.insert((*it)[1]);
    if ((*it)[2].matched) options.insert((*it)[1].str() + " = " + (*it)[2].str());
  }
  return options;
}

TEST(CommandLinePage, SaysTheOptionsAndDefaultsOfTheProgram) {
  std::string help;
  CollectHelp({}, &help);
  //   --lease-wait S:INT in [0 - 86400]=30
  std::set<std::string> real = Options(help, std::regex("\n  (--[a-z-]+)(?: [^ =\n]*(?: in \\[[^\\]\n]*\\])?=([^ \n]+))?"));
  ASSERT_GT(real.size(), 40u);
  real.erase("--version");
  // | `--lease-wait S` | 30 | s | how long to wait …
  const std::set<std::string> written =
      Options(ReadFileText("docs/cli.md"), std::regex("\n\\| `(--[a-z-]+)[^|]*\\| (?:–|`?([^ |`]+)`?) \\|"));
  std::vector<std::string> missing, invented;
  std::set_difference(real.begin(), real.end(), written.begin(), written.end(), std::back_inserter(missing));
  std::set_difference(written.begin(), written.end(), real.begin(), real.end(), std::back_inserter(invented));
  EXPECT_THAT(missing, IsEmpty()) << "not in docs/cli.md";
  EXPECT_THAT(invented, IsEmpty()) << "not in --help";
}

}  // namespace
}  // namespace penstock::test
