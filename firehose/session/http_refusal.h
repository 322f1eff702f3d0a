#pragma once

// What an HTTP answer other than 101 means for who asked for a stream (protocol 1.1). Pure.

#include <cstdint>

namespace penstock::firehose {

enum class Refusal : uint8_t {
  kRedirect,   // 301, 302, 303, 307, 308
  kTemporary,  // 408, 425, 429, 5xx: back off, honour Retry-After
  kWrong,      // the other 4xx, and answers that make no sense here: nothing that a quick retry could cure
  kNever,      // 405, 426 (our request is wrong), 501 (there is no such stream): do not ask this host again
};
Refusal RefusalOf(int http_status);

}  // namespace penstock::firehose
