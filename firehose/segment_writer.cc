#include "firehose/segment_writer.h"

#include <zstd.h>

#include <algorithm>
#include <deque>
#include <system_error>
#include <utility>

#include "base/status.h"
#include "firehose/frame.h"
#include "firehose/frame_buffer.h"
#include "firehose/frame_file.h"

namespace penstock::firehose {
namespace {

constexpr size_t kLengthBytes = 4;
constexpr size_t kTimeBytes = 8;

void AppendBigEndian32(size_t value, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift & 0xff));
}

void AppendLittleEndian64(int64_t value, std::string* out) {
  for (int shift = 0; shift < 64; shift += 8)
    out->push_back(static_cast<char>(static_cast<uint64_t>(value) >> shift));
}

absl::Status ReadTime(File* file, uint64_t index, int64_t* time) {
  uint8_t bytes[kTimeBytes];
  ASSIGN_OR_RETURN(const size_t got, file->ReadAt(index * kTimeBytes, bytes));
  uint64_t value = 0;
  for (size_t i = got; i-- > 0;) value = value << 8 | bytes[i];
  *time = static_cast<int64_t>(value);
  return absl::OkStatus();
}

}  // namespace

SegmentWriter::SegmentWriter(std::filesystem::path folder, const SegmentOptions& options)
    : folder_(std::move(folder)), options_(options) {}
SegmentWriter::~SegmentWriter() { ZSTD_freeCCtx(context_); }

absl::StatusOr<std::unique_ptr<SegmentWriter>> SegmentWriter::Open(const std::filesystem::path& folder,
                                                                   std::string_view host,
                                                                   const SegmentOptions& options) {
  if (options.zstd_level < ZSTD_minCLevel() || options.zstd_level > ZSTD_maxCLevel()) {
    return InvalidInputError("zstd has no level " + std::to_string(options.zstd_level));
  }
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return InvalidInputError("cannot make " + folder.string() + ": " + error.message());

  std::unique_ptr<SegmentWriter> writer(new SegmentWriter(folder, options));
  ASSIGN_OR_RETURN(writer->lock_, File::OpenFolder(folder));
  if (!writer->lock_.TryLock())
    return FailedPreconditionError(folder.string() + " is being written by another process");
  writer->context_ = ZSTD_createCCtx();
  if (writer->context_ == nullptr) return UnavailableError("no memory for zstd");
  ZSTD_CCtx_setParameter(writer->context_, ZSTD_c_compressionLevel, options.zstd_level);
  ZSTD_CCtx_setParameter(writer->context_, ZSTD_c_checksumFlag, 1);

  ASSIGN_OR_RETURN(const std::vector<uint64_t> numbers, ListSegments(folder));
  absl::StatusOr<Manifest> manifest = ReadManifest(folder);
  if (manifest.ok()) {
    writer->manifest_ = *std::move(manifest);
  } else if (absl::IsNotFound(manifest.status()) && numbers.empty()) {
    // Before the first segment, so that a segment without a manifest is never ours.
    writer->manifest_.host = std::string(host);
    RETURN_IF_ERROR(WriteManifest(folder, writer->manifest_));
  } else if (absl::IsNotFound(manifest.status())) {
    return DataLossError(folder.string() + " has segments but no manifest.json");
  } else {
    return manifest.status();
  }
  if (writer->manifest_.host != host) {
    return FailedPreconditionError(folder.string() + " records " + writer->manifest_.host + ", not " +
                                   std::string(host));
  }

  uint64_t last_finished = 0;
  for (const SegmentInfo& segment : writer->manifest_.segments) {
    last_finished = segment.number;
    writer->finished_frames_ += segment.frames;
    if (segment.last_seq) writer->cursor_ = segment.last_seq;
  }
  // A segment is started only when the one before it is in the manifest, so at most one is not.
  const size_t unfinished = static_cast<size_t>(
      std::count_if(numbers.begin(), numbers.end(), [&](uint64_t number) { return number > last_finished; }));
  if (unfinished > 1 || (unfinished == 1 && numbers.back() != last_finished + 1)) {
    return DataLossError(folder.string() + ": segment " + SegmentFileName(numbers.back()) +
                         " is not in its manifest");
  }
  if (unfinished == 1) RETURN_IF_ERROR(writer->Recover(numbers.back()));
  return writer;
}

