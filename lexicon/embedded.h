#pragma once

// The files that cmake/PenstockEmbed.cmake compiles in. Private to lexicon/shipped.cc and the generated
// source.

#include <cstddef>
#include <string_view>

namespace penstock::lexicon {

struct EmbeddedFile {
  std::string_view name;  // "space/atbb/post.json"
  std::string_view text;
};

extern const EmbeddedFile kEmbeddedFiles[];
extern const size_t kEmbeddedFileCount;

}  // namespace penstock::lexicon
