#include "identity/identity.h"

namespace penstock::identity {

std::string_view HandleStateName(HandleState state) {
  switch (state) {
    case HandleState::kUnchecked:
      return "unchecked";
    case HandleState::kValid:
      return "valid";
    case HandleState::kInvalid:
      return "invalid";
  }
  return "";
}

}  // namespace penstock::identity