// Finds what is whole in a segment that was being written, and cuts the rest off.
absl::Status SegmentWriter::Recover(uint64_t number) {
  SegmentInfo found;
  found.number = number;
  found.cursor_before = cursor_;
  std::optional<int64_t> cursor = cursor_;
  const std::filesystem::path path = folder_ / SegmentFileName(number);
  ASSIGN_OR_RETURN(const std::unique_ptr<FrameFile> file, FrameFile::Open(path, {}));

  // Frames whose chunk has not been seen to its end. They count when it has: before its checksum, bytes that
  // a crash of the machine left are not known to be what was written.
  struct Pending {
    uint64_t end;
    std::optional<int64_t> seq;
  };
  std::deque<Pending> pending;
  FrameBuffer buffer;
  Frame frame;
  for (;;) {
    absl::StatusOr<bool> more = file->Next(&buffer);
    // A length that cannot be stands in bytes that are not whole, too.
    if (!more.ok() && !RejectOf(more.status())) return more.status();
    const bool got = more.ok() && *more;
    if (got) {
      std::optional<int64_t> seq;
      if (DecodeFrame(buffer.bytes(), &frame).ok()) seq = frame.seq;
      pending.push_back(Pending{file->offset(), seq});
    }
    while (!pending.empty() && pending.front().end <= file->stream().whole_bytes()) {
      ++found.frames;
      found.bytes = pending.front().end;
      if (const std::optional<int64_t> seq = pending.front().seq) {
        if (!found.first_seq) found.first_seq = seq;
        found.last_seq = cursor = seq;
      }
      pending.pop_front();
    }
    if (!got) break;
  }
  const ByteStream& stream = file->stream();
  ASSIGN_OR_RETURN(data_, File::OpenToWrite(path));
  ASSIGN_OR_RETURN(const uint64_t size, data_.Size());
  if (found.bytes != stream.whole_bytes() || (size >= kLengthBytes && !stream.compressed())) {
    data_.Close();
    return DataLossError(path.string() +
                         " is not as a recording leaves it: its chunks do not hold whole frames");
  }
  found.stored_bytes = stream.whole_stored();
  RETURN_IF_ERROR(data_.Truncate(found.stored_bytes));
  RETURN_IF_ERROR(data_.Sync());

  segment_ = found;
  RETURN_IF_ERROR(RecoverTimes());
  cursor_ = cursor;
  return absl::OkStatus();
}

absl::Status SegmentWriter::RecoverTimes() {
  ASSIGN_OR_RETURN(times_, File::OpenToWrite(folder_ / TimesFileName(segment_.number)));
  ASSIGN_OR_RETURN(const uint64_t size, times_.Size());
  // Longer if the crash came between the times and their chunk. Shorter only if somebody else cut it: zero is
  // "not known".
  const uint64_t known = size / kTimeBytes;
  if (known < segment_.frames) RETURN_IF_ERROR(times_.Truncate(known * kTimeBytes));
  RETURN_IF_ERROR(times_.Truncate(segment_.frames * kTimeBytes));
  RETURN_IF_ERROR(times_.Sync());
  if (segment_.frames == 0) return absl::OkStatus();
  RETURN_IF_ERROR(ReadTime(&times_, 0, &segment_.first_arrival_us));
  return ReadTime(&times_, segment_.frames - 1, &segment_.last_arrival_us);
}

absl::Status SegmentWriter::StartSegment() {
  SegmentInfo next;
  next.number = manifest_.segments.empty() ? 1 : manifest_.segments.back().number + 1;
  next.cursor_before = cursor_;
  ASSIGN_OR_RETURN(File times, File::OpenToWrite(folder_ / TimesFileName(next.number)));
  ASSIGN_OR_RETURN(File data, File::OpenToWrite(folder_ / SegmentFileName(next.number)));
  RETURN_IF_ERROR(lock_.Sync());
  times_ = std::move(times);
  data_ = std::move(data);
  segment_ = next;
  return absl::OkStatus();
}

