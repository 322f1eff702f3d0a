#include "firehose/session/http_refusal.h"

namespace penstock::firehose {

Refusal RefusalOf(int http_status) {
  switch (http_status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
      return Refusal::kRedirect;
    case 405:
    case 426:
    case 501:
      return Refusal::kNever;
    case 408:
    case 425:
    case 429:
      return Refusal::kTemporary;
    default:
      return http_status >= 500 && http_status <= 599 ? Refusal::kTemporary : Refusal::kWrong;
  }
}

}  // namespace penstock::firehose
