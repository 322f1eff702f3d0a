#include "crypto/sha256.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "base/encoding.h"

namespace penstock::crypto {
namespace {

std::string HexOf(std::string_view text) { return ToHex(Sha256(AsBytes(text))); }

TEST(Sha256, KnownDigests) {  // FIPS 180-2 appendix B
  EXPECT_EQ(HexOf(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(HexOf("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HexOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(HexOf(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesAreTheWhole) {
  const std::string text(1'000, 'x');
  const Sha256Digest whole = Sha256(AsBytes(text));
  for (size_t cut : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{999}, size_t{1'000}}) {
    const Bytes bytes = AsBytes(text);
    EXPECT_EQ(Sha256(bytes.first(cut), bytes.subspan(cut)), whole) << cut;
    Sha256Stream stream;
    stream.Update(bytes.first(cut));
    stream.Update(bytes.subspan(cut));
    EXPECT_EQ(stream.Finish(), whole) << cut;
  }
  Sha256Stream nothing;
  EXPECT_EQ(nothing.Finish(), Sha256(Bytes()));
}

TEST(Sha256, ThreadsDoNotDisturbEachOther) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      const std::string text(static_cast<size_t>(100 + t), 'a');
      const Sha256Digest expected = Sha256(AsBytes(text));
      for (int i = 0; i < 2'000; ++i) ASSERT_EQ(Sha256(AsBytes(text)), expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace penstock::crypto
