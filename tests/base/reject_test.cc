#include "base/reject.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace penstock {
namespace {

TEST(Reject, NamesAreSnakeCaseDistinctAndReadBack) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kRejectCount; ++i) {
    const Reject reject = static_cast<Reject>(i);
    const std::string_view name = RejectName(reject);
    EXPECT_TRUE(names.insert(name).second) << name << " twice";
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"), std::string_view::npos)
        << name;
    EXPECT_FALSE(name.empty());
    EXPECT_EQ(RejectFromName(name), reject);
  }
  EXPECT_EQ(RejectFromName("no_such_reject"), std::nullopt);
  EXPECT_EQ(RejectFromName(""), std::nullopt);
}

// The name follows from the enumerator, so that whoever reads one finds the other.
TEST(Reject, NamesFollowTheEnumerators){
#define PENSTOCK_REJECT_CHECK(enumerator, name)                                  \
  {                                                                              \
    std::string from_name = "k";                                                 \
    bool upper = true;                                                           \
    for (char c : std::string_view(name)) {                                      \
      if (c != '_') from_name += upper ? static_cast<char>(std::toupper(c)) : c; \
      upper = c == '_';                                                          \
    }                                                                            \
    EXPECT_EQ(from_name, #enumerator);                                           \
    EXPECT_EQ(RejectName(Reject::enumerator), name);                             \
  }
    PENSTOCK_REJECTS(PENSTOCK_REJECT_CHECK)
#undef PENSTOCK_REJECT_CHECK
}

// Metric labels, log fields, dead letters of older stores: names that were given stay. A name that has gone
// fails here.
TEST(Reject, NamesThatWereGivenStay) {
  for (const char* name : {"cbor_truncated",
                           "cbor_trailing_bytes",
                           "cbor_non_minimal",
                           "cbor_reserved_head",
                           "cbor_indefinite",
                           "cbor_bad_utf8",
                           "cbor_map_key_not_text",
                           "cbor_map_key_order",
                           "cbor_map_key_duplicate",
                           "cbor_map_key_too_long",
                           "cbor_unsupported_tag",
                           "cbor_bad_link",
                           "cbor_unsupported_simple",
                           "cbor_unsupported_float",
                           "cbor_too_deep",
                           "cbor_too_many_elements",
                           "cbor_unexpected_type",
                           "cbor_integer_range",
                           "cbor_unencodable",
                           "cid_malformed",
                           "cid_unsupported",
                           "json_malformed",
                           "json_too_deep",
                           "json_bad_link",
                           "json_bad_bytes",
                           "json_number",
                           "record_not_a_map",
                           "record_float",
                           "record_integer_range",
                           "record_too_large",
                           "record_too_deep",
                           "record_bad_type",
                           "record_type_mismatch",
                           "record_bad_blob",
                           "record_unverifiable",
                           "car_block_cid_mismatch",
                           "mst_partial",
                           "commit_bad_object",
                           "frame_bad_header",
                           "event_missing_field",
                           "store_refused"}) {
    EXPECT_TRUE(RejectFromName(name).has_value()) << name;
  }
}

}  // namespace
}  // namespace penstock
