#ifndef SLUICE_TOOLS_LOAD_SIP_USERS_H_
#define SLUICE_TOOLS_LOAD_SIP_USERS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/load/sip_scan.h"
#include "tools/load/sip_template.h"

namespace sluice::load {

struct SipUser {
  std::string name;
  std::string password{};
};

// Whose transactions they are: number n is that of user n modulo their count.
//
// Thread: any, once it is made.
class SipUsers {
 public:
  static constexpr uint32_t kMax = 1'000'000;

  // `name` and `password` with {} where the user's number (from 0) stands.
  static absl::StatusOr<SipUsers> FromPattern(std::string_view name,
                                              std::string_view password,
                                              uint32_t count);
  // Lines of user or user:password; empty ones and # comments are nothing.
  static absl::StatusOr<SipUsers> FromText(std::string_view text);

  const SipUser& Of(uint32_t number) const {
    return users_[number % users_.size()];
  }
  size_t size() const { return users_.size(); }

 private:
  std::vector<SipUser> users_;
};

// The Authorization or Proxy-Authorization line that answers the challenge of a
// 401 or 407 (RFC 7616 3.4): qop=auth where it is offered, a cnonce made of
// `number`. False for what is no Digest challenge, or of an algorithm that is
// not known here.
bool PutAuthorization(const SipScan& challenge, const SipUser& user,
                      std::string_view method, std::string_view uri,
                      uint32_t number, std::string* out);

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_SIP_USERS_H_
