#include "firehose/capture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "tests/firehose/allocation_count.h"
#include "tests/firehose/temp_folder.h"
#include "tests/support/shared_data.h"

namespace penstock::firehose {
namespace {

using namespace penstock::test;
using testing::HasSubstr;

// One frame of a `.frames` file.
std::string Framed(std::string_view message) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(message.size() >> shift & 0xff));
  return out + std::string(message);
}

std::string Compressed(std::string_view plain) {
  std::string out(ZSTD_compressBound(plain.size()), '\0');
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  out.resize(ZSTD_compress2(context, out.data(), out.size(), plain.data(), plain.size()));
  ZSTD_freeCCtx(context);
  return out;
}

struct ReadResult {
  std::vector<std::string> messages;
  absl::Status status;
};
ReadResult ReadAll(const std::filesystem::path& path) {
  ReadResult result;
  auto reader = CaptureReader::Open(path);
  if (!reader.ok()) {
    result.status = reader.status();
    return result;
  }
  FrameBuffer buffer;
  for (;;) {
    const absl::StatusOr<bool> more = (*reader)->Next(&buffer);
    if (!more.ok()) {
      result.status = more.status();
      EXPECT_EQ((*reader)->Next(&buffer).status(), result.status) << "errors stick";
      break;
    }
    if (!*more) break;
    result.messages.emplace_back(AsText(buffer.bytes()));
  }
  EXPECT_EQ((*reader)->frames(), result.messages.size());
  return result;
}

