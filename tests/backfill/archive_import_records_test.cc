// Records that are put aside between the proof and the rows.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "backfill/spilled_records.h"
#include "base/status.h"

namespace penstock::backfill {
namespace {

struct Record {
  std::string collection, rkey, block;
  cbor::Cid cid;
};

std::vector<Record> Records(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Record> records;
  for (size_t i = 0; i < count; ++i) {
    Record record{
        "a.b.c" + std::to_string(i % 7), std::to_string(i), std::string(random() % 900, static_cast<char>('a' + i % 26)), {}};
    if (random() % 50 == 0) record.block.assign(200'000, 'L');
    record.cid = cbor::Cid::OfBlock(AsBytes(record.block), i % 10 == 0 ? cbor::kCodecRaw : cbor::kCodecDagCbor);
    records.push_back(std::move(record));
  }
  return records;
}

absl::Status Fill(const std::vector<Record>& records, SpilledRecords* spilled) {
  int32_t index = 0;
  for (const Record& record : records) {
    RETURN_IF_ERROR(spilled->Add({record.collection, record.rkey, record.cid.view(), AsBytes(record.block), index++}));
  }
  return spilled->End();
}

void ExpectAll(const std::vector<Record>& records, SpilledRecords* spilled) {
  spilled->Rewind();
  SpilledRecord found;
  for (size_t i = 0; i < records.size(); ++i) {
    const auto more = spilled->Next(&found);
    ASSERT_TRUE(more.ok() && *more) << i;
    ASSERT_EQ(found.collection, records[i].collection);
    ASSERT_EQ(found.rkey, records[i].rkey);
    ASSERT_EQ(found.cid, records[i].cid.view());
    ASSERT_EQ(AsText(found.block), records[i].block);
    ASSERT_EQ(found.index, static_cast<int32_t>(i));
  }
  for (int again = 0; again < 2; ++again) {
    const auto more = spilled->Next(&found);
    ASSERT_TRUE(more.ok());
    ASSERT_FALSE(*more);
  }
}

const std::string kFolder = std::filesystem::temp_directory_path();

TEST(SpilledRecords, ComeBackInTheirOrderAnyNumberOfTimes) {
  for (const size_t memory : {0, 1'000, 100'000, 100'000'000}) {
    SpilledRecords spilled(kFolder, memory);
    for (const size_t count : {0, 1, 2, 500, 30, 0}) {
      SCOPED_TRACE(count);
      ASSERT_TRUE(spilled.Clear(UINT64_MAX).ok());
      const std::vector<Record> records = Records(count, count);
      ASSERT_TRUE(Fill(records, &spilled).ok());
      EXPECT_EQ(spilled.count(), count);
      ExpectAll(records, &spilled);
      ExpectAll(records, &spilled);
    }
  }
}

// Half a walk, and another from the start.
TEST(SpilledRecords, AWalkMayEndAnywhere) {
  SpilledRecords spilled(kFolder, 1'000);
  ASSERT_TRUE(spilled.Clear(UINT64_MAX).ok());
  const std::vector<Record> records = Records(300, 1);
  ASSERT_TRUE(Fill(records, &spilled).ok());
  for (size_t steps = 0; steps < 300; steps += 37) {
    spilled.Rewind();
    SpilledRecord found;
    for (size_t i = 0; i < steps; ++i) ASSERT_TRUE(*spilled.Next(&found));
    ExpectAll(records, &spilled);
  }
}

TEST(SpilledRecords, AreBounded) {
  SpilledRecords spilled(kFolder, 1'000);
  ASSERT_TRUE(spilled.Clear(1'000'000).ok());
  const Record large{"a.b.c", "large", std::string(10'000, 'x'), cbor::Cid::OfBlock(AsBytes("x"))};
  absl::Status status;
  size_t taken = 0;
  for (; status.ok(); ++taken) status = spilled.Add({large.collection, large.rkey, large.cid.view(), AsBytes(large.block), 0});
  EXPECT_EQ(RejectOf(status), Reject::kCarTooLarge);
  EXPECT_GT(taken, 95u);
  EXPECT_LE(spilled.bytes(), 1'000'000u);
}

// The file of `spilled` has no name; this process can still find it.
int OpenedFile() {
  for (int fd = 3; fd < 1024; ++fd) {
    struct stat info {};
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 0 && info.st_size > 0) return fd;
  }
  return -1;
}

TEST(SpilledRecords, WhatTheDiskHasSpoiltDoesNotComeBack) {
  const std::vector<Record> records = Records(300, 1);
  SpilledRecords spilled(kFolder, 0);
  ASSERT_TRUE(spilled.Clear(UINT64_MAX).ok());
  ASSERT_TRUE(Fill(records, &spilled).ok());
  const int file = OpenedFile();
  ASSERT_GE(file, 0);
  struct stat info {};
  ASSERT_EQ(fstat(file, &info), 0);
  std::mt19937_64 random(1);
  for (int i = 0; i < 50; ++i) {
    const off_t at = static_cast<off_t>(random() % static_cast<uint64_t>(info.st_size));
    char byte = 0;
    ASSERT_EQ(pread(file, &byte, 1, at), 1);
    const char spoilt = static_cast<char>(byte ^ (1 << random() % 8));
    ASSERT_EQ(pwrite(file, &spoilt, 1, at), 1);
    spilled.Rewind();
    SpilledRecord found;
    absl::StatusOr<bool> more = true;
    size_t good = 0;
    while (more.ok() && *more) {
      more = spilled.Next(&found);
      if (!more.ok() || !*more) break;
      ASSERT_EQ(AsText(found.block), records[good].block);
      ASSERT_EQ(found.rkey, records[good].rkey);
      ++good;
    }
    EXPECT_EQ(more.status().code(), absl::StatusCode::kDataLoss) << at;
    ASSERT_EQ(pwrite(file, &byte, 1, at), 1);
  }
  ASSERT_EQ(ftruncate(file, info.st_size / 2), 0);
  spilled.Rewind();
  SpilledRecord found;
  absl::StatusOr<bool> more = true;
  while (more.ok() && *more) more = spilled.Next(&found);
  EXPECT_EQ(more.status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace penstock::backfill
