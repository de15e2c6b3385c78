// How sessions, their ports and their calls end by signalling, by a newer
// session or by the operator. By time: session_expiry.cc.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "control/session_manager.h"

namespace sluice::control {

absl::StatusOr<int> SessionManager::Close(const SessionKey& key) {
  auto ended = CloseNow(key);
  // It may free ports and yet end nothing.
  Tell(key.call_id);
  return ended;
}

absl::StatusOr<int> SessionManager::CloseNow(const SessionKey& key) {
  Call* const call = Lookup(key.call_id);
  int ended = 0;
  if (call != nullptr) {
    if (key.cseq.value_or(0) == 0) {
      ended = CloseOrder(*call, key.id_from, key.id_to) +
              CloseOrder(*call, key.id_to, key.id_from);
    } else if (Transaction* t = call->Find(key.id_from, *key.cseq)) {
      Fork* const fork = key.half_open_only ? nullptr : t->Find(key.id_to);
      const bool last_way = t->EndWay(key.branch);
      if (fork != nullptr && fork->session) {
        const Standing older = call->FindAside(key.id_from, key.id_to);
        if (older) {
          Restore(*call, older);
        } else {
          Finish(*call, *t, *fork);
        }
        ++ended;
      }
      // Others may still answer it.
      if (!last_way && t->from) t->from->release_at = kNever;
      // What is set aside was answered: no CANCEL reaches it any more.
      if (last_way && !t->InUse()) {
        if (t->from) call->refused = std::max(call->refused, t->from->made);
        for (const Fork& f : t->forks) {
          call->refused = std::max(call->refused, f.group.made);
        }
        FreeTransaction(*call, *t);
      }
      DropEmpty(*call);
    }
    if (call->transactions.empty()) Forget(*call);
  }
  counters_.sessions_closed += ended;
  if (ended == 0) {
    ++counters_.close_nothing;
    return absl::NotFoundError("no such session");
  }
  ++counters_.close_done;
  return ended;
}

// Every session that `id_from` offered and `id_to` answered, and every offer of
// `id_from` that is then without a session, half open ones too.
int SessionManager::CloseOrder(Call& call, std::string_view id_from,
                               std::string_view id_to) {
  int ended = 0;
  for (Transaction& t : call.transactions) {
    if (t.id_from != id_from) continue;
    if (Fork* fork = t.Find(id_to); fork != nullptr && fork->session) {
      Finish(call, t, *fork);
      ++ended;
    } else if (fork != nullptr && fork->aside) {
      fork->aside = false;
      GiveUp(t, *fork);
      Arm(call, fork->group.release_at);
    }
    if (!t.InUse()) FreeTransaction(call, t);
  }
  DropEmpty(call);
  return ended;
}

absl::StatusOr<int> SessionManager::CloseCall(std::string_view call_id) {
  Call* call = Lookup(call_id);
  if (call == nullptr) return absl::NotFoundError("no such call");
  return EndCall(*call);
}

void SessionManager::CloseAll() {
  while (oldest_ != nullptr) EndCall(*oldest_);
}

int SessionManager::EndCall(Call& call) {
  const int ended = EndAll(call);
  counters_.sessions_ended_by_operator += ended;
  return ended;
}

// `call` is gone afterwards. How many sessions it had.
int SessionManager::EndAll(Call& call) {
  int ended = 0;
  for (Transaction& t : call.transactions) {
    for (Fork& fork : t.forks) {
      if (!fork.session) continue;
      EndSession(call, fork.session);
      ++ended;
    }
    FreeTransaction(call, t);
  }
  Forget(call);
  return ended;
}

void SessionManager::EndSession(const Call& call, Session& session) {
  CHECK(session);
  for (const Slot flow : session.flows) {
    plane_.CloseFlow(call.shard, flow);
    FlowNews* const news = News(call.shard, flow);
    if (news == nullptr) continue;
    // Who was believed here is nobody to the next flow on these ports.
    for (const Side side : {Side::kFrom, Side::kTo}) {
      if (observer_ == nullptr || !news->heard[Index(side)].confirmed) continue;
      if (const auto local =
              ports_.LocalOf(call.shard, news->socket[Index(side)])) {
        observer_->OnConfirmed(call.call_id, *local, Endpoint());
      }
    }
    news->generation = 0;
  }
  flows_ -= session.flows.size();
  --sessions_;
  session = Session{};
}

// Ends what is up between the two.
void SessionManager::ReplaceOlder(Call& call, const SessionKey& key) {
  while (const Standing old = call.FindSession(key.id_from, key.id_to)) {
    EndSession(call, old.fork->session);
    SetAside(call, old);
    ++counters_.sessions_replaced;
  }
}

// A newer session has taken its place, whose offer may yet be refused.
void SessionManager::SetAside(Call& call, const Standing& older) {
  Settle(call, older.transaction->id_from, older.fork->id_to);
  Touch(*older.transaction, older.fork);
  older.fork->over = older.fork->aside = true;
  Arm(call, now_ + options_.unused);
}

// What is up between the two cannot be refused any more: nothing else goes on.
void SessionManager::Settle(Call& call, std::string_view id_from,
                            std::string_view id_to) {
  if (const Standing older = call.FindAside(id_from, id_to)) {
    older.fork->aside = false;
    GiveUp(*older.transaction, *older.fork);
    Arm(call, older.fork->group.release_at);
  }
}

// Ended for good, not by silence.
void SessionManager::Finish(Call& call, Transaction& transaction, Fork& fork) {
  EndSession(call, fork.session);
  fork.over = true;
  GiveUp(transaction, fork);
  Arm(call, fork.group.release_at);
}

// The fork's ports go after `closed`, the offer's with those of its last fork.
void SessionManager::GiveUp(Transaction& transaction, Fork& fork) {
  fork.group.release_at = now_ + options_.closed;
  const bool last = std::all_of(
      transaction.forks.begin(), transaction.forks.end(),
      [](const Fork& f) { return !f.session && f.group.release_at != kNever; });
  if (last && transaction.from) {
    transaction.from->release_at = now_ + options_.closed;
  }
}

void SessionManager::FreeGroup(const Call& call, Group& group) {
  for (const Slot socket : group.sockets) ports_.Close(call.shard, socket);
  for (const Medium& medium : group.media) ports_.RemoveTargets(medium);
  group = Group{};
}

void SessionManager::DropEmpty(Call& call) {
  std::erase_if(call.transactions,
                [](const Transaction& t) { return t.empty(); });
}

void SessionManager::FreeTransaction(const Call& call,
                                     Transaction& transaction) {
  CHECK(!transaction.HasSession());
  if (transaction.from) FreeGroup(call, *transaction.from);
  for (Fork& fork : transaction.forks) FreeGroup(call, fork.group);
  transaction.from.reset();
  transaction.forks.clear();
}

}  // namespace sluice::control
