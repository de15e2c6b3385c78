// Sends RTP frames out of a device faster than any socket can, or counts what
// arrives at one: the two ends of bench/compare-xdp.
//
//   xdp_generator send DEVICE | arrive DEVICE | swallow DEVICE
//
// The first line of standard input is JSON, for `send` and `arrive`:
//
//   {"core": 0, "sequence": 1, "from_mac": "02:...", "to_mac": "02:...",
//    "flows": [{"from": "ip:port", "at": "ip:port",
//               "out": "ip:port", "to": "ip:port"}]}
//
// where a flow's packets go from `from` to the relay's `at`, and leave the
// relay's `out` for `to`. It is answered with the line {}. Each line of `send`
// after it is RATE SECONDS BURST and is answered, when they are over, with a
// line of JSON; rate 0 is as fast as it goes; BURST packets are handed over at
// once, as a NIC does with what came between two interrupts. Each line of
// `arrive` and `swallow` is answered with their counts. The end of the input
// ends it.
//
// Frames are sent by a test run of a program (BPF_PROG_TEST_RUN with
// BPF_F_TEST_XDP_LIVE_FRAMES): the kernel calls it over and over and sends what
// it writes. The program paces and keeps the time (around the call are waits
// of the kernel for its readers); a signal ends the run.

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <signal.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/address.h"
#include "base/status_macros.h"
#include "bench/xdp/traffic.h"
#include "traffic.skel.h"

namespace sluice {
namespace {

using Json = nlohmann::json;
using Bytes = std::vector<uint8_t>;

constexpr uint32_t kSsrcBase = 0x51700000;
constexpr uint8_t kFiller = 0x55;
constexpr double kSecondsMax = 60;
constexpr uint32_t kBurstMax = 256;  // the kernel's own bound

struct Close {
  void operator()(xdp_traffic* skeleton) const {
    xdp_traffic__destroy(skeleton);
  }
};
using Skeleton = std::unique_ptr<xdp_traffic, Close>;

struct Ends {
  Endpoint from{}, at{}, out{}, to{};
};

absl::Status Failed(const std::string& what, int error) {
  return absl::InternalError(absl::StrCat(what, ": ", std::strerror(error)));
}

absl::StatusOr<Endpoint> EndpointOf(const Json& json, const char* key) {
  const auto found = Endpoint::Parse(json.value(key, ""));
  if (!found || !found->ip.is_v4()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a flow without an IPv4 \"", key, "\": ", json.dump()));
  }
  return *found;
}

absl::StatusOr<std::vector<Ends>> FlowsOf(const Json& json) {
  std::vector<Ends> flows;
  for (const Json& one : json.value("flows", Json::array())) {
    Ends ends;
    ASSIGN_OR_RETURN(ends.from, EndpointOf(one, "from"));
    ASSIGN_OR_RETURN(ends.at, EndpointOf(one, "at"));
    ASSIGN_OR_RETURN(ends.out, EndpointOf(one, "out"));
    ASSIGN_OR_RETURN(ends.to, EndpointOf(one, "to"));
    flows.push_back(ends);
  }
  if (flows.empty() || flows.size() > kTrafficFlowsMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        flows.size(), " flows; it takes 1 to ", int{kTrafficFlowsMax}));
  }
  return flows;
}

absl::StatusOr<std::array<uint8_t, 6>> MacOf(const Json& json,
                                             const char* key) {
  std::array<unsigned, 6> in{};
  const std::string text = json.value(key, "");
  if (std::sscanf(text.c_str(), "%x:%x:%x:%x:%x:%x", &in[0], &in[1], &in[2],
                  &in[3], &in[4], &in[5]) != 6) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", key, "\" is no MAC address: \"", text, "\""));
  }
  std::array<uint8_t, 6> out{};
  for (size_t i = 0; i < 6; ++i) out[i] = static_cast<uint8_t>(in[i]);
  return out;
}

