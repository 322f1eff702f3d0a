#pragma once

// The import port as one fetch at a time sees it: knows whether the account's worker still waits for an end of it, so that every
// way out leaves none open; and hands nothing more to the writer once the fetch is recalled. One thread.

#include <string>
#include <string_view>
#include <utility>

#include "backfill/waiting.h"
#include "pipeline/import_port.h"

namespace penstock::backfill {

class AccountPort final : public pipeline::ImportPort {
 public:
  explicit AccountPort(pipeline::ImportPort* port) : port_(port) {}

  // Of what is to come. Outlives it.
  void SetRecall(const Recall* recall) { recall_ = recall; }
  // Between Prepare and what ended it.
  bool is_open() const { return open_; }

  absl::StatusOr<pipeline::AccountView> Prepare(std::string_view did) override {
    absl::StatusOr<pipeline::AccountView> view = port_->Prepare(did);
    open_ = view.ok();
    return view;
  }
  absl::Status Begin(std::string_view did, const sync::Head& head, bool long_term, bool* current) override {
    if (recall_->raised()) return Recalled();
    absl::Status status = port_->Begin(did, head, long_term, current);
    // Refused because of what the archive is: the account is as it was.
    if (absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status)) open_ = false;
    return status;
  }
  indexer::ChangeSetPtr NewChange() override { return port_->NewChange(); }
  absl::Status Write(indexer::ChangeSetPtr part) override {
    return recall_->raised() ? Recalled() : port_->Write(std::move(part));
  }
  absl::Status WaitDurable() override { return recall_->raised() ? Recalled() : port_->WaitDurable(); }
  absl::Status Finish(std::string_view did, const sync::Head& head, bool tracked, indexer::ChangeSetPtr last) override {
    if (recall_->raised()) return Recalled();
    absl::Status status = port_->Finish(did, head, tracked, std::move(last));
    if (status.ok()) open_ = false;
    return status;
  }
  absl::Status Abandon(std::string_view did) override {
    if (!std::exchange(open_, false)) return absl::OkStatus();
    return port_->Abandon(did);
  }
  absl::Status SetStatus(std::string_view did, const sync::HostStatus& status, indexer::ChangeSetPtr last) override {
    absl::Status set = port_->SetStatus(did, status, std::move(last));
    if (set.ok()) open_ = false;
    return set;
  }
  absl::Status Purge(std::string_view did, uint64_t rows) override { return port_->Purge(did, rows); }

 private:
  static absl::Status Recalled() { return absl::CancelledError("recalled"); }

  pipeline::ImportPort* const port_;
  const Recall* recall_ = nullptr;
  bool open_ = false;
};

}  // namespace penstock::backfill
