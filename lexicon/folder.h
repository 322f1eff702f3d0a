#pragma once

// Lexicon files of an operator: a folder where the path of a file is its NSID with dots as slashes,
// `space/atbb/post.json` for `space.atbb.post`. The one part of this folder that reads files.

#include <filesystem>
#include <vector>

#include "absl/status/statusor.h"
#include "lexicon/document.h"

namespace penstock::lexicon {

inline constexpr size_t kMaxDocuments =
    100'000;  // of one folder; all that are published today are a few thousand

// Every `.json` file below `folder`, in the order of their paths. Files and folders whose names start with
// '.' or '_' are left out. Errors: kInvalidArgument, naming the file, for one that is no lexicon (see
// ParseDocument) or has the `id` of another path; kNotFound when there is no such folder; kUnavailable when
// it cannot be read.
absl::StatusOr<std::vector<Document>> LoadFolder(const std::filesystem::path& folder);

}  // namespace penstock::lexicon
