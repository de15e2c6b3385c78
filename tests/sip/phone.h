#ifndef SLUICE_TESTS_SIP_PHONE_H_
#define SLUICE_TESTS_SIP_PHONE_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/text.h"
#include "sip/fields.h"
#include "sip/leg.h"
#include "sip/message.h"

// Phones for tests of the proxy: what they ask and answer, their sockets, and
// what can be seen of a message that came.
namespace sluice::sip {

// ---- looking into what came ------------------------------------------------

inline int StatusOf(std::string_view text) {
  Message m;
  m.Parse(text);
  return m.status();
}
inline std::string UriOf(std::string_view text) {
  Message m;
  m.Parse(text);
  return std::string(m.uri());
}
inline std::string BodyOf(std::string_view text) {
  Message m;
  m.Parse(text);
  return std::string(m.body());
}
// Values of a header over all its lines, split where it is a list.
inline std::vector<std::string> Values(std::string_view text, HeaderId id) {
  Message m;
  EXPECT_FALSE(m.Parse(text)) << text;
  std::vector<std::string> values;
  if (FormOf(id) == HeaderForm::kList) {
    m.ForEach(id, [&](std::string_view value) {
      values.emplace_back(value);
      return true;
    });
  } else {
    for (const Header& h : m.headers()) {
      if (h.id == id) values.emplace_back(h.value);
    }
  }
  return values;
}
inline std::string Value(std::string_view text, HeaderId id, size_t n = 0) {
  const auto values = Values(text, id);
  return n < values.size() ? values[n] : "";
}
inline std::string BranchOf(std::string_view text, size_t n = 0) {
  const std::string via = Value(text, HeaderId::kVia, n);
  return std::string(Via::Parse(via).value_or(Via{}).branch);
}
inline std::string ContactUri(std::string_view text) {
  const std::string value = Value(text, HeaderId::kContact);
  return std::string(NameAddr::Parse(value).value_or(NameAddr{}).uri_text);
}
// The one line that begins so, without its end.
inline std::string LineOf(std::string_view text, std::string_view start) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find("\r\n", at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (line.starts_with(start)) return std::string(line);
    at = end + 2;
  }
  return "";
}
inline std::string Replaced(std::string text, std::string_view from,
                            std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from << " is not in " << text;
  if (at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

inline constexpr std::string_view kTag = ";tag=";

// What a phone is to ask; the phone adds where it is.
struct Ask {
  std::string method = "OPTIONS";
  std::string uri = "sip:bob@example.com";
  std::string from = "<sip:alice@example.com>;tag=a";
  std::string to = "<sip:bob@example.com>";
  std::string call_id = "call-1";
  int cseq = 1;
  std::string branch = "z9hG4bKphone1";
  std::string via = ";rport";
  std::string forwards = "Max-Forwards: 70\r\n";
  std::string contact = "alice";  // user part; "" : no Contact
  std::string more = "";          // whole lines
  std::string body = "";
  std::string type = "application/sdp";
};

// An answer of a phone. Vias, From, To, Call-ID, CSeq and Record-Route are the
// request's.
struct Answer {
  int code = 200;
  std::string tag = "b";
  std::string contact = "bob";
  std::string more = "";
  std::string body = "";
};

// Whoever runs the loop that the phones talk to.
class Turner {
 public:
  virtual ~Turner() = default;
  // One turn, waiting for something real for a moment.
  virtual void Turn() = 0;
  // What is under way on the loopback has arrived after this.
  virtual void Settle() = 0;
};

// A phone: a UDP socket, or TCP connections and a listener on the same port.
class Phone {
 public:
  Phone(Turner& world, Transport transport, const char* ip = "127.0.0.1");
  ~Phone();
  Phone(const Phone&) = delete;
  Phone& operator=(const Phone&) = delete;

  const Endpoint& at() const { return at_; }
  std::string host() const { return at_.ToString(); }
  std::string uri(std::string_view user) const {
    return Cat("sip:", user, "@", host(),
               transport_ == Transport::kTcp ? ";transport=tcp" : "");
  }
  std::string Write(const Ask& ask) const;
  std::string WriteAnswer(const std::string& request, const Answer& a) const;

  void Send(const Leg& leg, std::string_view octets);
  void Request(const Leg& leg, const Ask& ask) { Send(leg, Write(ask)); }
  // Back to where the request came from.
  void Respond(const std::string& request, const Answer& a) {
    SendTo(last_peer_, last_fd_, WriteAnswer(request, a));
  }
  // Raw octets, back to where the last message came from.
  void Return(std::string_view octets) { SendTo(last_peer_, last_fd_, octets); }

  // The next message; "" and a failure when none comes.
  std::string Next();
  // Whether nothing has come, and nothing comes of what is under way.
  bool Silent();
  // The connection is lost.
  void HangUp();

 private:
  std::optional<std::string> Poll();
  void SendTo(const Endpoint& to, int fd, std::string_view octets);
  int Connect(const Endpoint& to);

  Turner& world_;
  const Transport transport_;
  Endpoint at_;
  int fd_ = -1;  // UDP socket, or listener
  struct Stream {
    int fd = -1;
    std::string octets;
  };
  std::vector<Stream> streams_;
  Endpoint last_peer_;
  int last_fd_ = -1;
};

inline Phone::Phone(Turner& world, Transport transport, const char* ip)
    : world_(world), transport_(transport) {
  const Endpoint wanted{*IpAddress::Parse(ip), Port()};
  sockaddr_storage address;
  socklen_t length = wanted.ToSockaddr(wanted.family(), &address);
  fd_ = ::socket(wanted.family(),
                 (transport == Transport::kUdp ? SOCK_DGRAM : SOCK_STREAM) |
                     SOCK_NONBLOCK | SOCK_CLOEXEC,
                 0);
  EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), length), 0);
  if (transport == Transport::kTcp) {
    EXPECT_EQ(::listen(fd_, 8), 0);
  }
  length = sizeof(address);
  ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length);
  at_ = *Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address), length);
}

