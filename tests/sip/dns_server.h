#ifndef SLUICE_TESTS_SIP_DNS_SERVER_H_
#define SLUICE_TESTS_SIP_DNS_SERVER_H_

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/check.h"
#include "base/net/event_loop.h"
#include "base/net/fd.h"
#include "base/net/socket.h"
#include "base/net/stream_server.h"
#include "sip/dns_records.h"

namespace sluice::sip {

inline std::string U16(size_t value) {
  return {static_cast<char>(value >> 8 & 0xff),
          static_cast<char>(value & 0xff)};
}
inline std::string U32(uint32_t value) {
  return U16(value >> 16) + U16(value & 0xffff);
}
// "a.b" as labels; "" is the root.
inline std::string WireName(std::string_view name) {
  std::string wire;
  while (!name.empty()) {
    const std::string_view label = name.substr(0, name.find('.'));
    wire += static_cast<char>(label.size());
    wire += label;
    name.remove_prefix(std::min(name.size(), label.size() + 1));
  }
  return wire + '\0';
}
inline std::string WireText(std::string_view text) {
  return static_cast<char>(text.size()) + std::string(text);
}

// A record but for its owner.
struct Rr {
  uint16_t type = 0;
  uint32_t ttl_s = 0;
  std::string data;

  std::string Wire(std::string_view owner) const {
    return WireName(owner) + U16(type) + U16(1) + U32(ttl_s) +
           U16(data.size()) + data;
  }
};
inline Rr A(std::string_view ip, uint32_t ttl_s = 60) {
  const auto octets = IpAddress::Parse(ip)->octets();
  return {1, ttl_s, std::string(octets.begin() + 12, octets.end())};
}
inline Rr Aaaa(std::string_view ip, uint32_t ttl_s = 60) {
  const auto octets = IpAddress::Parse(ip)->octets();
  return {28, ttl_s, std::string(octets.begin(), octets.end())};
}
inline Rr Cname(std::string_view target, uint32_t ttl_s = 60) {
  return {5, ttl_s, WireName(target)};
}
inline Rr SrvRr(int priority, int weight, int port, std::string_view target,
                uint32_t ttl_s = 60) {
  return {33, ttl_s,
          U16(static_cast<size_t>(priority)) +
              U16(static_cast<size_t>(weight)) +
              U16(static_cast<size_t>(port)) + WireName(target)};
}
inline Rr NaptrRr(int order, int preference, std::string_view flags,
                  std::string_view service, std::string_view replacement,
                  std::string_view regexp = "", uint32_t ttl_s = 60) {
  return {35, ttl_s,
          U16(static_cast<size_t>(order)) +
              U16(static_cast<size_t>(preference)) + WireText(flags) +
              WireText(service) + WireText(regexp) + WireName(replacement)};
}

// A name server on 127.0.0.1, UDP and TCP, in the test's own loop.
class DnsServer {
 public:
  enum class Mood {
    kAnswer,
    kServFail,
    kRefused,
    kSilent,
    kTruncated,    // over UDP; whole over TCP
    kGarbage,      // octets that are no DNS
    kBroken,       // a header that promises more than there is
    kForged,       // an answer to another question, then silence
    kForgedFirst,  // the same, then the right one
  };
  struct Asked {
    std::string name;
    dns::Type type{};
    bool tcp = false;
  };

  explicit DnsServer(net::EventLoop& loop)
      : loop_(loop),
        tcp_(
            loop, {}, &DnsServer::TcpFrame,
            [this](const net::StreamServer::Peer&, std::string_view frame) {
              std::vector<std::string> answers = Answer(frame.substr(2), true);
              return answers.empty() ? std::string()
                                     : U16(answers[0].size()) + answers[0];
            },
            [](const net::StreamServer::Peer&) { return true; }) {
    const IpAddress ip = IpAddress::V4(127, 0, 0, 1);
    // The TCP port of the number that UDP was given may be somebody else's.
    for (bool both = false; !both;) {
      auto udp = net::OpenUdp({ip, Port()}, {});
      CHECK(udp.ok());
      address_ = *net::LocalEndpoint(udp->get());
      auto tcp = net::ListenTcp(address_, 16);
      if (!tcp.ok()) continue;
      udp_ = *std::move(udp);
      CHECK(tcp_.Serve(*std::move(tcp)).ok());
      both = true;
    }
    CHECK(loop_.Add(udp_.get(), EPOLLIN, [this](uint32_t) { OnUdp(); }).ok());
  }
  ~DnsServer() { loop_.Remove(udp_.get()); }

