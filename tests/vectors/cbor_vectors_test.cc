#include <gtest/gtest.h>

#include "tests/support/shared_data.h"

TEST(CborVectors, FolderIsThere) {
  if (!penstock::test::VectorsFolder()) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
}
