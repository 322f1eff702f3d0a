// What judging a record by its lexicon costs, beside the data model check that every record gets anyway.
//
//   lexicon_bench [MILLISECONDS per figure, default 500]
//
// A post-like record: text, forum, board, and a reply with its two references. A count of allocations, by a
// counted operator new, goes with each figure.

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

#include "cbor/json_in.h"
#include "cbor/record_data.h"
#include "lexicon/shipped.h"
#include "lexicon/validator.h"

namespace {
std::atomic<size_t> g_allocations = 0;
}  // namespace

void* operator new(size_t size) {
  g_allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace penstock::lexicon {
namespace {

using Clock = std::chrono::steady_clock;

std::string Ref(std::string_view collection) {
  return std::string(R"({"uri": "at://did:plc:jlxpiytvot3tq2tmaoj4tds7/)")
      .append(collection)
      .append(R"(/3kznmn7xqxl22", "cid": "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq"})");
}

std::string Post(std::string_view text) {
  const std::string post = Ref("space.atbb.post");
  const auto block = cbor::JsonToCbor(
      R"({"$type": "space.atbb.post", "createdAt": "2026-01-02T03:04:05.678Z", "forum": {"forum": )" +
      Ref("space.atbb.forum.forum") + R"(}, "board": {"board": )" + Ref("space.atbb.forum.board") +
      R"(}, "reply": {"root": )" + post + R"(, "parent": )" + post + R"(}, "text": ")" + std::string(text) +
      "\"}");
  if (!block.ok()) std::abort();
  return *block;
}

std::string Event() {
  const auto block = cbor::JsonToCbor(R"({"$type": "community.lexicon.calendar.event", "name": "Meeting",
      "createdAt": "2026-01-02T03:04:05.678Z", "startsAt": "2026-01-02T03:04:05.678Z",
      "mode": "community.lexicon.calendar.event#inperson", "status": "community.lexicon.calendar.event#scheduled",
      "locations": [{"$type": "community.lexicon.location.address", "country": "DE", "locality": "Berlin"}],
      "uris": [{"uri": "https://example.com/meeting"}]})");
  if (!block.ok()) std::abort();
  return *block;
}

template <typename Work>
void Measure(const char* name, size_t bytes, std::chrono::milliseconds time, Work work) {
  for (int i = 0; i < 10'000; ++i) work();
  const size_t allocations = g_allocations.load();
  size_t count = 0;
  const Clock::time_point start = Clock::now();
  Clock::duration taken{};
  while (taken < time) {
    for (int i = 0; i < 1'000; ++i) work();
    count += 1'000;
    taken = Clock::now() - start;
  }
  const double nanos = std::chrono::duration<double, std::nano>(taken).count() / static_cast<double>(count);
  std::printf("%-50s %5zu bytes  %7.0f ns  %6.0f MB/s  %zu allocations in %zu\n", name, bytes, nanos,
              static_cast<double>(bytes) * 1e3 / nanos, g_allocations.load() - allocations, count);
}

int Run(std::chrono::milliseconds time) {
  const auto catalog = Catalog::Build(ShippedDocuments());
  if (!catalog.ok()) return 1;
  const std::string short_post = Post("A reply of the usual length, in plain English, about nothing.");
  std::string words;
  for (int i = 0; i < 25; ++i) words += "größer 日本語 ";
  const std::string wide_post = Post(words);  // more bytes than graphemes are allowed: characters are counted
  std::string families;
  for (int i = 0; i < 15; ++i) families += "👩‍👩‍👦‍👦 and plain words ";
  const std::string family_post = Post(families);  // more characters than that: graphemes are counted
  const std::string event = Event();
  const auto judge = [&](const char* name, const std::string& block, std::string_view collection) {
    Measure(name, block.size(), time, [&] {
      if (ValidateRecord(*catalog, collection, "3kznmn7xqxl22", AsBytes(block), {}).outcome !=
          Outcome::kValid)
        std::abort();
    });
  };
  judge("lexicon: post with reply, board and forum", short_post, "space.atbb.post");
  judge("lexicon: the same, 475 bytes of 275 characters", wide_post, "space.atbb.post");
  judge("lexicon: the same, graphemes counted", family_post, "space.atbb.post");
  judge("lexicon: calendar event with a union", event, "community.lexicon.calendar.event");
  Measure("data model alone: the first post", short_post.size(), time, [&] {
    if (!cbor::CheckRecord(AsBytes(short_post), "space.atbb.post", nullptr).ok()) std::abort();
  });
  return 0;
}

}  // namespace
}  // namespace penstock::lexicon

int main(int argc, char** argv) {
  const int millis = argc > 1 ? std::atoi(argv[1]) : 500;
  return penstock::lexicon::Run(std::chrono::milliseconds(millis > 0 ? millis : 500));
}