inline Phone::~Phone() {
  HangUp();
  ::close(fd_);
}

inline void Phone::HangUp() {
  for (const Stream& stream : streams_) ::close(stream.fd);
  streams_.clear();
}

inline std::string Phone::Write(const Ask& ask) const {
  std::string text = Cat(
      ask.method, " ", ask.uri, " SIP/2.0\r\nVia: SIP/2.0/", NameOf(transport_),
      " ", host(), ";branch=", ask.branch, ask.via, "\r\n", ask.forwards,
      "From: ", ask.from, "\r\nTo: ", ask.to, "\r\nCall-ID: ", ask.call_id,
      "\r\nCSeq: ", ask.cseq, " ", ask.method, "\r\n");
  if (!ask.contact.empty()) {
    Append(&text, "Contact: <", uri(ask.contact), ">\r\n");
  }
  text += ask.more;
  if (!ask.body.empty()) Append(&text, "Content-Type: ", ask.type, "\r\n");
  Append(&text, "Content-Length: ", ask.body.size(), "\r\n\r\n", ask.body);
  return text;
}

inline std::string Phone::WriteAnswer(const std::string& request,
                                      const Answer& a) const {
  std::string text = Cat("SIP/2.0 ", a.code, " Whatever\r\n");
  for (const HeaderId id : {HeaderId::kVia, HeaderId::kRecordRoute}) {
    for (const std::string& value : Values(request, id)) {
      Append(&text, NameOf(id), ": ", value, "\r\n");
    }
  }
  const std::string to = Value(request, HeaderId::kTo);
  Append(&text, "From: ", Value(request, HeaderId::kFrom), "\r\nTo: ", to);
  if (to.find(kTag) == std::string::npos && !a.tag.empty()) {
    Append(&text, kTag, a.tag);
  }
  Append(&text, "\r\nCall-ID: ", Value(request, HeaderId::kCallId),
         "\r\nCSeq: ", Value(request, HeaderId::kCSeq), "\r\n");
  if (!a.contact.empty()) {
    Append(&text, "Contact: <", uri(a.contact), ">\r\n");
  }
  text += a.more;
  if (!a.body.empty()) text += "Content-Type: application/sdp\r\n";
  Append(&text, "Content-Length: ", a.body.size(), "\r\n\r\n", a.body);
  return text;
}

inline int Phone::Connect(const Endpoint& to) {
  sockaddr_storage address;
  const socklen_t length = to.ToSockaddr(to.family(), &address);
  const int fd = ::socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), length), 0);
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  streams_.push_back({fd, ""});
  return fd;
}

inline void Phone::Send(const Leg& leg, std::string_view octets) {
  const Leg::Address* own = leg.Find(transport_, true);
  ASSERT_NE(own, nullptr);
  const Endpoint& to = own->bound;
  int fd = fd_;
  if (transport_ == Transport::kTcp) {
    fd = streams_.empty() ? Connect(to) : streams_.back().fd;
  }
  SendTo(to, fd, octets);
}

inline void Phone::SendTo(const Endpoint& to, int fd, std::string_view octets) {
  if (transport_ == Transport::kTcp) {
    ASSERT_EQ(::send(fd, octets.data(), octets.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(octets.size()));
    return;
  }
  sockaddr_storage address;
  const socklen_t length = to.ToSockaddr(to.family(), &address);
  ASSERT_EQ(::sendto(fd_, octets.data(), octets.size(), 0,
                     reinterpret_cast<sockaddr*>(&address), length),
            static_cast<ssize_t>(octets.size()));
}

inline std::optional<std::string> Phone::Poll() {
  static char buffer[65'536];
  if (transport_ == Transport::kUdp) {
    sockaddr_storage address;
    socklen_t length = sizeof(address);
    const ssize_t n =
        ::recvfrom(fd_, buffer, sizeof(buffer), 0,
                   reinterpret_cast<sockaddr*>(&address), &length);
    if (n < 0) return std::nullopt;
    last_peer_ =
        *Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address), length);
    last_fd_ = fd_;
    return std::string(buffer, static_cast<size_t>(n));
  }
  const int made = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK);
  if (made >= 0) streams_.push_back({made, ""});
  for (Stream& stream : streams_) {
    const ssize_t n = ::recv(stream.fd, buffer, sizeof(buffer), 0);
    if (n > 0) stream.octets.append(buffer, static_cast<size_t>(n));
    const size_t head = stream.octets.find("\r\n\r\n");
    if (head == std::string::npos) continue;
    const size_t length =
        std::stoul(LineOf(stream.octets, "Content-Length: ").substr(16));
    if (stream.octets.size() < head + 4 + length) continue;
    std::string message = stream.octets.substr(0, head + 4 + length);
    stream.octets.erase(0, message.size());
    last_fd_ = stream.fd;
    return message;
  }
  return std::nullopt;
}

inline std::string Phone::Next() {
  for (int i = 0; i < 400; ++i) {
    if (auto message = Poll()) return *message;
    world_.Turn();
  }
  ADD_FAILURE() << "nothing came to " << at_.ToString();
  return "";
}

inline bool Phone::Silent() {
  world_.Settle();
  return !Poll().has_value();
}

}  // namespace sluice::sip

#endif  // SLUICE_TESTS_SIP_PHONE_H_
