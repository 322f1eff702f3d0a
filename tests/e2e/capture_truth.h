#pragma once

// Captures of real streams, and what a consumer must make of them: worked out from the reference
// implementation's reading of the frames (the captures' README) with the rules of docs/verification.md,
// without any of the consumer's own code.

#include <boost/json.hpp>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace penstock::test {

// One stream of a capture: the frames and what is known of them.
struct CapturedStream {
  std::filesystem::path folder;
  std::string base, pds, file;
  std::filesystem::path Path() const { return folder / file; }
  std::filesystem::path File(const std::string& suffix) const {
    return folder / (std::filesystem::path(file).stem().string() + suffix);
  }
  std::filesystem::path BaseFile(const std::string& suffix) const { return folder / (base + suffix); }
  // The --did-docs argument: FILE#MEMBER.
  std::string DidDocs() const { return BaseFile(".dids.ndjson").string() + "#" + pds; }
};

// Those of every *.counts.json in the captures folder, by base; empty if there is no folder.
std::map<std::string, std::vector<CapturedStream>> CapturedBases();

std::vector<boost::json::object> ReadNdjson(const std::filesystem::path& path);

// A consumer at level `full`, on paper.
class CaptureTruth {
 public:
  struct Account {
    bool active = true;
    bool seen = false;              // an #account, or a head
    std::string rev, data, commit;  // of the newest commit that was verified; empty before the first
    std::string sync_state;         // as in table repo; empty if no chain is kept
    bool from_start = false;        // its first commit was seen
  };
  enum class Fate { kPasses, kRefused, kIgnored, kHeld };
  struct Event {
    Fate fate = Fate::kPasses;
    std::string reject;        // of kRefused
    std::string verification;  // of a #commit that passes
  };

  // Takes all events of `streams`, side by side in the order of their times. `as_pds`: each stream counts as
  // its PDS's and speaks only for the accounts that live there; otherwise as a relay's.
  CaptureTruth(const std::vector<CapturedStream>& streams, bool as_pds);

  // By stream (its `pds`) and seq.
  const std::map<std::pair<std::string, int64_t>, Event>& events() const { return events_; }
  const std::map<std::string, Account>& accounts() const { return accounts_; }
  // The level that each record's last version was accepted at; "did collection rkey".
  const std::map<std::string, std::string>& levels() const { return levels_; }
  // The seqs of `stream` with this fate.
  std::set<int64_t> Seqs(const CapturedStream& stream, Fate fate) const;
  // "localhost:PORT" of a stream's PDS, from the DID documents.
  const std::string& Host(const CapturedStream& stream) const { return hosts_.at(stream.pds); }

 private:
  struct Message;
  void LoadDocuments(const std::vector<CapturedStream>& streams);
  // host[:port] of the PDS that the document in force names.
  std::string HostInForce(const std::string& did, const std::string& stream, int64_t seq) const;
  Event Take(const std::string& stream, const boost::json::object& message, bool as_pds);
  Event TakeCommit(const boost::json::object& message, Account* account);
  Event TakeSync(const boost::json::object& message, Account* account);

  // did and stream -> (first seq, host), in the order of the file.
  std::map<std::pair<std::string, std::string>, std::vector<std::pair<int64_t, std::string>>> documents_;
  std::map<std::string, std::string> hosts_;
  std::map<std::pair<std::string, int64_t>, Event> events_;
  std::map<std::string, Account> accounts_;
  std::map<std::string, std::string> levels_;
};

}  // namespace penstock::test
