#include "tests/layering/source_tree.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>

namespace penstock::test {
namespace {

namespace fs = std::filesystem;

// Empty when git or its repository is not there.
std::vector<std::string> FilesOfGit() {
  std::vector<std::string> files;
  FILE* pipe = popen("git ls-files -z --cached --others --exclude-standard 2>/dev/null", "r");
  if (pipe == nullptr) return files;
  std::string name;
  for (int c = 0; (c = std::fgetc(pipe)) != EOF;) {
    if (c != 0) {
      name.push_back(static_cast<char>(c));
      continue;
    }
    // A tracked file may have been deleted in the work tree.
    if (fs::is_regular_file(name)) files.push_back(name);
    name.clear();
  }
  if (pclose(pipe) != 0) files.clear();
  return files;
}

std::vector<std::string> FilesOnDisk() {
  std::vector<std::string> files;
  for (auto it = fs::recursive_directory_iterator("."); it != fs::recursive_directory_iterator(); ++it) {
    const std::string name = it->path().filename().string();
    if (it->is_directory()) {
      const bool hidden = name.starts_with('.') && name != ".ci";
      if (hidden || name == "node_modules" || (it.depth() == 0 && name == "build"))
        it.disable_recursion_pending();
    } else if (it->is_regular_file()) {
      files.push_back(it->path().lexically_relative(".").generic_string());
    }
  }
  return files;
}

}  // namespace

std::vector<std::string> ProjectFiles() {
  std::vector<std::string> files = FilesOfGit();
  if (files.empty()) files = FilesOnDisk();
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

std::vector<std::string> SourceFiles() {
  std::vector<std::string> files = ProjectFiles();
  std::erase_if(files,
                [](const std::string& file) { return !file.ends_with(".h") && !file.ends_with(".cc"); });
  return files;
}

}  // namespace penstock::test
