#include "sip/receive_chain.h"

#include <algorithm>

namespace sluice::sip {

Handler::Handled ReceiveChain::Receive(Incoming& in) {
  if (!methods_.empty() &&
      std::find(methods_.begin(), methods_.end(), in.message.method_text()) ==
          methods_.end()) {
    return Handled::kNotMine;
  }
  for (Handler* handler : handlers_) {
    if (handler->Receive(in) == Handled::kMine) return Handled::kMine;
  }
  return Handled::kNotMine;
}

}  // namespace sluice::sip
