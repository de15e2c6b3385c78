#ifndef SLUICE_TESTS_SIP_TRANSACTION_EVENTS_H_
#define SLUICE_TESTS_SIP_TRANSACTION_EVENTS_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "sip/transaction.h"

// What can happen to a transaction, as a value, for tables and walks of them.
namespace sluice::sip {

using Client = ClientTransaction;
using Server = ServerTransaction;

inline const Micros kStart = Micros::Seconds(1000);
// All times are milliseconds since then.
inline constexpr int64_t kNever = -1;
inline Micros At(int64_t ms) { return kStart + Micros::Millis(ms); }
inline int64_t Ms(Micros at) {
  return at == kNeverDue ? kNever : (at - kStart).us() / 1000;
}

inline std::string Words(const Client::Does& does) {
  return absl::StrCat(does.send ? "send " : "", does.ack ? "ack " : "",
                      does.pass ? "pass " : "", does.timeout ? "timeout " : "",
                      does.failed ? "failed " : "");
}
inline std::string Words(const Server::Does& does) {
  return absl::StrCat(does.send ? "send " : "", does.trying ? "trying " : "",
                      does.pass ? "pass " : "", does.timeout ? "timeout " : "",
                      does.failed ? "failed " : "");
}

enum class Kind {
  kStatus,   // a response came; the user's answer
  kRequest,  // server only
  kAck,      // server only
  kTime,
  kError,
};
struct Event {
  Kind kind;
  int64_t ms;
  int status = 0;
};
inline std::string Words(const Event& event) {
  const char* const kNames[] = {"status ", "request", "ACK", "time", "error"};
  return absl::StrCat(kNames[static_cast<size_t>(event.kind)],
                      event.status != 0 ? absl::StrCat(event.status) : "",
                      " at ", event.ms);
}
inline Client::Does Tell(Client* client, const Event& event) {
  const Micros now = At(event.ms);
  switch (event.kind) {
    case Kind::kStatus: return client->OnResponse(event.status, now);
    case Kind::kTime: return client->OnTime(now);
    case Kind::kError: return client->OnTransportError(now);
    case Kind::kRequest:
    case Kind::kAck: break;
  }
  ADD_FAILURE() << "no event of a client";
  return {};
}
inline Server::Does Tell(Server* server, const Event& event) {
  const Micros now = At(event.ms);
  switch (event.kind) {
    case Kind::kStatus: return server->Respond(event.status, now);
    case Kind::kRequest: return server->OnRequest(now);
    case Kind::kAck: return server->OnAck(now);
    case Kind::kTime: return server->OnTime(now);
    case Kind::kError: return server->OnTransportError(now);
  }
  return {};
}

inline Event Status(int status, int64_t ms = 300) {
  return {.kind = Kind::kStatus, .ms = ms, .status = status};
}
inline Event Request(int64_t ms = 300) {
  return {.kind = Kind::kRequest, .ms = ms};
}
inline Event Ack(int64_t ms = 300) { return {.kind = Kind::kAck, .ms = ms}; }
inline Event Time(int64_t ms) { return {.kind = Kind::kTime, .ms = ms}; }
inline Event Error(int64_t ms = 300) {
  return {.kind = Kind::kError, .ms = ms};
}

inline constexpr bool kInvite = true, kOther = false;
inline constexpr bool kUdp = false, kTcp = true;

}  // namespace sluice::sip

#endif  // SLUICE_TESTS_SIP_TRANSACTION_EVENTS_H_
