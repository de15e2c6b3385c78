// What a name server may send, read as an answer to each type of question.
// Whatever comes of it stays within its bounds and can be asked for in turn.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "sip/dns_records.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice::sip::dns;
  const std::string_view message(reinterpret_cast<const char*>(data), size);
  for (const Type type : {Type::kA, Type::kAaaa, Type::kSrv, Type::kNaptr}) {
    auto records = ParseAnswer(message, "d.test", type);
    if (!records.ok()) continue;
    CHECK(records->addresses.size() <= kRecordsMax);
    CHECK(records->srvs.size() <= kRecordsMax);
    CHECK(records->naptrs.size() <= kRecordsMax);
    const size_t srvs = records->srvs.size();
    for (const Srv& srv : records->srvs) {
      CHECK(srv.target.empty() || IsName(srv.target));
    }
    uint64_t draws = 0;
    OrderSrvs(&records->srvs,
              [&](uint64_t most) { return draws++ * 0x9e3779b9 % (most + 1); });
    CHECK(records->srvs.size() == srvs && draws == srvs);
    for (const Naptr& naptr : TerminalNaptrs(records->naptrs)) {
      CHECK(IsName(naptr.replacement));
    }
  }
  CHECK(FindInHosts(message, "d.test").size() <= kRecordsMax);
  return 0;
}
