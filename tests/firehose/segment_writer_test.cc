#include "firehose/segment_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "base/status.h"
#include "firehose/capture.h"
#include "firehose/frame.h"
#include "tests/firehose/frame_builder.h"
#include "tests/firehose/temp_folder.h"
#include "tests/support/shared_data.h"

namespace penstock::firehose {
namespace {

namespace fs = std::filesystem;
using namespace penstock::test;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kHost = "wss://relay.test";

// The event with this seq; sizes differ from seq to seq.
std::string Event(int64_t seq) {
  return Message("#identity", IdentityPayload()
                                  .With("seq", Int(seq))
                                  .With("pad", Text(std::string(static_cast<size_t>(seq % 7) * 10, 'p'))));
}
// It arrives at a time that its seq tells.
int64_t ArrivalOf(int64_t seq) { return 1'700'000'000'000'000 + seq * 1000; }

struct Recording {
  std::vector<int64_t> seqs;
  std::vector<int64_t> times;
  absl::Status status;
};
Recording Read(const fs::path& folder) {
  Recording recording;
  auto reader = CaptureReader::Open(folder);
  if (!reader.ok()) return Recording{{}, {}, reader.status()};
  FrameBuffer buffer;
  Frame frame;
  for (;;) {
    const absl::StatusOr<bool> more = (*reader)->Next(&buffer);
    recording.status = more.status();
    if (!more.ok() || !*more) return recording;
    EXPECT_TRUE(DecodeFrame(buffer.bytes(), &frame).ok());
    recording.seqs.push_back(frame.seq.value_or(-1));
    recording.times.push_back(buffer.arrival_us);
  }
}

std::unique_ptr<SegmentWriter> MustOpen(const fs::path& folder, const SegmentOptions& options = {}) {
  auto writer = SegmentWriter::Open(folder, kHost, options);
  EXPECT_TRUE(writer.ok()) << writer.status();
  return writer.ok() ? *std::move(writer) : nullptr;
}

// Records from after the cursor up to `last`, as a stream would give it.
void Follow(SegmentWriter* writer, int64_t last) {
  for (int64_t seq = writer->cursor().value_or(0) + 1; seq <= last; ++seq) {
    ASSERT_TRUE(writer->Append(AsBytes(Event(seq)), seq, ArrivalOf(seq)).ok());
  }
}

// Every event from 1 to `last`, each once, each with its time.
void ExpectWhole(const fs::path& folder, int64_t last) {
  const Recording recording = Read(folder);
  EXPECT_TRUE(recording.status.ok()) << recording.status;
  ASSERT_EQ(recording.seqs.size(), static_cast<size_t>(last));
  for (int64_t seq = 1; seq <= last; ++seq) {
    ASSERT_EQ(recording.seqs[static_cast<size_t>(seq - 1)], seq);
    ASSERT_EQ(recording.times[static_cast<size_t>(seq - 1)], ArrivalOf(seq));
  }
}

SegmentOptions Small() {
  SegmentOptions options;
  options.segment_bytes = 1000;
  options.chunk_bytes = 300;
  return options;
}

TEST(SegmentWriter, RecordsRotatesAndListsWhatItHolds) {
  TempFolder folder;
  auto writer = MustOpen(folder.path(), Small());
  EXPECT_EQ(writer->cursor(), std::nullopt);
  Follow(writer.get(), 50);
  ASSERT_TRUE(writer->Close().ok());
  EXPECT_EQ(writer->cursor(), 50);
  EXPECT_EQ(writer->frames(), 50u);
  ExpectWhole(folder.path(), 50);

  const auto manifest = ReadManifest(folder.path());
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->host, kHost);
  ASSERT_GT(manifest->segments.size(), 3u);
  int64_t last = 0;
  uint64_t number = 0;
  for (const SegmentInfo& segment : manifest->segments) {
    EXPECT_EQ(segment.number, ++number);
    EXPECT_EQ(segment.cursor_before, last == 0 ? std::nullopt : std::optional<int64_t>(last));
    EXPECT_EQ(segment.first_seq, last + 1);
    EXPECT_EQ(segment.frames, static_cast<uint64_t>(*segment.last_seq - last));
    EXPECT_EQ(segment.first_arrival_us, ArrivalOf(*segment.first_seq));
    EXPECT_EQ(segment.last_arrival_us, ArrivalOf(*segment.last_seq));
    EXPECT_LE(segment.bytes, 1000u);
    EXPECT_EQ(segment.stored_bytes, fs::file_size(folder / SegmentFileName(number)));
    EXPECT_EQ(segment.frames * 8, fs::file_size(folder / TimesFileName(number)));
    last = *segment.last_seq;
  }
  EXPECT_EQ(last, 50);
}

TEST(SegmentWriter, ResumesAfterAGoodEnd) {
  TempFolder folder;
  for (int64_t last : {20, 20, 45, 90}) {
    auto writer = MustOpen(folder.path(), Small());
    Follow(writer.get(), last);
    ASSERT_TRUE(writer->Close().ok());
    ExpectWhole(folder.path(), last);
  }
}

TEST(SegmentWriter, RotatesByAge) {
  TempFolder folder;
  SegmentOptions options;
  options.segment_age_us = 10'000;  // ten events
  auto writer = MustOpen(folder.path(), options);
  Follow(writer.get(), 25);
  EXPECT_EQ(writer->manifest().segments.size(), 2u);
  // Quiet: the clock alone ends the third.
  ASSERT_TRUE(writer->Tick(ArrivalOf(26)).ok());
  EXPECT_EQ(writer->manifest().segments.size(), 2u);
  ASSERT_TRUE(writer->Tick(ArrivalOf(31)).ok());
  EXPECT_EQ(writer->manifest().segments.size(), 3u);
  EXPECT_EQ(writer->cursor(), 25);
  ExpectWhole(folder.path(), 25);
}

TEST(SegmentWriter, AChunkIsDurableWhenItIsOldEnough) {
  TempFolder folder;
  SegmentOptions options;
  options.chunk_age_us = 5'000;
  auto writer = MustOpen(folder.path(), options);
  Follow(writer.get(), 4);
  EXPECT_EQ(writer->cursor(), std::nullopt);
  EXPECT_TRUE(Read(folder.path()).seqs.empty());
  ASSERT_TRUE(writer->Tick(ArrivalOf(5)).ok());
  EXPECT_EQ(writer->cursor(), std::nullopt);
  ASSERT_TRUE(writer->Tick(ArrivalOf(6)).ok());
  EXPECT_EQ(writer->cursor(), 4);
  ExpectWhole(folder.path(), 4);  // also while it is being written
  ASSERT_TRUE(writer->Append(AsBytes(Event(5)), 5, ArrivalOf(5)).ok());
  ASSERT_TRUE(writer->Flush().ok());
  ASSERT_TRUE(writer->Flush().ok());
  EXPECT_EQ(writer->cursor(), 5);
}

TEST(SegmentWriter, FramesWithoutSeqMoveNoCursor) {
  TempFolder folder;
  auto writer = MustOpen(folder.path());
  const std::string info = Message("#info", InfoPayload());
  ASSERT_TRUE(writer->Append(AsBytes(info), std::nullopt, 1).ok());
  ASSERT_TRUE(writer->Append(AsBytes(std::string("\xff no frame")), std::nullopt, 2).ok());
  ASSERT_TRUE(writer->Flush().ok());
  EXPECT_EQ(writer->cursor(), std::nullopt);
  EXPECT_EQ(writer->frames(), 2u);
  writer.reset();
  writer = MustOpen(folder.path());
  EXPECT_EQ(writer->cursor(), std::nullopt);
  EXPECT_EQ(writer->frames(), 2u);
  ASSERT_TRUE(writer->Close().ok());
  const auto manifest = ReadManifest(folder.path());
  ASSERT_TRUE(manifest.ok());
  ASSERT_EQ(manifest->segments.size(), 1u);
  EXPECT_EQ(manifest->segments[0].first_seq, std::nullopt);
  EXPECT_EQ(manifest->segments[0].first_arrival_us, 1);
  EXPECT_EQ(manifest->segments[0].last_arrival_us, 2);
}

TEST(SegmentWriter, WhatIsNotFlushedIsLostAndComesAgain) {
  TempFolder folder;
  auto writer = MustOpen(folder.path());
  Follow(writer.get(), 10);
  ASSERT_TRUE(writer->Flush().ok());
  Follow(writer.get(), 15);  // from the cursor, 10
  writer.reset();            // as a crash
  writer = MustOpen(folder.path());
  EXPECT_EQ(writer->cursor(), 10);
  EXPECT_EQ(writer->frames(), 10u);
  Follow(writer.get(), 20);
  ASSERT_TRUE(writer->Close().ok());
  ExpectWhole(folder.path(), 20);
  EXPECT_EQ(ReadManifest(folder.path())->segments.size(), 1u);  // it went on in the same segment
}

// A crash leaves any beginning of the last write. Whatever it is, resuming gives the whole stream.
TEST(SegmentWriter, ASegmentCutAtEveryByteResumes) {
  TempFolder original;
  auto writer = MustOpen(original.path());
  std::vector<uint64_t> chunk_ends = {0};
  std::vector<int64_t> chunk_cursors = {0};
  for (int64_t last : {3, 7, 12}) {
    Follow(writer.get(), last);
    ASSERT_TRUE(writer->Flush().ok());
    chunk_ends.push_back(fs::file_size(original / SegmentFileName(1)));
    chunk_cursors.push_back(last);
  }
  const std::string data = ReadFileText(original / SegmentFileName(1));
  const std::string times = ReadFileText(original / TimesFileName(1));
  const std::string manifest = ReadFileText(original / "manifest.json");
  ASSERT_EQ(times.size(), 12u * 8);

  for (size_t n = 0; n <= data.size(); ++n) {
    TempFolder folder;
    WriteFile(folder / SegmentFileName(1), data.substr(0, n));
    WriteFile(folder / TimesFileName(1), times);
    WriteFile(folder / "manifest.json", manifest);
    size_t whole = 0;
    while (whole + 1 < chunk_ends.size() && chunk_ends[whole + 1] <= n) ++whole;

    // Before it is repaired it can be read: at least what is durable, nothing wrong, no error.
    const Recording before = Read(folder.path());
    EXPECT_TRUE(before.status.ok()) << "cut at " << n << ": " << before.status;
    EXPECT_GE(before.seqs.size(), static_cast<size_t>(chunk_cursors[whole]));
    for (size_t i = 0; i < before.seqs.size(); ++i) ASSERT_EQ(before.seqs[i], static_cast<int64_t>(i) + 1);

    auto resumed = MustOpen(folder.path());
    ASSERT_NE(resumed, nullptr) << "cut at " << n;
    EXPECT_EQ(resumed->cursor().value_or(0), chunk_cursors[whole]) << "cut at " << n;
    EXPECT_EQ(resumed->frames(), static_cast<uint64_t>(chunk_cursors[whole]));
    Follow(resumed.get(), 15);
    ASSERT_TRUE(resumed->Close().ok());
    ExpectWhole(folder.path(), 15);
    const auto end = ReadManifest(folder.path());
    ASSERT_TRUE(end.ok());
    EXPECT_EQ(end->segments.back().first_arrival_us, ArrivalOf(1));
    EXPECT_EQ(end->segments.back().last_arrival_us, ArrivalOf(15));
  }
}

// A machine that loses power can leave blocks that were never written.
TEST(SegmentWriter, BytesThatWereNeverWrittenAreNotTaken) {
  TempFolder original;
  auto writer = MustOpen(original.path());
  Follow(writer.get(), 5);
  ASSERT_TRUE(writer->Flush().ok());
  const size_t good = fs::file_size(original / SegmentFileName(1));
  Follow(writer.get(), 30);
  ASSERT_TRUE(writer->Flush().ok());
  const std::string data = ReadFileText(original / SegmentFileName(1));
  for (size_t n = good; n < data.size(); ++n) {
    TempFolder folder;
    std::string zeroed = data;
    std::fill(zeroed.begin() + static_cast<ptrdiff_t>(n), zeroed.end(), '\0');
    if (zeroed == data) continue;
    WriteFile(folder / SegmentFileName(1), zeroed);
    fs::copy_file(original / TimesFileName(1), folder / TimesFileName(1));
    fs::copy_file(original / "manifest.json", folder / "manifest.json");
    auto resumed = MustOpen(folder.path());
    ASSERT_NE(resumed, nullptr);
    EXPECT_EQ(resumed->cursor(), 5) << "zeros from " << n;
    EXPECT_EQ(fs::file_size(folder / SegmentFileName(1)), good);
  }
}

TEST(SegmentWriter, TimesThatWereCutAreNotKnown) {
  TempFolder folder;
  auto writer = MustOpen(folder.path());
  Follow(writer.get(), 3);
  ASSERT_TRUE(writer->Flush().ok());
  writer.reset();
  fs::resize_file(folder / TimesFileName(1), 13);
  writer = MustOpen(folder.path());
  EXPECT_EQ(writer->cursor(), 3);
  Follow(writer.get(), 4);
  ASSERT_TRUE(writer->Close().ok());
  EXPECT_THAT(Read(folder.path()).times, ElementsAre(ArrivalOf(1), 0, 0, ArrivalOf(4)));
}

TEST(SegmentWriter, ACrashBetweenTheStepsOfARotation) {
  TempFolder folder;
  auto writer = MustOpen(folder.path(), Small());
  Follow(writer.get(), 30);
  writer.reset();
  const auto manifest = ReadManifest(folder.path());
  ASSERT_TRUE(manifest.ok());
  const uint64_t next = manifest->segments.back().number + 1;
  // The times of the next segment exist, its data does not yet; the new manifest was not renamed yet.
  if (!fs::exists(folder / SegmentFileName(next))) WriteFile(folder / TimesFileName(next), "");
  WriteFile(folder / "manifest.json.tmp", std::string(100'000, '{'));
  writer = MustOpen(folder.path(), Small());
  Follow(writer.get(), 40);
  ASSERT_TRUE(writer->Close().ok());
  ExpectWhole(folder.path(), 40);

  // The last segment is whole, but the manifest that lists it did not come to the disk.
  Manifest older = *ReadManifest(folder.path());
  older.segments.pop_back();
  ASSERT_TRUE(WriteManifest(folder.path(), older).ok());
  ExpectWhole(folder.path(), 40);
  writer = MustOpen(folder.path(), Small());
  EXPECT_EQ(writer->cursor(), 40);
  Follow(writer.get(), 60);
  ASSERT_TRUE(writer->Close().ok());
  ExpectWhole(folder.path(), 60);
}

// The real thing: a process that is killed while it writes, again and again.
TEST(SegmentWriter, SurvivesSigkillAnywhere) {
  const char* given = std::getenv("PENSTOCK_TEST_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::atoi(given)) : std::random_device{}();
  SCOPED_TRACE("PENSTOCK_TEST_SEED=" + std::to_string(seed));
  std::mt19937 random(seed);
  TempFolder folder;
  SegmentOptions options = Small();
  options.segment_bytes = 4000;
  for (int round = 0; round < 20; ++round) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto writer = SegmentWriter::Open(folder.path(), kHost, options);
      if (!writer.ok()) ::_exit(1);
      for (int64_t seq = (*writer)->cursor().value_or(0) + 1;; ++seq) {
        if (!(*writer)->Append(AsBytes(Event(seq)), seq, ArrivalOf(seq)).ok()) ::_exit(1);
      }
    }
    ::usleep(1000 + random() % 30'000);
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the recorder failed by itself";
  }
  auto writer = MustOpen(folder.path(), options);
  ASSERT_NE(writer, nullptr);
  const int64_t last = writer->cursor().value_or(0) + 10;
  Follow(writer.get(), last);
  ASSERT_TRUE(writer->Close().ok());
  ExpectWhole(folder.path(), last);
}

TEST(SegmentWriter, OneWriterOneHostOneVersion) {
  TempFolder folder;
  auto writer = MustOpen(folder.path());
  EXPECT_TRUE(absl::IsFailedPrecondition(SegmentWriter::Open(folder.path(), kHost, {}).status()));
  writer.reset();
  const absl::Status other = SegmentWriter::Open(folder.path(), "wss://other.test", {}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(other));
  EXPECT_THAT(std::string(Message(other)), HasSubstr("wss://relay.test"));
  WriteFile(folder / "manifest.json", R"({"version":2,"host":"wss://relay.test","segments":[]})");
  EXPECT_TRUE(absl::IsFailedPrecondition(SegmentWriter::Open(folder.path(), kHost, {}).status()));
  SegmentOptions options;
  options.zstd_level = 1000;
  EXPECT_TRUE(absl::IsInvalidArgument(SegmentWriter::Open(folder.path(), kHost, options).status()));
  WriteFile(folder / "file", "");
  EXPECT_TRUE(absl::IsInvalidArgument(SegmentWriter::Open(folder / "file", kHost, {}).status()));
}

TEST(SegmentWriter, WhatIsNotItsOwnIsLeftAlone) {
  TempFolder folder;
  MustOpen(folder.path());
  // A segment that somebody put there: plain, or with a message across two zstd frames, or two of them.
  const std::string plain = std::string("\0\0\0\5hello", 9);
  WriteFile(folder / SegmentFileName(1), plain);
  EXPECT_TRUE(absl::IsDataLoss(SegmentWriter::Open(folder.path(), kHost, {}).status()));
  EXPECT_EQ(ReadFileText(folder / SegmentFileName(1)), plain);
  WriteFile(folder / SegmentFileName(2), "");
  EXPECT_TRUE(absl::IsDataLoss(SegmentWriter::Open(folder.path(), kHost, {}).status()));
  fs::remove(folder / SegmentFileName(1));
  EXPECT_TRUE(absl::IsDataLoss(SegmentWriter::Open(folder.path(), kHost, {}).status()));
  fs::remove(folder / "manifest.json");
  EXPECT_TRUE(absl::IsDataLoss(SegmentWriter::Open(folder.path(), kHost, {}).status()));
}

// Appends up to `last`, each message again until it is taken; `mend` is called after the first failures.
template <typename Mend>
void FollowThroughFailure(SegmentWriter* writer, int64_t last, Mend mend) {
  int failures = 0;
  for (int64_t seq = 1; seq <= last; ++seq) {
    for (;;) {
      const absl::Status status = writer->Append(AsBytes(Event(seq)), seq, ArrivalOf(seq));
      if (status.ok()) break;
      ASSERT_LT(failures, 3) << status;
      if (++failures == 3) {
        EXPECT_FALSE(writer->Flush().ok());
        mend();
      }
    }
  }
  EXPECT_EQ(failures, 3) << "nothing failed";
}

TEST(SegmentWriter, AManifestThatCannotBeWrittenIsTriedAgain) {
  TempFolder folder;
  auto writer = MustOpen(folder.path(), Small());
  fs::create_directory(folder / "manifest.json.tmp");
  FollowThroughFailure(writer.get(), 100, [&] { fs::remove(folder / "manifest.json.tmp"); });
  ASSERT_TRUE(writer->Close().ok());
  ExpectWhole(folder.path(), 100);
}

TEST(SegmentWriter, ADiskThatTakesHalfAChunkIsTriedAgain) {
  TempFolder folder;
  SegmentOptions options;
  options.chunk_bytes = 2000;
  auto writer = MustOpen(folder.path(), options);
  // A limit on the size of files stands for a full disk: the write that crosses it stops in the middle.
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 1000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  FollowThroughFailure(writer.get(), 200, [&] { ::setrlimit(RLIMIT_FSIZE, &before); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  ASSERT_TRUE(writer->Close().ok());
  ExpectWhole(folder.path(), 200);
}

TEST(Manifest, BadOnesAreRefused) {
  TempFolder folder;
  EXPECT_TRUE(absl::IsNotFound(ReadManifest(folder.path()).status()));
  for (
      const std::string text :
      {"", "{", "[]", "{}", R"({"version":1})", R"({"version":"1","host":"h","segments":[]})",
       R"({"version":1,"host":"h","segments":{}})", R"({"version":1,"host":"h","segments":[{}]})",
       R"({"version":1,"host":"h","segments":[{"number":1,"file":"../x","frames":1,"bytes":1,"stored_bytes":1,)"
       R"("cursor_before":null,"first_seq":1,"last_seq":1,"first_arrival_us":0,"last_arrival_us":0}]})",
       R"({"version":1,"host":"h","segments":[{"number":1,"file":"000001.frames.zst","frames":-1,"bytes":1,)"
       R"("stored_bytes":1,"cursor_before":null,"first_seq":1,"last_seq":1,"first_arrival_us":0,"last_arrival_us":0}]})"}) {
    WriteFile(folder / "manifest.json", text);
    EXPECT_TRUE(absl::IsDataLoss(ReadManifest(folder.path()).status())) << text;
  }
  WriteFile(
      folder / "manifest.json",
      R"({"version":1,"host":"h","unknown":[1.5],"segments":[{"number":1,"file":"000001.frames.zst","frames":2,)"
      R"("bytes":3,"stored_bytes":4,"cursor_before":null,"first_seq":1,"last_seq":1,"first_arrival_us":0,)"
      R"("last_arrival_us":0}]})");
  const auto manifest = ReadManifest(folder.path());
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->segments[0].stored_bytes, 4u);
}

TEST(CaptureReader, ARecordingThatLacksSomething) {
  TempFolder folder;
  auto writer = MustOpen(folder.path(), Small());
  Follow(writer.get(), 60);
  ASSERT_TRUE(writer->Close().ok());
  // Old segments may be taken away.
  fs::remove(folder / SegmentFileName(1));
  Recording recording = Read(folder.path());
  EXPECT_TRUE(recording.status.ok());
  EXPECT_GT(recording.seqs.front(), 1);
  EXPECT_EQ(recording.seqs.back(), 60);
  // A finished segment that is not what the manifest says is an error, cut at a chunk or anywhere.
  const std::string second = ReadFileText(folder / SegmentFileName(2));
  WriteFile(folder / SegmentFileName(2), second.substr(0, second.size() - 1));
  EXPECT_TRUE(absl::IsDataLoss(Read(folder.path()).status));
  WriteFile(folder / SegmentFileName(2), "");
  recording = Read(folder.path());
  EXPECT_TRUE(absl::IsDataLoss(recording.status));
  EXPECT_THAT(std::string(Message(recording.status)), HasSubstr("its manifest says"));
  WriteFile(folder / SegmentFileName(2), second);
  EXPECT_TRUE(Read(folder.path()).status.ok());
  // One missing in the middle is one, too.
  fs::remove(folder / SegmentFileName(3));
  EXPECT_TRUE(absl::IsDataLoss(Read(folder.path()).status));
}

TEST(CaptureReader, ARecordingHasTheSourceNameOfItsPlainForm) {
  TempFolder folder;
  auto writer = MustOpen(folder / "recording", Small());
  Follow(writer.get(), 40);
  ASSERT_TRUE(writer->Close().ok());
  auto plain = CaptureWriter::Create(folder / "plain.frames");
  for (int64_t seq = 1; seq <= 40; ++seq) ASSERT_TRUE((*plain)->Append(AsBytes(Event(seq))).ok());
  ASSERT_TRUE((*plain)->Close().ok());
  EXPECT_EQ(FileSourceName(folder / "recording").value(), FileSourceName(folder / "plain.frames").value());
}

}  // namespace
}  // namespace penstock::firehose
