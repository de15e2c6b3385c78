#include "control/call.h"

#include <algorithm>

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

bool Transaction::InUse() const {
  return HasSession() ||
         std::any_of(forks.begin(), forks.end(),
                     [](const Fork& fork) { return fork.aside; });
}

void Transaction::NoteWay(uint64_t way) {
  // One more than there may be is not known, and so does not end it.
  if (way != 0 && ways.size() < kForksPerTransaction &&
      std::find(ways.begin(), ways.end(), way) == ways.end()) {
    ways.push_back(way);
  }
}

bool Transaction::EndWay(uint64_t way) {
  std::erase(ways, way);
  return way == 0 || ways.empty();
}

Transaction* Call::Find(std::string_view id_from, uint32_t cseq) {
  for (Transaction& t : transactions) {
    if (t.cseq == cseq && t.id_from == id_from) return &t;
  }
  return nullptr;
}

const Group& Standing::own() const {
  return offered ? *transaction->from : fork->group;
}

const Group& Standing::other() const {
  return offered ? fork->group : *transaction->from;
}

template <typename Is>
Standing Call::FindFork(std::string_view party, std::string_view other,
                        Is&& is) {
  for (Transaction& t : transactions) {
    const bool offered = t.id_from == party;
    if (!offered && t.id_from != other) continue;
    Fork* fork = t.Find(offered ? other : party);
    if (fork != nullptr && is(*fork)) {
      return {.transaction = &t, .fork = fork, .offered = offered};
    }
  }
  return {};
}

Standing Call::FindSession(std::string_view party, std::string_view other) {
  return FindFork(party, other,
                  [](const Fork& f) { return static_cast<bool>(f.session); });
}

Standing Call::FindAside(std::string_view party, std::string_view other) {
  return FindFork(party, other, [](const Fork& f) { return f.aside; });
}

size_t Call::sockets() const {
  std::vector<uint64_t> seen;
  const auto add = [&seen](const Group& group) {
    for (const Slot socket : group.sockets) {
      seen.push_back(uint64_t{socket.index} << 32 | socket.generation);
    }
  };
  for (const Transaction& t : transactions) {
    if (t.from) add(*t.from);
    for (const Fork& fork : t.forks) add(fork.group);
  }
  std::sort(seen.begin(), seen.end());
  return static_cast<size_t>(std::unique(seen.begin(), seen.end()) -
                             seen.begin());
}

bool Call::HasLater(std::string_view id_from, uint32_t cseq) const {
  for (const Transaction& t : transactions) {
    if (t.cseq > cseq && t.id_from == id_from) return true;
  }
  return false;
}

}  // namespace sluice::control
