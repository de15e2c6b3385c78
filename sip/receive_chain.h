#ifndef SLUICE_SIP_RECEIVE_CHAIN_H_
#define SLUICE_SIP_RECEIVE_CHAIN_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sip/handler.h"

namespace sluice::sip {

// Handlers in order, the first to say kMine ends it (the seeds' ReceiveChain).
// A handler itself, so that a chain may stand in another.
//
// Thread: control only. Borrows the handlers.
class ReceiveChain final : public Handler {
 public:
  ReceiveChain() = default;
  // `methods`: what it is for, of a response the method of its CSeq; empty is
  // everything. ACK and CANCEL go where their INVITE does. The rest is not its
  // own.
  ReceiveChain(std::string name, std::vector<Handler*> handlers,
               std::vector<std::string> methods)
      : name_(std::move(name)),
        handlers_(std::move(handlers)),
        methods_(std::move(methods)) {}

  std::string_view name() const override { return name_; }
  Handled Receive(Incoming& in) override;

 private:
  bool IsFor(const Message& message) const;

  std::string name_;
  std::vector<Handler*> handlers_;
  std::vector<std::string> methods_;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_RECEIVE_CHAIN_H_
