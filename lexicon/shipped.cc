#include "lexicon/shipped.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "base/status.h"
#include "lexicon/embedded.h"

namespace penstock::lexicon {

std::vector<Document> ShippedDocuments() {
  std::vector<Document> documents;
  for (size_t i = 0; i < kEmbeddedFileCount; ++i) {
    const EmbeddedFile& file = kEmbeddedFiles[i];
    absl::StatusOr<Document> document = ParseDocument(std::string("shipped:").append(file.name), file.text);
    if (!document.ok()) {
      std::fprintf(stderr, "%s\n", std::string(Message(document.status())).c_str());
      std::abort();
    }
    documents.push_back(*std::move(document));
  }
  return documents;
}

}  // namespace penstock::lexicon
