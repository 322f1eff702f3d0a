// A record without findings costs no memory: counted, not guessed. This file replaces the global operator new
// of the test program.

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

#include "gtest/gtest.h"
#include "lexicon/shipped.h"
#include "tests/lexicon/lexicon_testing.h"

namespace {

std::atomic<size_t> g_allocations = 0;

void* Allocate(size_t size) {
  g_allocations.fetch_add(1, std::memory_order_relaxed);
  void* const memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

void* operator new(size_t size) { return Allocate(size); }
void* operator new[](size_t size) { return Allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace penstock::lexicon {
namespace {

size_t AllocationsOf(const Catalog& catalog, std::string_view nsid, const std::string& block) {
  const size_t before = g_allocations.load();
  const Verdict verdict = ValidateRecord(catalog, nsid, "3kznmn7xqxl22", AsBytes(block), {});
  const size_t count = g_allocations.load() - before;
  EXPECT_EQ(test::Summary(verdict), "valid");
  return count;
}

TEST(LexiconAllocations, AValidRecordTakesNone) {
  const auto catalog = Catalog::Build(ShippedDocuments());
  ASSERT_TRUE(catalog.ok());
  const std::string ref =
      R"({"uri": "at://did:plc:jlxpiytvot3tq2tmaoj4tds7/space.atbb.post/3kznmn7xqxl22",
          "cid": "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq"})";
  const std::string old_ref =
      R"({"uri": "at://did:plc:jlxpiytvot3tq2tmaoj4tds7", "cid": "zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA"})";
  std::string text;
  for (int i = 0; i < 60; ++i)
    text += "👩‍👩‍👦‍👦 é ";  // more bytes than graphemes are allowed
  EXPECT_EQ(AllocationsOf(*catalog, "space.atbb.post",
                          test::Record("\"text\": \"" + text + R"(", "createdAt": "2024-01-01T00:00:00.000Z",
                              "forum": {"forum": )" +
                                           ref + R"(}, "reply": {"root": )" + ref + R"(, "parent": )" +
                                           old_ref + "}, \"more\": [1, {}]",
                                       "space.atbb.post")),
            0u);
  EXPECT_EQ(AllocationsOf(*catalog, "community.lexicon.calendar.event",
                          test::Record(R"(
                "name": "n", "createdAt": "2024-01-01T00:00:00.000Z",
                "mode": "community.lexicon.calendar.event#virtual",
                "uris": [{"uri": "https://example.com"}],
                "locations": [{"$type": "community.lexicon.location.geo", "latitude": "1", "longitude": "2"},
                              {"$type": "com.example.other"}])",
                                       "community.lexicon.calendar.event")),
            0u);
}

TEST(LexiconAllocations, TheCountIsReal) {
  const Catalog catalog =
      test::CatalogOf({test::ThingDocument(R"("properties": {"a": {"type": "integer"}})")});
  const std::string block = test::Record(R"("a": "text")");
  const size_t before = g_allocations.load();
  (void)ValidateRecord(catalog, "com.example.thing", "key", AsBytes(block), {});
  EXPECT_GT(g_allocations.load(), before);
}

}  // namespace
}  // namespace penstock::lexicon