  const Endpoint& address() const { return address_; }
  // Adds to what `name` has.
  void Put(const std::string& name, const Rr& rr) { zone_[name].push_back(rr); }
  void Remove(const std::string& name) { zone_.erase(name); }
  // For one type of a name; of all others kAnswer.
  void Set(const std::string& name, dns::Type type, Mood mood) {
    moods_[{name, type}] = mood;
  }

  std::vector<Asked> asked;
  int Count(const std::string& name, dns::Type type) const {
    return static_cast<int>(std::count_if(
        asked.begin(), asked.end(),
        [&](const Asked& a) { return a.name == name && a.type == type; }));
  }

 private:
  static int64_t TcpFrame(std::string_view in) {
    if (in.size() < 2) return 0;
    const size_t n = static_cast<size_t>(static_cast<uint8_t>(in[0])) << 8 |
                     static_cast<uint8_t>(in[1]);
    return in.size() < n + 2 ? 0 : static_cast<int64_t>(n + 2);
  }

  void OnUdp() {
    char buffer[2048];
    sockaddr_storage from{};
    socklen_t length = sizeof(from);
    const ssize_t n = recvfrom(udp_.get(), buffer, sizeof(buffer), 0,
                               reinterpret_cast<sockaddr*>(&from), &length);
    if (n <= 0) return;
    for (const std::string& answer :
         Answer(std::string_view(buffer, static_cast<size_t>(n)), false)) {
      sendto(udp_.get(), answer.data(), answer.size(), 0,
             reinterpret_cast<const sockaddr*>(&from), length);
    }
  }

  std::vector<std::string> Answer(std::string_view query, bool tcp) {
    CHECK(query.size() > 12);
    size_t at = 12;
    std::string name;
    while (query.at(at) != 0) {
      const auto label = static_cast<uint8_t>(query[at]);
      if (!name.empty()) name += '.';
      name += query.substr(at + 1, label);
      at += 1u + label;
    }
    const auto type =
        static_cast<dns::Type>(static_cast<uint8_t>(query.at(at + 1)) << 8 |
                               static_cast<uint8_t>(query.at(at + 2)));
    const std::string question(query.substr(12, at + 5 - 12));
    asked.push_back({name, type, tcp});

    const auto mood = moods_.find({name, type});
    const Mood how = mood == moods_.end() ? Mood::kAnswer : mood->second;
    const std::string id(query.substr(0, 2));
    std::string section;
    size_t count = 0;
    std::string owner = name;
    for (int links = 0; links < 4; ++links) {
      std::string next;
      for (const Rr& rr : zone_[owner]) {
        const bool alias = rr.type == 5;
        if (!alias && rr.type != static_cast<uint16_t>(type)) continue;
        section += rr.Wire(owner);
        ++count;
        if (alias) next = Plain(rr.data);
      }
      if (next.empty()) break;
      owner = next;
    }
    const bool known = !zone_[name].empty();
    auto reply = [&](const std::string& with_id, int flags, int code,
                     size_t answers, const std::string& rest) {
      return with_id + U16(static_cast<size_t>(0x8180 | flags | code)) +
             U16(1) + U16(answers) + U16(0) + U16(0) + question + rest;
    };
    const std::string right = reply(id, 0, known ? 0 : 3, count, section);
    const std::string forged = reply({static_cast<char>(id[0] ^ 0x55), id[1]},
                                     0, 0, 1, A("192.0.2.66").Wire(name));
    switch (how) {
      case Mood::kAnswer: return {right};
      case Mood::kServFail: return {reply(id, 0, 2, 0, "")};
      case Mood::kRefused: return {reply(id, 0, 5, 0, "")};
      case Mood::kSilent: return {};
      case Mood::kTruncated: return {tcp ? right : reply(id, 0x0200, 0, 0, "")};
      case Mood::kGarbage:
        return {"", "x", std::string(500, '\xff'), id,
                id + std::string(9, 'x')};
      case Mood::kBroken: return {reply(id, 0, 0, 3, section)};
      case Mood::kForged: return {forged};
      case Mood::kForgedFirst: return {forged, right};
    }
    return {};
  }

  static std::string Plain(std::string_view wire) {
    std::string name;
    while (wire.at(0) != 0) {
      const auto label = static_cast<uint8_t>(wire[0]);
      if (!name.empty()) name += '.';
      name += wire.substr(1, label);
      wire.remove_prefix(1u + label);
    }
    return name;
  }

  net::EventLoop& loop_;
  net::StreamServer tcp_;
  net::Fd udp_;
  Endpoint address_{};
  std::map<std::string, std::vector<Rr>> zone_;
  std::map<std::pair<std::string, dns::Type>, Mood> moods_;
};

}  // namespace sluice::sip

#endif  // SLUICE_TESTS_SIP_DNS_SERVER_H_
