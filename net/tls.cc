#include "net/tls.h"

#include "base/status.h"

namespace penstock::net {

absl::Status PrepareTlsClient(boost::asio::ssl::context* context, const std::string& ca_file) {
  if (SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION) != 1) {
    return InternalError("TLS 1.2 is not available");
  }
  boost::beast::error_code ec;
  if (ca_file.empty()) {
    context->set_default_verify_paths(ec);
  } else {
    context->load_verify_file(ca_file, ec);
  }
  if (ec) return InvalidInputError("certificate authorities " + ca_file + ": " + ec.message());
  return absl::OkStatus();
}

}  // namespace penstock::net
