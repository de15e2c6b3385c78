#include "sip/receive_chain.h"

#include <algorithm>

namespace sluice::sip {

bool ReceiveChain::IsFor(const Message& message) const {
  if (methods_.empty()) return true;
  const auto has = [this](std::string_view method) {
    return std::find(methods_.begin(), methods_.end(), method) !=
           methods_.end();
  };
  const bool of_invite =
      message.method() == Method::kAck || message.method() == Method::kCancel;
  return has(message.method_text()) || (of_invite && has("INVITE"));
}

Handler::Handled ReceiveChain::Receive(Incoming& in) {
  if (!IsFor(in.message)) return Handled::kNotMine;
  for (Handler* handler : handlers_) {
    if (handler->Receive(in) == Handled::kMine) return Handled::kMine;
  }
  return Handled::kNotMine;
}

}  // namespace sluice::sip
