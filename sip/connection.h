#ifndef SLUICE_SIP_CONNECTION_H_
#define SLUICE_SIP_CONNECTION_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/address.h"
#include "base/net/fd.h"
#include "base/types.h"
#include "sip/framer.h"
#include "sip/tls_stream.h"
#include "sip/transport.h"

namespace sluice::sip {

// A message on its way to a stream, and who wants to know how it ends.
struct Outgoing {
  std::string octets;
  LegTransport::Sent sent{};
  bool is_message = true;  // else a pong
};

// One stream connection of a leg: descriptor, TLS, what has come and what is to
// go, and the moments that its deadlines count from. It moves octets; what
// follows from that is StreamPool's business, which owns it.
//
//   kConnecting --(TLS: kHandshaking)--> kOpen     made by us
//               accepted --(kHandshaking)--> kOpen
//
// Thread: the loop's.
class Connection {
 public:
  enum class State : uint8_t { kConnecting, kHandshaking, kOpen };
  enum class Maker : uint8_t { kPeer, kUs };

  struct Origin {
    uint64_t id = 0;
    Transport transport = Transport::kTcp;
    Endpoint peer{};
    Maker maker = Maker::kPeer;
  };

  Connection(const Origin& origin, net::Fd socket, Framer::Limits limits,
             Micros now)
      : id(origin.id),
        transport(origin.transport),
        peer(origin.peer),
        maker(origin.maker),
        fd(std::move(socket)),
        frames(limits),
        state_since(now),
        last_activity(now),
        last_message(now) {}

  IoResult Read(std::span<char> into) {
    return tls != nullptr ? tls->Read(into) : ReadPlain(fd.get(), into);
  }
  // Feeds `fresh` to the framer: visit(Framer::Step, octets) until it returns
  // false.
  template <typename Visit>
  void Feed(std::string_view fresh, Micros now, Visit&& visit) {
    if (!frames.framer().in_message()) message_since = now;
    frames.Feed(fresh, [&](Framer::Step step, std::string_view octets) {
      message_since = now;
      return visit(step, octets);
    });
  }

  // Puts a message behind what waits.
  void Queue(Outgoing message, Micros now);
  // Hands the kernel what it will take; gone(Outgoing) for each message that it
  // has all of. `gone` may queue and flush again, and close.
  template <typename Gone>
  IoResult Flush(Micros now, Gone&& gone) {
    while (!closed && has_output()) {
      IoResult r = WriteFront();
      if (r.kind != IoResult::Kind::kDone) return r;
      last_activity = output_since = now;
      if (front_sent_ == waiting_.front().octets.size()) gone(TakeFront());
    }
    return {};
  }
  std::deque<Outgoing> TakeOutput();
  bool has_output() const { return !waiting_.empty(); }
  size_t output_octets() const { return waiting_octets_; }

  // What epoll is to be asked for.
  uint32_t Interest() const;
  Peer AsPeer() const {
    return {.transport = transport, .address = peer, .connection = id};
  }

  const uint64_t id;
  const Transport transport;
  const Endpoint peer;
  const Maker maker;
  net::Fd fd;
  std::string tls_name{};  // that its certificate carries; made by us, TLS
  std::unique_ptr<TlsStream> tls{};
  FrameBuffer frames;

  State state = State::kOpen;
  // Nothing more is read; closed when what waits has been written.
  bool ending = false;
  bool closed = false;
  uint32_t interest = 0;  // what epoll was last told
  // TLS may want the other direction.
  bool read_wants_write = false;
  bool write_wants_read = false;

  Micros state_since;
  Micros message_since{};  // first octet of the message under way
  Micros output_since{};   // output began to wait, or the last of it went
  Micros last_activity;    // octets, either way
  Micros last_message;     // a whole one came, or the connection began
  Micros kept_until{};

  std::deque<std::string> transactions{};  // keys of StreamPool, oldest first

 private:
  IoResult WriteFront();
  Outgoing TakeFront();

  std::deque<Outgoing> waiting_;
  size_t front_sent_ = 0;
  size_t waiting_octets_ = 0;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_CONNECTION_H_