void Put16(Bytes& out, uint32_t value) {
  out.push_back(static_cast<uint8_t>(value >> 8));
  out.push_back(static_cast<uint8_t>(value));
}
void Put32(Bytes& out, uint32_t value) {
  Put16(out, value >> 16);
  Put16(out, value & 0xffff);
}
void PutAddress(Bytes& out, const Endpoint& endpoint) {
  const auto& octets = endpoint.ip.octets();
  out.insert(out.end(), octets.begin() + 12, octets.end());
}

// RFC 1071, of the words as they lie in memory: the sum is then written as it
// is.
uint32_t SumOf(const Bytes& octets) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < octets.size(); i += 2) {
    uint16_t word = 0;
    std::memcpy(&word, &octets[i], sizeof(word));
    sum += word;
  }
  return sum;
}
uint16_t Folded(uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

uint32_t SsrcOf(size_t flow) { return kSsrcBase + static_cast<uint32_t>(flow); }

TrafficFlow StreamOf(const Ends& ends, uint32_t ssrc, uint16_t sequence,
                     const std::array<uint8_t, 6>& from_mac,
                     const std::array<uint8_t, 6>& to_mac) {
  constexpr uint32_t kUdpBytes = 8 + 12 + kTrafficPayloadBytes;
  Bytes ip = {0x45, 0};
  Put16(ip, 20 + kUdpBytes);
  Put16(ip, 0);
  Put16(ip, 0x4000);
  ip.insert(ip.end(), {64, 17, 0, 0});
  PutAddress(ip, ends.from);
  PutAddress(ip, ends.at);
  const auto ip_checksum = static_cast<uint16_t>(~Folded(SumOf(ip)));
  std::memcpy(&ip[10], &ip_checksum, sizeof(ip_checksum));

  Bytes udp;
  Put16(udp, ends.from.port.host());
  Put16(udp, ends.at.port.host());
  Put16(udp, kUdpBytes);
  Put16(udp, 0);
  Put16(udp, 0x8000);  // PCMU
  Put16(udp, 0);
  Put32(udp, 0);
  Put32(udp, ssrc);

  // RFC 768: addresses, protocol and length in front.
  Bytes summed;
  PutAddress(summed, ends.from);
  PutAddress(summed, ends.at);
  Put16(summed, 17);
  Put16(summed, kUdpBytes);
  summed.insert(summed.end(), udp.begin(), udp.end());
  summed.insert(summed.end(), kTrafficPayloadBytes, kFiller);

  Bytes head(to_mac.begin(), to_mac.end());
  head.insert(head.end(), from_mac.begin(), from_mac.end());
  Put16(head, 0x0800);
  head.insert(head.end(), ip.begin(), ip.end());
  head.insert(head.end(), udp.begin(), udp.end());

  TrafficFlow flow{};
  std::memcpy(flow.head, head.data(), sizeof(flow.head));
  flow.sequence = sequence;
  flow.timestamp = sequence * uint32_t{kTrafficPayloadBytes};
  flow.sum = SumOf(summed);
  return flow;
}

uint32_t AddressBits(const Endpoint& endpoint) {
  uint32_t bits = 0;
  std::memcpy(&bits, endpoint.ip.octets().data() + 12, sizeof(bits));
  return bits;
}
uint16_t PortBits(const Endpoint& endpoint) {
  Bytes wire;
  Put16(wire, endpoint.port.host());
  uint16_t bits = 0;
  std::memcpy(&bits, wire.data(), sizeof(bits));
  return bits;
}

// As `arrive` has read it: as it lies in memory.
uint32_t SsrcBits(uint32_t ssrc) {
  Bytes wire;
  Put32(wire, ssrc);
  uint32_t bits = 0;
  std::memcpy(&bits, wire.data(), sizeof(bits));
  return bits;
}

absl::Status Describe(const Json& json, xdp_traffic& traffic) {
  ASSIGN_OR_RETURN(const std::vector<Ends> flows, FlowsOf(json));
  ASSIGN_OR_RETURN(const auto from_mac, MacOf(json, "from_mac"));
  ASSIGN_OR_RETURN(const auto to_mac, MacOf(json, "to_mac"));
  const auto sequence = static_cast<uint16_t>(json.value("sequence", 1));
  TrafficSettings& settings = traffic.bss->settings;
  settings.flows = static_cast<uint32_t>(flows.size());
  settings.callee = AddressBits(flows[0].to);
  settings.first_port = flows[0].to.port.host();
  for (uint32_t i = 0; i < flows.size(); ++i) {
    const Ends& ends = flows[i];
    if (ends.to.port.host() != settings.first_port + i * kTrafficPortStep ||
        AddressBits(ends.to) != settings.callee) {
      return absl::InvalidArgumentError(
          absl::StrCat("flow ", i, " goes to ", ends.to.ToString(),
                       ": all are to go to one address, each to a port ",
                       int{kTrafficPortStep}, " above the one before"));
    }
    const TrafficFlow flow =
        StreamOf(ends, SsrcOf(i), sequence, from_mac, to_mac);
    const TrafficArrival arrival{.source = AddressBits(ends.out),
                                 .destination = AddressBits(ends.to),
                                 .ssrc = SsrcBits(SsrcOf(i)),
                                 .source_port = PortBits(ends.out),
                                 .pad = 0,
                                 .timestamp = 0,
                                 .pad2 = 0,
                                 .packets = 0,
                                 .out_of_order = 0};
    if (bpf_map__update_elem(traffic.maps.flows, &i, sizeof(i), &flow,
                             sizeof(flow), 0) != 0 ||
        bpf_map__update_elem(traffic.maps.arrivals, &i, sizeof(i), &arrival,
                             sizeof(arrival), 0) != 0) {
      return Failed("writing a flow", errno);
    }
  }
  return absl::OkStatus();
}

// --- Sending -----------------------------------------------------------------

// One run: its frames are written by the program, so what is handed over is
// only as long as they are.
absl::StatusOr<Json> Send(xdp_traffic& traffic, double rate, double seconds,
                          uint32_t burst) {
  if (rate < 0 || seconds <= 0 || seconds > kSecondsMax || burst < 1 ||
      burst > kBurstMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "RATE SECONDS BURST: ", rate, " ", seconds, " ", burst,
        "; seconds up to ", kSecondsMax, ", a burst from 1 to ", kBurstMax));
  }
  TrafficSettings& settings = traffic.bss->settings;
  settings.gap_ns = rate > 0 ? static_cast<uint64_t>(1e9 / rate * burst) : 0;
  settings.burst = burst;
  settings.in_burst = 0;
  settings.next_ns = settings.first_ns = settings.last_ns = 0;
  settings.sent = settings.late = 0;
  Bytes frame(kTrafficHeadBytes + kTrafficPayloadBytes, kFiller);

  // The first signal may come before the run; so it comes again until the run
  // has ended.
  itimerval timer{};
  timer.it_value.tv_sec = static_cast<time_t>(seconds);
  timer.it_value.tv_usec = static_cast<suseconds_t>(
      (seconds - static_cast<double>(timer.it_value.tv_sec)) * 1e6);
  timer.it_interval.tv_usec = 10'000;
  setitimer(ITIMER_REAL, &timer, nullptr);
  bpf_test_run_opts options{};
  options.sz = sizeof(options);
  options.data_in = frame.data();
  options.data_size_in = static_cast<uint32_t>(frame.size());
  options.repeat = INT32_MAX;
  options.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
  // What a batch has written, leaves when it ends.
  options.batch_size = burst;
  const int result =
      bpf_prog_test_run_opts(bpf_program__fd(traffic.progs.generate), &options);
  const int error = errno;
  const itimerval none{};
  setitimer(ITIMER_REAL, &none, nullptr);
  if (result != 0 && error != EINTR) return Failed("the test run", error);
  const uint64_t ns = settings.last_ns - settings.first_ns;
  return Json{{"sent", settings.sent},
              {"seconds", static_cast<double>(ns) * 1e-9},
              {"late", settings.late}};
}

