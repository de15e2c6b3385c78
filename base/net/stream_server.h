#ifndef SLUICE_BASE_NET_STREAM_SERVER_H_
#define SLUICE_BASE_NET_STREAM_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "base/address.h"
#include "base/limits.h"
#include "base/net/event_loop.h"
#include "base/net/fd.h"

namespace sluice::net {

// Request/reply over stream sockets for hostile clients: non-blocking, a cap on
// connections, on a frame and on what may wait to be written, a deadline on
// every phase. What a frame is and what answers it is the owner's business.
//
//   accepted --bytes--> reading --whole frame--> handler --reply--> writing
//      |                   |  deadline, cap, bad      |                |
//      +-------------------+--------> closed <--------+----------------+
//
// When `max_connections` are open the oldest reader is closed for a new one, by
// age alone: neither silence nor sending octet by octet keeps a place. One that
// is being answered is never closed for another. Out of descriptors
// (EMFILE): a reserve descriptor is given up to accept and close at once, so
// that the loop does not spin (F9).
//
// A reply may go on for as long as its Source has something to say; it has no
// deadline then but for what waits to be sent. Its client is watched: one that
// closes, or shuts its sending side down, is closed at once.
//
// A client may send its next request before it has read the last reply, and may
// shut its sending side down and still be answered. One that does not read is
// closed at max_write_bytes or when frame_timeout has passed since its replies
// began to wait, whichever is first. A request cut short is never handled
// (F18).
//
// Law, for tests: accepted == closed + connections().
//
// Thread: the loop's. Nothing of a server may be destroyed in its own
// callbacks.
class StreamServer {
 public:
  struct Options {
    int max_connections = kStreamConnectionsMax;
    size_t max_frame_bytes = kFrameBytesMax;
    size_t max_write_bytes = kWriteBytesMax;
    // First octet of a request to its last; of a reply waiting to its last
    // sent.
    Micros frame_timeout = Micros::Seconds(1);
    // Accept, or the end of the last exchange, to the first octet.
    Micros idle_timeout = Micros::Seconds(2);
    bool close_after_reply = true;
  };
  struct Counters {  // monotonic
    uint64_t accepted = 0, closed = 0, timed_out = 0, evicted = 0,
             oversized = 0, refused_fds = 0, bad_frames = 0, replies = 0,
             peers_refused = 0;
    uint64_t slow_readers = 0;  // closed at max_write_bytes
    uint64_t refused_full = 0;  // every connection was being answered
  };
  struct Peer {
    bool unix_socket = false;
    uint32_t uid = 0;    // of a UNIX peer (SO_PEERCRED)
    Endpoint address{};  // of a TCP peer
  };
  // How much of `buffer` is the next frame: > 0 its length, 0 more is needed,
  // < 0 nonsense (the connection is closed). Must decide from the first
  // max_frame_bytes.
  using Framer = std::function<int64_t(std::string_view buffer)>;
  // The rest of a reply, made as time goes by. Destroyed when the connection
  // is, or after its last word.
  class Source {
   public:
    virtual ~Source() = default;
    // Appends what there is by now to `out`, at most about kSourceBytes. False:
    // that was all of it, and the connection ends when it is sent.
    virtual bool Read(std::string* out) = 0;
  };
  struct Reply {
    Reply(std::string all) : octets(std::move(all)) {}
    Reply(std::string first, std::unique_ptr<Source> source)
        : octets(std::move(first)), rest(std::move(source)) {}
    std::string octets;              // empty: close without a word
    std::unique_ptr<Source> rest{};  // null: that is all
  };
  static constexpr size_t kSourceBytes = 64 * 1024;
  // How often a source is asked that had nothing.
  static constexpr Micros kSourceLook = Micros::Millis(20);
  using Handler = std::function<Reply(const Peer&, std::string_view frame)>;
  // False: the connection is closed unread and counted as peers_refused.
  using Acceptor = std::function<bool(const Peer&)>;

  StreamServer(EventLoop& loop, Options options, Framer framer, Handler handler,
               Acceptor acceptor);
  ~StreamServer();

  // Takes a listening descriptor (ListenTcp, ListenUnix).
  absl::Status Serve(Fd listener);
  // No new connections; running ones end by themselves.
  void StopAccepting();
  int connections() const { return static_cast<int>(connections_.size()); }
  const Counters& counters() const { return counters_; }

 private:
  struct Listener {
    Fd fd;
    bool unix_socket = false;
  };
  struct Connection {
    uint64_t id = 0;
    Fd fd;
    Peer peer;
    std::string in;   // at most max_frame_bytes
    std::string out;  // at most max_write_bytes beyond out_sent
    size_t out_sent = 0;
    std::unique_ptr<Source> rest{};
    // Nothing more is read; closed when `out` is sent.
    bool ending = false;
    uint32_t interest = 0;   // what epoll was last told
    Micros reading_since{};  // idle or frame began
    Micros writing_since{};  // when `out` began to wait
    Micros deadline{};       // what `timer` is set for
    EventLoop::TimerId timer = 0;

    bool has_output() const { return out_sent < out.size(); }
  };
  // What came of a step: the connection lives, or is to be closed.
  enum class Next { kGoOn, kClose };

  void OnAccept(int listener);
  // False when the descriptor cannot be served.
  bool DescribePeer(int fd, bool unix_socket, Peer* peer) const;
  void Admit(Fd fd, bool unix_socket);
  // Out of descriptors: accepts one in the reserve's place and closes it. 0, or
  // the errno of why not (EAGAIN: nobody is waiting; the kernel looks for a
  // free descriptor before it looks for a connection).
  int RefuseOne(int listener);
  void PauseAccepting();
  void ResumeAccepting();
  bool MakeRoom();

  void OnIo(uint64_t id, uint32_t events);
  Next Read(Connection& c);
  Next HandleFrames(Connection& c);
  Next Write(Connection& c);
  Next Send(Connection& c);
  // Tells epoll and the timer what the connection now waits for.
  void Rearm(Connection& c);
  void OnDeadline(uint64_t id);
  void Close(uint64_t id);

  // Fixed after construction.
  EventLoop& loop_;
  const Options options_;
  const Framer framer_;
  const Handler handler_;
  const Acceptor acceptor_;

  std::vector<Listener> listeners_;
  // By a number of our own, never used twice: an event or timer of a connection
  // that is gone finds nothing. unique_ptr: a reference outlives a rehash.
  absl::flat_hash_map<uint64_t, std::unique_ptr<Connection>> connections_;
  uint64_t last_id_ = 0;
  Fd reserve_;
  EventLoop::TimerId resume_timer_ = 0;  // not 0: accepting is paused
  Counters counters_;
};

}  // namespace sluice::net

#endif  // SLUICE_BASE_NET_STREAM_SERVER_H_
