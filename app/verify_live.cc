#include "app/verify_live.h"

#include "base/status.h"
#include "fmt/format.h"
#include "repo/syntax.h"

namespace penstock::app {

void VerifyLiveRecord(const LiveQuestion& question, const LiveSources& sources, std::string* car,
                      VerifyReport* report) {
  std::string did = question.authority;
  std::string handle;
  if (const auto parsed = repo::Handle::Parse(question.authority);
      !question.authority.starts_with("did:") && parsed) {
    handle = parsed->Normalized();
    absl::StatusOr<std::string> resolved = sources.resolve_handle(handle);
    if (!resolved.ok()) return report->Fail("handle", resolved.status());
    did = *std::move(resolved);
    report->Ok("handle", fmt::format("{} leads to {}", handle, did));
  }

  const absl::StatusOr<identity::IdentityPtr> found = sources.find_identity(did);
  if (!found.ok()) return report->Fail("identity", found.status());
  const identity::Identity& identity = **found;
  if (identity.fault) return report->Fail("identity", RejectError(*identity.fault, did));
  if (!handle.empty() && identity.handle != handle) {
    return report->Fail("identity", FailedPreconditionError(fmt::format(
                                        "{} claims {}, not {}", did,
                                        identity.handle.empty() ? "no handle" : identity.handle, handle)));
  }
  if (identity.pds.empty()) return report->Fail("identity", FailedPreconditionError(did + " names no PDS"));
  report->Ok("identity", fmt::format("{}{} lives on {}, from {}", did, handle.empty() ? "" : " claims it and",
                                     identity.pds, sources.identity_origin));

  absl::StatusOr<std::string> proof = sources.get_record(identity.pds, did, question);
  if (!proof.ok()) return report->Fail("proof", proof.status());
  *car = *std::move(proof);
  report->Ok("proof", fmt::format("{} bytes from {}", car->size(), identity.pds));

  RecordQuestion record;
  record.car = AsBytes(*car);
  record.now_us = question.now_us;
  record.did = did;
  record.path = question.collection + "/" + question.rkey;
  record.need_record = true;
  Signer signer;
  signer.find = [&found](std::string_view) { return found; };
  signer.origin = sources.identity_origin;
  VerifyRecord(record, signer, report);
}

}  // namespace penstock::app
