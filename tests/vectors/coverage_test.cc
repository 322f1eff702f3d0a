// Which folder of the vectors is read by whom, so that none is left out unseen.

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <map>
#include <string>

#include "tests/support/shared_data.h"

namespace penstock {
namespace {

TEST(VectorsCoverage, EveryFolderHasAReaderOrAName) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  const std::map<std::string, std::string> readers = {
      {"arroba", "export_vectors, mst_vectors"},
      {"atproto-interop-tests",
       "cbor_vectors, crypto_vectors, inversion_vectors, lexicon_vectors, mst_vectors, syntax_vectors"},
      {"atproto-lexicons", "lexicon_vectors"},
      {"atproto-ts", "car_vectors"},
      {"dasl-testing", "cbor_vectors"},
      {"did-plc-audit", "identity_vectors"},
      {"go-car", "car_vectors"},
      {"hydrant", "frames_vectors, judge_vectors"},
      {"indigo", "export_vectors, identity_vectors (did-docs), mst_vectors, verify_vectors, judge_vectors (relay-scenarios)"},
      {"ipld-car", "car_vectors"},
      {"ipld-codec-fixtures", "cbor_vectors"},
      {"jetstream-corpus", "export_vectors, frames_vectors, identity_vectors, mst_vectors, verify_vectors"},
      {"mst-test-suite", "inversion_vectors, mst_vectors"},
      {"repo-stream", "export_vectors, mst_vectors"},
      {"rfc8949", "cbor_vectors"},
      {"serde_ipld_dagcbor", "cbor_vectors"},
      {"synthetic-frames", "frames_vectors (decoding), judge_vectors (verdicts)"},
      {"wycheproof", "crypto_vectors"},
  };
  size_t known = 0;
  for (const auto& entry : std::filesystem::directory_iterator(*folder)) {
    if (!entry.is_directory()) continue;
    const std::string name = entry.path().filename().string();
    const auto reader = readers.find(name);
    std::printf("[ vectors  ] %s: %s\n", name.c_str(),
                reader == readers.end() ? "READ BY NOBODY" : reader->second.c_str());
    known += reader != readers.end();
  }
  EXPECT_GT(known, 0u) << "not the folder that we mean";
}

}  // namespace
}  // namespace penstock
