#pragma once

// What a DID document and the log of a did:plc say, for a person: text for `penstock inspect did`. Pure.

#include <string>
#include <string_view>

namespace penstock::app {

// Each entry of `verificationMethod`: which one is the account's key, and why the others are not.
void AppendKeyEntries(std::string_view did, std::string_view document, std::string* out);

// The operations in force of an audit log, and the verdict. False if it is refused.
bool AppendPlcLog(std::string_view did, std::string_view log, std::string* out);

}  // namespace penstock::app
