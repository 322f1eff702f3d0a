// The strict reader on any bytes.

#include <cstdint>

#include "cbor/reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)penstock::cbor::CheckItem(penstock::Bytes(data, size));
  return 0;
}
