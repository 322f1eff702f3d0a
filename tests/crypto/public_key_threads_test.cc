// One key, many threads: accounts of one PDS may share a key, and two workers may meet at it.

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "crypto/public_key.h"
#include "fixtures/builder/signing_key.h"

namespace penstock::crypto {
namespace {

TEST(PublicKeyThreads, AllVerifyWithOneKey) {
  for (const auto curve : {builder::Curve::kK256, builder::Curve::kP256}) {
    const auto signer = builder::SigningKey::FromSeed(curve, AsBytes("threads"));
    const PublicKey key = *PublicKey::FromDidKey(signer.DidKey());
    constexpr int kThreads = 4, kRounds = 200;
    std::vector<Sha256Digest> digests;
    std::vector<builder::Signature> signatures;
    for (int i = 0; i < kRounds; ++i) {
      digests.push_back(Sha256(AsBytes(std::to_string(i))));
      signatures.push_back(signer.Sign(digests.back()));
    }
    std::atomic<int> good = 0, refused = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, copy = key, t] {
        for (size_t i = 0; i < kRounds; ++i) {
          good += copy.VerifyDigest(digests[i], signatures[i]).ok();
          // The signature of another message, so that good and bad verdicts are under way at once.
          const auto other = (i + 1 + static_cast<size_t>(t)) % kRounds;
          refused += RejectOf(copy.VerifyDigest(digests[i], signatures[other])) == Reject::kSignatureMismatch;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(good, kThreads * kRounds);
    EXPECT_EQ(refused, kThreads * kRounds);
  }
}

}  // namespace
}  // namespace penstock::crypto
