#pragma once

// `penstock inspect mst --tree`: the nodes of a repository's tree as they hang together.

#include <string>

#include "base/bytes.h"

namespace penstock::app {

// The tree under a CAR's root (a commit, or an MST node), a line for each node and key, indented by depth. Shows also what is
// wrong, where it is, as far as the nodes can be read; returns whether the strict reading accepts all of it.
bool InspectTree(Bytes car, std::string* out);

}  // namespace penstock::app
