#pragma once

#include <atomic>

namespace penstock::app {

// For verbs that work in a plain loop: SIGINT and SIGTERM set this flag instead of ending the program; a second one ends
// it at once (the store is safe: its cursor and rows are of one transaction).
const std::atomic<bool>& StopOnSignals();

}  // namespace penstock::app
