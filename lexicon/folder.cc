#include "lexicon/folder.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

#include "base/status.h"

namespace penstock::lexicon {
namespace {

namespace fs = std::filesystem;

// At most one byte more than a document may have: ParseDocument refuses that one.
absl::StatusOr<std::string> ReadText(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) return UnavailableError(path.string() + ": " + error.message());
  std::string text(static_cast<size_t>(std::min<uintmax_t>(size, kMaxDocumentBytes + 1)), '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (static_cast<size_t>(in.gcount()) != text.size())
    return UnavailableError(path.string() + ": cannot be read");
  return text;
}

bool IsHidden(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with('.') || name.starts_with('_');
}

absl::StatusOr<std::vector<fs::path>> FilesOf(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) return NotFoundError(folder.string() + ": no such folder");
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (IsHidden(it->path())) {
      it.disable_recursion_pending();
    } else if (it->path().extension() == ".json" && it->is_regular_file(error)) {
      files.push_back(it->path());
      if (files.size() > kMaxDocuments)
        return InvalidInputError(folder.string() + ": holds more than " + std::to_string(kMaxDocuments) +
                                 " files: is it the right folder?");
    }
  }
  if (error) return UnavailableError(folder.string() + ": " + error.message());
  // As texts: paths compare by parts, which puts post/x.json before post.json.
  std::sort(files.begin(), files.end(),
            [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  return files;
}

// "space.atbb.post" of space/atbb/post.json.
std::string NsidOf(const fs::path& folder, const fs::path& file) {
  std::string nsid = file.lexically_relative(folder).replace_extension().generic_string();
  std::replace(nsid.begin(), nsid.end(), '/', '.');
  return nsid;
}

}  // namespace

absl::StatusOr<std::vector<Document>> LoadFolder(const fs::path& folder) {
  ASSIGN_OR_RETURN(const std::vector<fs::path> files, FilesOf(folder));
  std::vector<Document> documents;
  for (const fs::path& file : files) {
    ASSIGN_OR_RETURN(const std::string text, ReadText(file));
    ASSIGN_OR_RETURN(Document document, ParseDocument(file.string(), text));
    if (const std::string wanted = NsidOf(folder, file); wanted != document.nsid) {
      std::string path = document.nsid;
      std::replace(path.begin(), path.end(), '.', '/');
      return InvalidInputError(file.string() + ": id: is \"" + document.nsid +
                               "\", by its path it would be \"" + wanted + "\": move the file to " + path +
                               ".json, or mend the id");
    }
    documents.push_back(std::move(document));
  }
  return documents;
}

}  // namespace penstock::lexicon