absl::Status SegmentWriter::Flush() {
  if (finishing_) RETURN_IF_ERROR(FinishSegment());
  if (chunk_.count == 0) return absl::OkStatus();
  if (segment_.number == 0) RETURN_IF_ERROR(StartSegment());
  compressed_.resize(ZSTD_compressBound(chunk_.frames.size()));
  const size_t size = ZSTD_compress2(context_, compressed_.data(), compressed_.size(), chunk_.frames.data(),
                                     chunk_.frames.size());
  if (ZSTD_isError(size)) return UnavailableError(std::string("zstd: ") + ZSTD_getErrorName(size));

  // Written at the end of what is durable: trying again after a failure starts over there. What a failed try
  // left behind must not stand after this chunk.
  RETURN_IF_ERROR(data_.Truncate(segment_.stored_bytes));
  RETURN_IF_ERROR(times_.WriteAt(segment_.frames * kTimeBytes, AsBytes(chunk_.times)));
  RETURN_IF_ERROR(times_.Sync());
  RETURN_IF_ERROR(data_.WriteAt(segment_.stored_bytes, Bytes(compressed_).first(size)));
  RETURN_IF_ERROR(data_.Sync());

  if (segment_.frames == 0) segment_.first_arrival_us = chunk_.first_arrival_us;
  segment_.last_arrival_us = chunk_.last_arrival_us;
  segment_.frames += chunk_.count;
  segment_.bytes += chunk_.frames.size();
  segment_.stored_bytes += size;
  if (!segment_.first_seq) segment_.first_seq = chunk_.first_seq;
  if (chunk_.last_seq) cursor_ = segment_.last_seq = chunk_.last_seq;
  chunk_.frames.clear();
  chunk_.times.clear();
  chunk_.count = 0;
  chunk_.first_seq = chunk_.last_seq = std::nullopt;
  return absl::OkStatus();
}

absl::Status SegmentWriter::FinishSegment() {
  if (segment_.frames == 0) return absl::OkStatus();
  // From here on it must not grow: when an error comes, the manifest may say or not say how much it holds.
  finishing_ = true;
  // A failed flush may have left more times than frames.
  RETURN_IF_ERROR(times_.Truncate(segment_.frames * kTimeBytes));
  manifest_.segments.push_back(segment_);
  const absl::Status written = WriteManifest(folder_, manifest_);
  if (!written.ok()) {
    manifest_.segments.pop_back();
    return written;
  }
  finishing_ = false;
  finished_frames_ += segment_.frames;
  segment_ = SegmentInfo();
  data_.Close();
  times_.Close();
  return absl::OkStatus();
}

absl::Status SegmentWriter::RotateIfDue(int64_t now_us, size_t more_bytes) {
  const bool chunk_due = chunk_.count > 0 && (chunk_.frames.size() + more_bytes > options_.chunk_bytes ||
                                              now_us - chunk_.first_arrival_us >= options_.chunk_age_us);
  const uint64_t frames = segment_.frames + chunk_.count;
  const int64_t first_us = segment_.frames > 0 ? segment_.first_arrival_us : chunk_.first_arrival_us;
  const bool segment_due =
      frames > 0 && (segment_.bytes + chunk_.frames.size() + more_bytes > options_.segment_bytes ||
                     now_us - first_us >= options_.segment_age_us);
  if (chunk_due || segment_due) RETURN_IF_ERROR(Flush());
  return segment_due ? FinishSegment() : absl::OkStatus();
}

absl::Status SegmentWriter::Append(Bytes message, std::optional<int64_t> seq, int64_t arrival_us) {
  if (message.size() > kMaxFrameBytes) {
    return RejectError(Reject::kFrameTooLarge, std::to_string(message.size()) + " bytes");
  }
  RETURN_IF_ERROR(RotateIfDue(arrival_us, kLengthBytes + message.size()));
  if (chunk_.count == 0) chunk_.first_arrival_us = arrival_us;
  chunk_.last_arrival_us = arrival_us;
  AppendBigEndian32(message.size(), &chunk_.frames);
  chunk_.frames += AsText(message);
  AppendLittleEndian64(arrival_us, &chunk_.times);
  ++chunk_.count;
  if (seq) {
    if (!chunk_.first_seq) chunk_.first_seq = seq;
    chunk_.last_seq = seq;
  }
  return absl::OkStatus();
}

absl::Status SegmentWriter::Tick(int64_t now_us) { return RotateIfDue(now_us, 0); }

absl::Status SegmentWriter::Close() {
  RETURN_IF_ERROR(Flush());
  RETURN_IF_ERROR(FinishSegment());
  lock_.Close();
  return absl::OkStatus();
}

}  // namespace penstock::firehose
