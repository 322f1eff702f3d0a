#pragma once

// The project's own files, for tests that read the tree. Tests run with the source root as working directory.

#include <string>
#include <vector>

namespace penstock::test {

// Paths from the source root, sorted: tracked files and new ones that are not ignored, as git knows them;
// without git, all that lie outside build/ and hidden folders (.ci/ is read).
std::vector<std::string> ProjectFiles();

// The same, but only C++ sources and headers.
std::vector<std::string> SourceFiles();

}  // namespace penstock::test
