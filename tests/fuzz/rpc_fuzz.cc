// Goal: no octets on a connection of the NATHelper RPC make it crash, and none
// bring the session manager anything beyond its limits.
// Method: the input is what a client sent; every frame in it is answered by a
// command table whose session manager checks what it is given.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "control/nathelper_rpc.h"
#include "control/storable.h"

namespace {

using namespace sluice;           // NOLINT: a program of its own
using namespace sluice::control;  // NOLINT

class StrictVerbs : public SessionVerbs {
 public:
  absl::StatusOr<std::vector<Allocation>> Allocate(
      const SessionKey& key, Side, const IpAddress& local,
      absl::Span<const Media> media) override {
    CheckKey(key);
    CHECK(key.cseq.has_value());
    CHECK(media.size() <= limits.media_max);
    std::vector<Allocation> answer;
    for (const Media& medium : media) {
      CHECK(medium.range >= 1 && medium.range <= limits.range_max);
      CHECK(medium.port + medium.range <= 65536);
      CHECK(medium.clock_hz > 0 && medium.clock_hz <= 1'000'000);
      answer.push_back({local, 10000, medium.range});
    }
    return answer;
  }
  absl::StatusOr<Activation> Activate(const SessionKey& key) override {
    CheckKey(key);
    CHECK(key.cseq.has_value());
    return *key.cseq % 2 == 0 ? Activation::kNew : Activation::kAgain;
  }
  absl::StatusOr<int> Close(const SessionKey& key) override {
    CheckKey(key);
    if (!key.cseq.has_value()) return absl::NotFoundError("nothing");
    return 1;
  }

  ArgumentLimits limits;

 private:
  void CheckKey(const SessionKey& key) {
    for (const std::string* id :
         {&key.call_id, &key.id_from, &key.id_to, &key.uri_from, &key.uri_to}) {
      CHECK(id->size() <= limits.id_bytes_max);
    }
  }
};

// Like the server's limits, but within the fuzzer's reach.
constexpr ArgumentLimits kLimits = {
    .id_bytes_max = 64, .media_max = 3, .range_max = 4};

void Serve(CommandTable& table, std::string_view payload) {
  const std::string answer = table.Answer(payload);
  if (!answer.empty()) CHECK(storable::Decode(answer).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  StrictVerbs sessions;
  sessions.limits = kLimits;
  NatHelperVerbs verbs(sessions, kLimits);
  CommandTable table;
  verbs.DefineIn(table);

  std::string_view input(reinterpret_cast<const char*>(data), size);
  while (true) {
    const int64_t length = RpcFrameBytes(input);
    if (length <= 0 || length > static_cast<int64_t>(input.size())) break;
    const auto frame = static_cast<size_t>(length);
    CHECK(frame > kRpcHeaderBytes);
    Serve(table, input.substr(kRpcHeaderBytes, frame - kRpcHeaderBytes));
    input.remove_prefix(frame);
  }
  return 0;
}
