#include "control/call.h"

namespace sluice::control {

Fork* Transaction::Find(std::string_view id_to) {
  for (Fork& fork : forks) {
    if (fork.id_to == id_to) return &fork;
  }
  return nullptr;
}

bool Transaction::HasSession() const {
  for (const Fork& fork : forks) {
    if (fork.session) return true;
  }
  return false;
}

Transaction* Call::Find(std::string_view id_from, uint32_t cseq) {
  for (Transaction& t : transactions) {
    if (t.cseq == cseq && t.id_from == id_from) return &t;
  }
  return nullptr;
}

size_t Call::sockets() const {
  size_t sum = 0;
  for (const Transaction& t : transactions) {
    if (t.from) sum += t.from->sockets.size();
    for (const Fork& fork : t.forks) sum += fork.group.sockets.size();
  }
  return sum;
}

bool Call::HasLater(std::string_view id_from, uint32_t cseq) const {
  for (const Transaction& t : transactions) {
    if (t.cseq > cseq && t.id_from == id_from) return true;
  }
  return false;
}

}  // namespace sluice::control
