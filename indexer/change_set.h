#pragma once

// What one event changes, ready to be written: rows made, JSON derived, references found. Built by a worker
// from a checked event, written by the writer as one unit: a batch never splits it. Owns everything that it
// refers to (arena), so it crosses threads; recycled.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/recycler.h"
#include "base/reject.h"
#include "identity/identity.h"
#include "repo/op.h"
#include "repo/verification.h"
#include "sync/account_state.h"

namespace penstock::indexer {

using repo::IsStrong;
using repo::Verification;
using repo::VerificationName;

// Nothing is missing before it: an anchor's commit says what it changed, but not what the repository held.
inline bool IsProven(Verification v) { return v >= Verification::kFull; }

// What validation said of a record. Stored as its name.
enum class Validation : uint8_t {
  kUnknown,  // "unknown": good data, no schema was asked
  kOk,       // "ok"
  kWarn,     // "warn": indexed, with something to know (an empty map key, U+0000 in text, references cut off)
  kInvalid,  // "invalid": not valid data, so kept out of every view; its CID stays so that later ops line up
};
std::string_view ValidationName(Validation validation);

// One edge out of a record (table record_ref).
struct RefRow {
  std::string_view path;        // where in the record, "reply.root"
  std::string_view target_uri;  // as it came: at://… or did:…
  std::string_view target_cid;  // empty if the reference pins none
  std::string_view target_did;  // empty if the authority is a handle
  std::string_view target_collection;
  int64_t target_hash = 0;  // first 8 bytes of SHA-256(target_uri), big endian: what is indexed
};

// One row of table record, less what the whole change set shares.
struct RecordRow {
  std::string_view collection;
  std::string_view rkey;
  repo::Action op = repo::Action::kCreate;
  std::string_view cid;    // text form; empty for a delete
  Bytes cbor;              // the signed bytes; empty for a delete
  std::string_view value;  // JSON, U+0000 replaced by U+FFFD; empty for a delete and for an invalid record
  bool value_lossy = false;
  Validation validation = Validation::kUnknown;
  std::string_view created_at;        // as claimed; empty if absent
  std::optional<int64_t> created_us;  // the same parsed, microseconds
  std::span<const RefRow> refs;
  int32_t op_index = 0;  // in ops[]: the `op` of its dead letter should the database refuse the row
  Bytes proof;           // with --keep-proofs: a CAR of the commit and the tree path to the record (table record_proof)
};

// What becomes of the account's chain state (table repo), in the same transaction as the rows.
struct RepoRow {
  sync::SyncState sync_state = sync::SyncState::kUntracked;
  bool has_head = false;  // the three below are written; otherwise what is stored stays,
  bool clear_head = false;  // or is removed, with baseline_rev: nothing is held any more
  std::string_view rev, data, commit_cid;  // CIDs as text
  std::string_view reason;                 // why it was desynchronised: a Reject's name; empty otherwise
  std::string_view baseline_rev;           // of the whole repository that the rows go back to; empty: stays
};

// A whole repository was taken in, or was found to be as we hold it (docs/backfill.md): the account's queued and running tasks
// of every run that were not made after `started_at` are done, and what the filter asks for is covered at `rev`.
struct ImportRow {
  std::string_view rev;
  std::string_view host;                       // origin that served it
  std::string_view cause;                      // "" or "already_current"
  std::span<const std::string_view> rules;     // table coverage
  int64_t started_at = 0;                      // wall clock
  uint64_t records = 0, bytes = 0;
};

// An event that cannot be judged yet and becomes durable, so that the cursor may pass it (table held_event).
struct HeldRow {
  std::string_view did;
  std::string_view source;  // the change set's own source may be another
  int64_t seq = 0;
  int64_t ordinal = 0;  // order within the account
  std::string_view reason;
  bool gated = false;
  Bytes frame;  // whole
  int64_t arrived_at = 0;
};

// Rows of held_event that have been judged, or that are dropped: of `did`, up to and with `ordinal`.
struct HeldDone {
  std::string_view did;
  int64_t ordinal = 0;
};

struct AccountRow {
  bool active = true;
  std::string_view status;  // empty if absent
};

// A refused item (table dead_letter), keyed by (source, seq, op).
struct DeadLetterRow {
  int32_t op = -1;  // index in ops[], or -1 for the whole event
  std::string_view collection, rkey;
  Reject reject{};
  std::string_view detail;
  Bytes frame;  // the raw frame, bounded; empty when another row of the event holds it
  std::string_view state_met;  // JSON: the account's state and the key that it was judged by; empty for none
};

struct GapRow {
  std::optional<int64_t> from, to;
  std::string_view reason, detail;
};

struct QuarantineRow {
  int64_t position = 0;
  Reject reject{};
  std::string_view detail;
  Bytes frame;                    // bounded
  std::string_view frame_sha256;  // hex, of the whole frame
};

// kControl is no event of the stream: gaps and quarantined frames.
enum class EventKind : uint8_t { kCommit, kSync, kIdentity, kAccount, kControl };

struct ChangeSet {
  Arena arena;