std::vector<std::string> SomeMessages() {
  std::vector<std::string> messages = {"", "x", "a frame", std::string(300'000, 'l')};
  for (int i = 0; i < 500; ++i)
    messages.push_back("message " + std::to_string(i) + std::string(static_cast<size_t>(i), 'm'));
  return messages;
}

TEST(Capture, WrittenIsReadPlainAndCompressed) {
  TempFolder folder;
  const std::vector<std::string> messages = SomeMessages();
  auto writer = CaptureWriter::Create(folder / "a.frames");
  ASSERT_TRUE(writer.ok()) << writer.status();
  std::string expected;
  for (const std::string& message : messages) {
    ASSERT_TRUE((*writer)->Append(AsBytes(message)).ok());
    expected += Framed(message);
  }
  ASSERT_TRUE((*writer)->Close().ok());
  EXPECT_EQ(ReadFileText(folder / "a.frames"), expected);

  ReadResult read = ReadAll(folder / "a.frames");
  EXPECT_TRUE(read.status.ok()) << read.status;
  EXPECT_EQ(read.messages, messages);

  // One zstd frame, several that split messages anywhere, a skippable frame between; under any name.
  WriteFile(folder / "one.frames.zst", Compressed(expected));
  const std::string skippable("\x50\x2a\x4d\x18\x03\0\0\0abc", 11);
  WriteFile(folder / "many", skippable + Compressed(expected.substr(0, 1001)) + Compressed("") + skippable +
                                 Compressed(expected.substr(1001, 77)) + Compressed(expected.substr(1078)));
  for (const std::string name : {"one.frames.zst", "many"}) {
    read = ReadAll(folder / name);
    EXPECT_TRUE(read.status.ok()) << read.status;
    EXPECT_EQ(read.messages, messages) << name;
  }
}

TEST(Capture, EmptyFileHasNoFrames) {
  TempFolder folder;
  WriteFile(folder / "plain", "");
  WriteFile(folder / "zstd", Compressed(""));
  for (const std::string name : {"plain", "zstd"}) {
    const ReadResult read = ReadAll(folder / name);
    EXPECT_TRUE(read.status.ok());
    EXPECT_TRUE(read.messages.empty());
  }
}

TEST(Capture, MissingFileAndFolderWithoutManifest) {
  TempFolder folder;
  EXPECT_TRUE(absl::IsNotFound(CaptureReader::Open(folder / "nothing").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(CaptureReader::Open(folder.path()).status()));
  EXPECT_TRUE(absl::IsNotFound(FileSourceName(folder / "nothing").status()));
  EXPECT_TRUE(absl::IsNotFound(CaptureWriter::Create(folder / "no/such/folder").status()));
}

TEST(Capture, AFileCutAnywhereSaysWhere) {
  TempFolder folder;
  const std::vector<std::string> messages = {"first", "", "second message", "third"};
  std::string plain;
  std::vector<size_t> ends = {0};
  for (const std::string& message : messages) {
    plain += Framed(message);
    ends.push_back(plain.size());
  }
  for (size_t n = 0; n <= plain.size(); ++n) {
    WriteFile(folder / "cut", plain.substr(0, n));
    const ReadResult read = ReadAll(folder / "cut");
    size_t whole = 0;
    while (whole < messages.size() && ends[whole + 1] <= n) ++whole;
    EXPECT_EQ(read.messages, std::vector(messages.begin(), messages.begin() + static_cast<ptrdiff_t>(whole)));
    if (n == ends[whole]) {
      EXPECT_TRUE(read.status.ok()) << "cut at " << n << ": " << read.status;
    } else {
      EXPECT_TRUE(absl::IsDataLoss(read.status)) << "cut at " << n;
      EXPECT_THAT(std::string(Message(read.status)), HasSubstr("byte " + std::to_string(ends[whole])));
      EXPECT_THAT(std::string(Message(read.status)), HasSubstr("frame " + std::to_string(whole)));
    }
  }
  const std::string stored = Compressed(plain);
  for (size_t n = 1; n < stored.size(); ++n) {
    WriteFile(folder / "cut.zst", stored.substr(0, n));
    EXPECT_FALSE(ReadAll(folder / "cut.zst").status.ok()) << "cut at " << n;
  }
  for (size_t n = 4; n < stored.size(); ++n) {
    std::string flipped = stored;
    flipped[n] = static_cast<char>(flipped[n] ^ 0x40);
    WriteFile(folder / "flipped.zst", flipped);
    const ReadResult read = ReadAll(folder / "flipped.zst");
    EXPECT_FALSE(read.status.ok()) << "flipped at " << n;  // zstd's checksum
  }
}

TEST(Capture, ADeclaredLengthIsNotBelieved) {
  TempFolder folder;
  // Above the limit: refused at once.
  WriteFile(folder / "large", Framed("good") + std::string("\x00\x4c\x4b\x41", 4) + "x");
  ReadResult read = ReadAll(folder / "large");
  EXPECT_EQ(RejectOf(read.status), Reject::kFrameTooLarge);
  EXPECT_THAT(std::string(Message(read.status)), HasSubstr("at byte 8 declares 5000001 bytes"));
  EXPECT_EQ(read.messages, std::vector<std::string>{"good"});
  WriteFile(folder / "huge", std::string("\xff\xff\xff\xff", 4));
  EXPECT_EQ(RejectOf(ReadAll(folder / "huge").status), Reject::kFrameTooLarge);

  // At the limit, but the bytes are not there: no 5 MB for four.
  WriteFile(folder / "liar", std::string("\x00\x4c\x4b\x40", 4) + "x");
  auto reader = CaptureReader::Open(folder / "liar");
  ASSERT_TRUE(reader.ok());
  FrameBuffer buffer;
  EXPECT_TRUE(absl::IsDataLoss((*reader)->Next(&buffer).status()));
  EXPECT_LE(buffer.capacity(), 128u * 1024);

  // The largest there may be.
  const std::string most(kMaxFrameBytes, 'm');
  auto writer = CaptureWriter::Create(folder / "most");
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Append(AsBytes(most)).ok());
  EXPECT_EQ(RejectOf((*writer)->Append(AsBytes(most + "x"))), Reject::kFrameTooLarge);
  ASSERT_TRUE((*writer)->Close().ok());
  EXPECT_EQ(ReadAll(folder / "most").messages, std::vector<std::string>{most});
}

TEST(Capture, TimesBesideAFileAreTaken) {
  TempFolder folder;
  WriteFile(folder / "a.frames", Framed("1") + Framed("2") + Framed("3"));
  std::string times;
  for (const int64_t time : {int64_t{1'700'000'000'000'000}, int64_t{0x0102030405060708}}) {
    for (int shift = 0; shift < 64; shift += 8) times.push_back(static_cast<char>(time >> shift));
  }
  WriteFile(folder / "a.times", times + "half");  // the third is not known
  auto reader = CaptureReader::Open(folder / "a.frames");
  ASSERT_TRUE(reader.ok());
  std::vector<int64_t> read;
  FrameBuffer buffer;
  buffer.arrival_us = 99;
  while ((*reader)->Next(&buffer).value()) read.push_back(buffer.arrival_us);
  EXPECT_EQ(read, (std::vector<int64_t>{1'700'000'000'000'000, 0x0102030405060708, 0}));
}

TEST(Capture, SourceNameIsTheHashOfTheFile) {
  TempFolder folder;
  WriteFile(folder / "abc", "abc");
  EXPECT_EQ(FileSourceName(folder / "abc").value(),
            "file:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Capture, ReadingAllocatesNothingPerFrame) {
  TempFolder folder;
  std::string plain;
  for (int i = 0; i < 2000; ++i) plain += Framed(std::string(4600, 'f'));
  WriteFile(folder / "a.frames", plain);
  WriteFile(folder / "a.zst", Compressed(plain));
  for (const std::string name : {"a.frames", "a.zst"}) {
    auto reader = CaptureReader::Open(folder / name);
    ASSERT_TRUE(reader.ok());
    FrameBufferPool pool;
    for (int i = 0; i < 500; ++i) {
      FrameBuffer buffer = pool.Take();
      ASSERT_TRUE((*reader)->Next(&buffer).value());
    }
    const uint64_t before = AllocationCount();
    uint64_t more = 0;
    for (;;) {
      FrameBuffer buffer = pool.Take();
      if (!(*reader)->Next(&buffer).value()) break;
      ++more;
    }
    EXPECT_EQ(more, 1500u);
    EXPECT_EQ(AllocationCount() - before, 0u) << name;
  }
}

}  // namespace
}  // namespace penstock::firehose