// --- Arriving ----------------------------------------------------------------

absl::StatusOr<Json> Arrivals(const xdp_traffic& traffic) {
  uint64_t out_of_order = 0, silent = 0;
  for (uint32_t i = 0; i < traffic.bss->settings.flows; ++i) {
    TrafficArrival flow{};
    if (bpf_map__lookup_elem(traffic.maps.arrivals, &i, sizeof(i), &flow,
                             sizeof(flow), 0) != 0) {
      return Failed("reading a flow", errno);
    }
    out_of_order += flow.out_of_order;
    silent += flow.packets == 0;
  }
  const TrafficArrivals& arrived = traffic.bss->arrived;
  return Json{{"received", arrived.right},
              {"misrouted", arrived.misrouted},
              {"elsewhere", arrived.elsewhere},
              {"out_of_order", out_of_order},
              {"silent", silent}};
}

// --- The lines ---------------------------------------------------------------

void Answer(const Json& json) {
  std::cout << json.dump() << '\n' << std::flush;
}

absl::Status Run(const std::string& what, const std::string& device) {
  const unsigned ifindex = if_nametoindex(device.c_str());
  if (ifindex == 0) {
    return absl::NotFoundError(absl::StrCat("no network device ", device));
  }
  libbpf_set_print(nullptr);
  const Skeleton traffic(xdp_traffic__open_and_load());
  if (!traffic) return Failed("loading the programs (it takes root)", errno);
  traffic->bss->settings.ifindex = ifindex;

  std::string line;
  if (!std::getline(std::cin, line)) {
    return absl::InvalidArgumentError("no JSON on standard input");
  }
  const Json json = Json::parse(line, nullptr, false);
  if (json.is_discarded() || !json.is_object()) {
    return absl::InvalidArgumentError("the first line is no JSON object");
  }
  traffic->bss->settings.core = json.value("core", 0u);
  if (what != "swallow") RETURN_IF_ERROR(Describe(json, *traffic));

  // Goes with the process.
  int link = -1;
  if (what != "send") {
    bpf_link_create_opts options{};
    options.sz = sizeof(options);
    options.flags = XDP_FLAGS_DRV_MODE;
    const bpf_program* program =
        what == "arrive" ? traffic->progs.arrive : traffic->progs.swallow;
    link = bpf_link_create(bpf_program__fd(program), static_cast<int>(ifindex),
                           BPF_XDP, &options);
    if (link < 0) return Failed("attaching XDP to " + device, errno);
  }
  Answer(Json::object());
  while (std::getline(std::cin, line)) {
    if (what == "send") {
      std::istringstream words(line);
      double rate = -1, seconds = 0;
      uint32_t burst = 0;
      words >> rate >> seconds >> burst;
      ASSIGN_OR_RETURN(const Json sent, Send(*traffic, rate, seconds, burst));
      Answer(sent);
    } else {
      ASSIGN_OR_RETURN(const Json counts, Arrivals(*traffic));
      Answer(counts);
    }
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  const std::string what = argc == 3 ? argv[1] : "";
  if (what != "send" && what != "arrive" && what != "swallow") {
    std::cerr << "usage: xdp_generator send|arrive|swallow DEVICE\n";
    return 2;
  }
  // Only to end a run: without a handler it would end us.
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(SIGALRM, &action, nullptr);
  const absl::Status status = sluice::Run(what, argv[2]);
  if (status.ok()) return 0;
  std::cerr << "xdp_generator: " << status.message() << '\n';
  return 1;
}
