#include "firehose/printable.h"

namespace penstock::firehose {

std::string Printable(std::string_view text, size_t limit) {
  std::string out(text.substr(0, limit));
  for (char& c : out) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  if (text.size() > limit) out.append("...");
  return out;
}

}  // namespace penstock::firehose
