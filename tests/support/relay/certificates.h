#pragma once

// Certificates made on the spot, so that no key lies in the repository and none expires.

#include <memory>
#include <string>
#include <vector>

namespace penstock::test {

struct TestCertificate {
  std::string certificate_pem;
  std::string private_key_pem;
};

// A certificate authority of its own. Aborts when OpenSSL fails: a test could do nothing else.
class TestAuthority {
 public:
  TestAuthority();
  ~TestAuthority();

  // A server certificate for these names ("DNS:localhost", "IP:127.0.0.1"), valid for an hour around now;
  // `expired`: until an hour ago.
  TestCertificate Issue(const std::vector<std::string>& names, bool expired = false) const;

  const std::string& certificate_pem() const { return certificate_pem_; }
  // A file with certificate_pem(), gone with this object.
  const std::string& file() const { return file_; }

 private:
  struct Keys;
  std::unique_ptr<Keys> keys_;
  std::string certificate_pem_;
  std::string file_;
};

}  // namespace penstock::test
