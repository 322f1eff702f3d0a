#include "indexer/change_set.h"

namespace penstock::indexer {

std::string_view VerificationName(Verification verification) {
  switch (verification) {
    case Verification::kCid:
      return "cid";
    case Verification::kSignature:
      return "signature";
    case Verification::kCommit:
      return "commit";
    case Verification::kFull:
      return "full";
    case Verification::kExport:
      return "export";
  }
  return "";
}

std::string_view ValidationName(Validation validation) {
  switch (validation) {
    case Validation::kUnknown:
      return "unknown";
    case Validation::kOk:
      return "ok";
    case Validation::kWarn:
      return "warn";
    case Validation::kInvalid:
      return "invalid";
  }
  return "";
}

void ChangeSet::Clear() {
  records.clear();
  account.reset();
  dead_letters.clear();
  gaps.clear();
  quarantine.clear();
  source = did = rev = commit_cid = event_json = {};
  seq = 0;
  ticket = 0;
  arrival_us = 0;
  kind = EventKind::kCommit;
  verification = Verification::kCid;
  passed = false;
  arena.Reset();
}

}  // namespace penstock::indexer
