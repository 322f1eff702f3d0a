#include "repo/op.h"

#include <gtest/gtest.h>

namespace penstock::repo {
namespace {

TEST(Action, NamesGoBothWays) {
  for (const Action action : {Action::kCreate, Action::kUpdate, Action::kDelete}) {
    EXPECT_EQ(ActionFromName(ActionName(action)), action);
  }
  EXPECT_EQ(ActionName(Action::kDelete), "delete");
}

TEST(Action, OtherNamesAreNoAction) {
  for (const char* name : {"", "Create", "creates", "create\n", "upsert"}) {
    EXPECT_FALSE(ActionFromName(name).has_value()) << name;
  }
}

}  // namespace
}  // namespace penstock::repo
