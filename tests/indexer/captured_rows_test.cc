// Rows and NDJSON of real captures, against what the reference implementation saw: every operation, record
// and other event of every stream in $PENSTOCK_CAPTURES, without a store or the program around it.

#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "base/status.h"
#include "car/block_index.h"
#include "cbor/json_out.h"
#include "firehose/frame.h"
#include "gtest/gtest.h"
#include "indexer/ndjson.h"
#include "indexer/row_builder.h"
#include "repo/commit_check.h"
#include "tests/support/shared_data.h"

namespace penstock::indexer {
namespace {

namespace json = boost::json;

// Long after every rev of any capture.
constexpr int64_t kNow = 4'102'444'800'000'000;  // 2100-01-01

// The messages of a `.frames` file: each a length of 4 bytes, big endian, and its bytes.
std::vector<Bytes> SplitFrames(Bytes file) {
  std::vector<Bytes> frames;
  while (file.size() >= 4) {
    const size_t size =
        size_t{file[0]} << 24 | size_t{file[1]} << 16 | size_t{file[2]} << 8 | size_t{file[3]};
    if (size > file.size() - 4) break;
    frames.push_back(file.subspan(4, size));
    file = file.subspan(4 + size);
  }
  EXPECT_TRUE(file.empty()) << "the file is cut off";
  return frames;
}

class Reader {
 public:
  // Adds the lines of one message.
  absl::Status Read(Bytes message, std::string* lines) {
    change_.Clear();
    RETURN_IF_ERROR(firehose::DecodeFrame(message, &frame_));
    switch (frame_.kind) {
      case firehose::FrameKind::kCommit:
        RETURN_IF_ERROR(Commit(message));
        break;
      case firehose::FrameKind::kSync:
        RETURN_IF_ERROR(Sync());
        break;
      case firehose::FrameKind::kIdentity:
        builder_.BuildIdentity(frame_, &change_);
        break;
      case firehose::FrameKind::kAccount:
        builder_.BuildAccount(frame_, &change_);
        break;
      default:
        return InternalError("another kind of frame");
    }
    EXPECT_TRUE(change_.dead_letters.empty()) << "seq " << change_.seq;
    for (const RecordRow& row : change_.records) {
      ++rows;
      refs += row.refs.size();
      warned += row.validation == Validation::kWarn;
      lossy += row.value_lossy;
      if (row.op == repo::Action::kDelete) continue;
      // But for U+0000, the column says the same as the bytes.
      std::string exact;
      RETURN_IF_ERROR(cbor::AppendJson(row.cbor, {}, &exact));
      EXPECT_EQ(row.value == exact, !row.value_lossy) << "seq " << change_.seq;
    }
    AppendNdjson(change_, lines);
    return absl::OkStatus();
  }

  size_t rows = 0, refs = 0, warned = 0, lossy = 0;

 private:
  absl::Status Commit(Bytes message) {
    repo::CommitClaim claim;
    claim.did = frame_.did;
    claim.rev = frame_.rev;
    claim.since = frame_.since;
    claim.commit = frame_.commit;
    claim.prev_data = frame_.prev_data;
    claim.blocks = frame_.blocks;
    claim.ops = frame_.ops;
    repo::CheckedCommit checked;
    RETURN_IF_ERROR(checker_.Check(claim, kNow, &checked));
    builder_.BuildCommit(frame_, checked, Verification::kCid, message, &change_);
    return absl::OkStatus();
  }
  absl::Status Sync() {
    RETURN_IF_ERROR(blocks_.Load(frame_.blocks));
    const std::optional<Bytes> block = blocks_.Find(blocks_.root());
    if (!block) return RejectError(Reject::kCarMissingBlock);
    ASSIGN_OR_RETURN(const repo::CommitObject commit, repo::DecodeCommit(*block));
    builder_.BuildSync(frame_, commit, blocks_.root(), &change_);
    return absl::OkStatus();
  }

  Filter everything_ = Filter::Everything();
  RowBuilder builder_{&everything_};
  repo::CommitChecker checker_;
  car::BlockIndex blocks_;
  firehose::Frame frame_;
  ChangeSet change_;
};

// The reference reads texts with JavaScript's TextDecoder, which drops a U+FEFF at the start of every text (a
// later one stays). The signed bytes hold it, and so do our rows (docs/gotchas.md).
void DropLeadingByteOrderMarks(json::value* value) {
  if (json::object* object = value->if_object()) {
    for (auto& [key, member] : *object) DropLeadingByteOrderMarks(&member);
  } else if (json::array* array = value->if_array()) {
    for (json::value& element : *array) DropLeadingByteOrderMarks(&element);
  } else if (json::string* text = value->if_string(); text != nullptr && text->starts_with("\xef\xbb\xbf")) {
    text->erase(0, 3);
  }
}

// The reference prints `prev`, which we do not; we print `verification`. Null and absent are alike.
json::object Comparable(std::string_view line) {
  json::object out;
  json::value parsed = json::parse(json::string_view(line.data(), line.size()));
  DropLeadingByteOrderMarks(&parsed);
  for (const auto& [key, value] : parsed.as_object()) {
    if (!value.is_null() && key != "prev" && key != "verification") out[key] = value;
  }
  return out;
}

TEST(CapturedRows, SayExactlyWhatTheReferenceSaw) {
  const auto folder = test::CapturesFolder();
  if (!folder) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  size_t streams = 0;
  for (const auto& entry : std::filesystem::directory_iterator(*folder)) {
    const std::string name = entry.path().filename().string();
    constexpr std::string_view kSuffix = ".events.ndjson";
    if (!name.ends_with(kSuffix)) continue;
    const std::string base = name.substr(0, name.size() - kSuffix.size());
    SCOPED_TRACE(base);
    ++streams;

    const std::vector<uint8_t> file = test::ReadFileBytes(*folder / (base + ".frames"));
    Reader reader;
    std::string text;
    for (const Bytes& message : SplitFrames(file)) {
      const absl::Status status = reader.Read(message, &text);
      ASSERT_TRUE(status.ok()) << status;
    }
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);

    const std::vector<std::string> expected = test::ReadFileLines(entry.path());
    ASSERT_FALSE(expected.empty());
    ASSERT_EQ(lines.size(), expected.size());
    for (size_t i = 0; i < lines.size(); ++i) {
      const bool equal = Comparable(lines[i]) == Comparable(expected[i]);
      ASSERT_TRUE(equal) << "line " << i + 1 << "\n" << lines[i] << "\n" << expected[i];
    }
    std::printf("captures/%s: %zu lines equal; %zu rows, %zu references, %zu warned, %zu lossy\n",
                base.c_str(), lines.size(), reader.rows, reader.refs, reader.warned, reader.lossy);
  }
  EXPECT_GT(streams, 0u);
}

}  // namespace
}  // namespace penstock::indexer
