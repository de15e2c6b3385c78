#ifndef SLUICE_SIP_TRANSACTIONS_H_
#define SLUICE_SIP_TRANSACTIONS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "base/net/event_loop.h"
#include "sip/dispatcher.h"
#include "sip/handler.h"
#include "sip/message.h"
#include "sip/router.h"
#include "sip/transaction.h"

namespace sluice::sip {

// A request of ours without what the transaction adds: Via and Content-Length.
struct OutgoingRequest {
  std::string method;
  std::string uri;
  std::string headers;    // whole lines, each with CRLF
  std::string call_id{};  // also among them
  std::string body{};     // its Content-Type is among the headers
};

// The transaction layer (RFC 3261 17): the machines of sip/transaction.h with
// the messages that they send again, their timers on the loop's wheel, and what
// of what comes belongs to which (17.1.3, 17.2.3).
//
//   user --Send()--> client --request--> Dispatcher --> leg
//        <-response/failed--   <--------- Receive()
//   Receive(): not known --> user --Accept()--> server <--Respond()-- user
//              known: absorbed, or answered again
//
// At most kMax of each sort at a time, so a flood of requests ends in 503 (L9)
// and leaves room for our own.
//
// Thread: the loop's. Callbacks may use any member. Borrows loop and
// dispatcher.
class Transactions {
 public:
  using Id = uint64_t;                    // 0 is never given out
  static constexpr size_t kMax = 65'536;  // of ours, and of others' as many
  // What is kept to answer others.
  static constexpr size_t kServerOctetsMax = 64 * 1024 * 1024;
  // Octets of Via, From, To, Call-ID, CSeq: what of an answer is the asker's.
  static constexpr size_t kAnswerHeadersMax = 4'096;

  struct ClientUser {
    std::function<void(const Incoming& response)> response{};
    // No response will come: 408 (nobody answered), 503 (it could not be sent).
    std::function<void(int code)> failed{};
  };

  Transactions(net::EventLoop& loop, Dispatcher& dispatcher,
               TransactionTimers timers);
  ~Transactions();
  Transactions(const Transactions&) = delete;
  Transactions& operator=(const Transactions&) = delete;

  // ---- client
  // Sends by a new branch. `failed` is never called before this returns; 0 at
  // kMax, and for what is no message that our own parser takes: then nothing is
  // called. `way` reaches the request's next hop.
  Id Send(const OutgoingRequest& request, const Router::Way& way,
          ClientUser user);
  // CANCEL of an INVITE that has a provisional response and no final one (RFC
  // 3261 9.1). Its own answer is nobody's business; the INVITE's still comes.
  void Cancel(Id invite);
  // What has no transaction: the ACK of a 2xx. Returns the octets, to be sent
  // again by Resend for each 2xx that is.
  std::string SendAck(const OutgoingRequest& ack, const Router::Way& way);
  void Resend(const std::string& octets, const Router::Way& way,
              std::string_view call_id);
  // Its user hears no more of it.
  void Abandon(Id id);

  // ---- server
  // A response to a request of ours; a request that we have, again; the ACK of
  // a failure. What is left is not known here.
  Handler::Handled Receive(const Incoming& in);
  // The transaction of a request that Receive did not know. 0 at kMax and
  // beyond kAnswerHeadersMax. `to_tag`: of all responses, where the request has
  // none.
  Id Accept(const Incoming& in, std::string_view to_tag);
  // Whether it was sent: false for a second final answer, and when it is gone.
  // `headers`: whole lines, Content-Type among them.
  bool Respond(Id id, int code, std::string_view reason,
               std::string_view headers = {}, std::string_view body = {});
  // The INVITE that a CANCEL is about; 0: none (481).
  Id InviteOf(const Incoming& cancel) const;

  // Whether others have half of kMax or kServerOctetsMax. To be asked before
  // the Accept of a new call: so a BYE of one that is up is answered however
  // many INVITEs there are.
  bool crowded() const {
    return servers_.size() >= kMax / 2 ||
           server_octets_ >= kServerOctetsMax / 2;
  }

  size_t size() const { return clients_.size() + servers_.size(); }
  const TransactionTimers& timers() const { return timers_; }

 private:
  struct Client;
  struct Server;

  Client* FindClient(Id id);
  Server* FindServer(Id id);
  void Act(Id id, ClientTransaction::Does does, const Incoming* response);
  void Act(Id id, ServerTransaction::Does does);
  void Arm(Client& client);
  void Arm(Server& server);
  void SendOctets(const std::string& octets, const Router::Way& way,
                  std::string_view call_id, Id failed);
  void SendFailed(Id id);
  void SendAckOfFailure(Client& client, const Message& response);
  void End(Client& client);
  void End(Server& server);
  std::string Write(const OutgoingRequest& request, const Router::Way& way,
                    std::string_view branch) const;

  net::EventLoop& loop_;
  Dispatcher& dispatcher_;
  const TransactionTimers timers_;
  Id last_ = 0;
  size_t server_octets_ = 0;
  absl::flat_hash_map<Id, std::unique_ptr<Client>> clients_;
  absl::flat_hash_map<Id, std::unique_ptr<Server>> servers_;
  // By branch and method; by branch, sent-by and method.
  absl::flat_hash_map<std::string, Id> by_branch_;
  absl::flat_hash_map<std::string, Id> by_request_;
};

// Random lower-case hexadecimal digits, for tags, branches and Call-IDs (RFC
// 3261 19.3).
std::string RandomHex(size_t octets);
// 0 to n - 1, near enough alike. REQUIRES: n is not 0.
uint32_t RandomBelow(uint32_t n);

}  // namespace sluice::sip

#endif  // SLUICE_SIP_TRANSACTIONS_H_
