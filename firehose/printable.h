#pragma once

// Text from a peer made fit for a log line.

#include <cstddef>
#include <string>
#include <string_view>

namespace penstock::firehose {

// At most `limit` bytes of `text`, everything outside of printable ASCII as '?', so that nobody can forge
// lines or fill the log.
std::string Printable(std::string_view text, size_t limit = 200);

}  // namespace penstock::firehose
