#include "base/status.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(Status, ARejectTravelsAsPayload) {
  const absl::Status status = RejectError(Reject::kCarBlockCidMismatch, "at byte 7");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Message(status), "car_block_cid_mismatch: at byte 7");
  EXPECT_EQ(RejectOf(status), Reject::kCarBlockCidMismatch);
  EXPECT_EQ(Message(RejectError(Reject::kCborTruncated)), "cbor_truncated");
}

TEST(Status, EveryRejectTravels) {
  for (size_t i = 0; i < kRejectCount; ++i) {
    const Reject reject = static_cast<Reject>(i);
    EXPECT_EQ(RejectOf(RejectError(reject)), reject);
  }
}

TEST(Status, OtherErrorsCarryNone) {
  EXPECT_EQ(RejectOf(absl::OkStatus()), std::nullopt);
  EXPECT_EQ(RejectOf(InvalidInputError("cbor_truncated")), std::nullopt) << "the text is no payload";
  EXPECT_EQ(RejectOf(UnavailableError("x")), std::nullopt);
}

TEST(Status, OnlyTheSecondKindIsTransient) {
  EXPECT_TRUE(IsTransient(UnavailableError("x")));
  EXPECT_TRUE(IsTransient(DeadlineExceededError("x")));
  EXPECT_FALSE(IsTransient(absl::OkStatus()));
  EXPECT_FALSE(IsTransient(InternalError("x")));
  EXPECT_FALSE(IsTransient(DataLossError("x")));
  EXPECT_FALSE(IsTransient(FailedPreconditionError("x")));
  EXPECT_FALSE(IsTransient(NotFoundError("x")));
  EXPECT_FALSE(IsTransient(RejectError(Reject::kCborTruncated)));
}

absl::StatusOr<int> Half(int number) {
  if (number % 2 != 0) return InvalidInputError("odd");
  return number / 2;
}

absl::StatusOr<int> Quarter(int number) {
  ASSIGN_OR_RETURN(const int half, Half(number));
  ASSIGN_OR_RETURN(int quarter, Half(half));
  return quarter;
}

absl::Status CheckEven(int number) {
  RETURN_IF_ERROR(Half(number).status());
  return absl::OkStatus();
}

TEST(Status, MacrosReturnTheFirstError) {
  EXPECT_EQ(Quarter(12).value(), 3);
  EXPECT_EQ(Message(Quarter(6).status()), "odd");
  EXPECT_TRUE(CheckEven(2).ok());
  EXPECT_EQ(Message(CheckEven(3)), "odd");
}

}  // namespace
}  // namespace penstock