  std::string_view source;  // outlives the change set (the pipeline's list of sources)
  int64_t seq = 0;          // 0 for kControl
  uint64_t ticket = 0;      // of the source's watermark
  int64_t arrival_us = 0;

  EventKind kind = EventKind::kCommit;
  std::string_view did;
  std::string_view rev;         // commit, sync
  std::string_view commit_cid;  // text; commit, sync
  Verification verification = Verification::kCid;
  std::string_view allowed;  // the relaxation that let it in (sync/policies.h); empty in strict verification
  // Under which key its dead letters are filed when no event stands behind it (docs/schema.md, dead_letter): a repository that was
  // taken in as a whole. Empty: `source` and `seq`.
  std::string_view letter_source;
  int64_t letter_seq = 0;
  // Tickets of further events that this change set settles, of any source (events that it makes durable as held, or drops).
  struct Settled {
    std::string_view source;
    uint64_t ticket = 0;
  };
  std::vector<Settled> settles;
  // For the worker that sent it: its number, and where the writer says that it is durable. Null for who does not ask.
  uint64_t number = 0;
  std::atomic<uint64_t>* durable = nullptr;
  // Lives until the change set is written, or given up, and is emptied.
  std::shared_ptr<void> credit;

  // The event's own further fields for NDJSON output, as JSON members without braces: `"time":"…"`.
  std::string_view event_json;

  // The event goes on to who follows the changes (NDJSON output): not refused as a whole, and wanted. Ops of
  // it may still have been refused.
  bool passed = false;

  std::vector<RecordRow> records;
  std::optional<AccountRow> account;
  std::optional<RepoRow> repo;
  std::optional<ImportRow> import;
  // Before everything else of this change set: up to so many rows of `record` of `did`, with their references and proofs, are
  // removed without a trace (an account that was deleted), and what says that it is covered.
  uint64_t purge_rows = 0;
  std::vector<HeldRow> held;
  std::optional<HeldDone> held_done;
  identity::IdentityPtr identity;    // to be kept (table identity)
  std::string_view identity_purged;  // a DID: what is kept of it must not be used again
  std::string_view proof_key;        // did:key that the proofs of `records` hold under
  std::vector<DeadLetterRow> dead_letters;
  std::vector<GapRow> gaps;
  std::vector<QuarantineRow> quarantine;

  // What it counts for against the bounds in bytes of queues and batches.
  size_t cost() const { return sizeof(ChangeSet) + arena.bytes() + records.size() * sizeof(RecordRow); }
  void Clear();
};

using ChangeSetRecycler = Recycler<ChangeSet>;
using ChangeSetPtr = ChangeSetRecycler::Ptr;

}  // namespace penstock::indexer
