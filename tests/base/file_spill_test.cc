#include "base/file_spill.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

// An own, empty directory.
class FileSpillTest : public testing::Test {
 protected:
  FileSpillTest() {
    std::string name = (fs::temp_directory_path() / "penstock-file-spill-XXXXXX").string();
    directory_ = mkdtemp(name.data());
  }
  ~FileSpillTest() override { fs::remove_all(directory_); }

  static std::string Get(FileSpill& spill, uint64_t offset, size_t size) {
    std::string out(size, '?');
    const absl::Status status = spill.Read(offset, reinterpret_cast<uint8_t*>(out.data()), size);
    return status.ok() ? out : std::string(Message(status));
  }

  std::string directory_;
};

TEST_F(FileSpillTest, GivesBackWhatItGot) {
  for (const size_t buffer : {size_t{0}, size_t{1}, size_t{100}, size_t{4096}, size_t{1} << 20}) {
    FileSpill spill(directory_, buffer);
    std::mt19937_64 random(buffer);
    std::vector<std::pair<uint64_t, std::string>> pieces;
    uint64_t total = 0;
    const auto check = [&](size_t i) {
      const auto& [offset, text] = pieces[i];
      ASSERT_EQ(Get(spill, offset, text.size()), text) << buffer;
      if (text.size() > 2) {
        ASSERT_EQ(Get(spill, offset + 1, text.size() - 2), text.substr(1, text.size() - 2));
      }
    };
    for (int i = 0; i < 500; ++i) {
      const std::string a(random() % 40, static_cast<char>('a' + i % 26));
      const std::string b(i % 100 == 7 ? 5000 : random() % 300, static_cast<char>('A' + i % 26));
      const auto offset = spill.Append(AsBytes(a), AsBytes(b));
      ASSERT_TRUE(offset.ok());
      EXPECT_EQ(*offset, total);
      total += a.size() + b.size();
      EXPECT_EQ(spill.bytes(), total);
      pieces.emplace_back(*offset, a + b);
      check(random() % pieces.size());  // between the writes
    }
    for (size_t i = 0; i < pieces.size(); ++i) check(i);
    EXPECT_EQ(spill.on_disk(), buffer < total);
  }
}

TEST_F(FileSpillTest, TheFileHasNoName) {
  FileSpill spill(directory_, 10);
  ASSERT_TRUE(spill.Append(AsBytes("0123456789"), {}).ok());
  EXPECT_FALSE(spill.on_disk()) << "fits";
  ASSERT_TRUE(spill.Append(AsBytes("x"), {}).ok());
  EXPECT_TRUE(spill.on_disk());
  EXPECT_TRUE(fs::is_empty(directory_)) << "a crash leaves nothing behind";
}

TEST_F(FileSpillTest, ClearBeginsAnew) {
  FileSpill spill(directory_, 4);
  ASSERT_TRUE(spill.Append(AsBytes("before"), AsBytes("hand")).ok());
  ASSERT_TRUE(spill.Clear().ok());
  EXPECT_EQ(spill.bytes(), 0u);
  EXPECT_EQ(Get(spill, 0, 1), "temporary file: read beyond its end");
  ASSERT_EQ(*spill.Append(AsBytes("after"), {}), 0u);
  EXPECT_EQ(Get(spill, 0, 5), "after");
}

TEST_F(FileSpillTest, NothingIsReadThatWasNotPutThere) {
  FileSpill spill(directory_, 4);
  ASSERT_TRUE(spill.Append(AsBytes("some"), AsBytes(" bytes")).ok());
  EXPECT_EQ(Get(spill, 10, 0), "");
  for (const auto& [offset, size] : std::vector<std::pair<uint64_t, size_t>>{
           {0, 11}, {10, 1}, {11, 0}, {UINT64_MAX, 2}, {3, SIZE_MAX / 2}}) {
    uint8_t out[1];
    EXPECT_EQ(spill.Read(offset, out, size).code(), absl::StatusCode::kDataLoss) << offset;
  }
}

TEST_F(FileSpillTest, ADirectoryThatIsNotThere) {
  FileSpill spill(directory_ + "/absent", 4);
  EXPECT_TRUE(spill.Append(AsBytes("fits"), {}).ok());
  const auto offset = spill.Append(AsBytes("more"), {});
  EXPECT_TRUE(IsTransient(offset.status()));
  EXPECT_EQ(Get(spill, 0, 4), "fits") << "what is in memory stays";
}

// A full disk, played by the limit on the size of files.
TEST_F(FileSpillTest, AFullDiskIsAnErrorThatPasses) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 1000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  FileSpill spill(directory_, 100);
  absl::Status status;
  std::vector<uint64_t> offsets;
  while (status.ok() && offsets.size() < 100) {
    const auto offset = spill.Append(AsBytes(std::string(90, static_cast<char>('a' + offsets.size()))), {});
    status = offset.status();
    if (offset.ok()) offsets.push_back(*offset);
  }
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_TRUE(IsTransient(status)) << Message(status);
  EXPECT_EQ(offsets.size(), 12u);
  for (size_t i = 0; i < offsets.size(); ++i) {
    EXPECT_EQ(Get(spill, offsets[i], 90), std::string(90, static_cast<char>('a' + i))) << i;
  }
  // There is room again.
  ASSERT_TRUE(spill.Append(AsBytes(std::string(90, 'z')), {}).ok());
  EXPECT_EQ(Get(spill, 12 * 90, 90), std::string(90, 'z'));
}

}  // namespace
}  // namespace penstock
