#include "sip/registrar.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "sip/fields.h"
#include "sip/reply.h"

namespace sluice::sip {
namespace {

std::string QText(uint16_t q) {
  if (q >= 1000) return "1.0";
  std::string digits = Cat(q);
  return Cat("0.", std::string(3 - digits.size(), '0'), digits);
}

// What is kept of a contact is a stranger's text (security P12).
constexpr size_t kBindingOctetsMax = 1'024;

constexpr size_t kUserAgentOctetsMax = 128;

std::string UserAgentOf(const Message& message) {
  for (const Header& h : message.headers()) {
    if (EqualsNoCase(h.name, "User-Agent")) {
      return std::string(h.value.substr(0, kUserAgentOctetsMax));
    }
  }
  return "";
}

bool SameContact(const Binding& a, std::string_view uri,
                 std::string_view instance, std::string_view reg_id) {
  if (!instance.empty() && a.instance == instance && a.reg_id == reg_id) {
    return true;
  }
  if (a.contact == uri) return true;
  const auto one = Uri::Parse(a.contact);
  const auto other = Uri::Parse(uri);
  return one && other && SameUri(*one, *other);
}

// A connection on which somebody has registered is how he is reached.
void KeepConnection(const Leg& leg, const Peer& from, int64_t seconds) {
  if (from.transport == Transport::kUdp || seconds <= 0) return;
  leg.sockets->KeepAlive(from.connection, Micros::Seconds(seconds));
}

}  // namespace

struct Registrar::Wish {
  std::string uri;
  int64_t expires = 0;
  uint16_t q = 1000;
  std::string instance;
  std::string reg_id;
};

Registrar::Registrar(Dispatcher& dispatcher, LocationStore& store,
                     Options options)
    : dispatcher_(dispatcher), store_(store), options_(std::move(options)) {}

bool Registrar::Serves(std::string_view host) const {
  return options_.domains.empty() || MatchDomain(options_.domains, host) > 0;
}

Handler::Handled Registrar::Receive(Incoming& in) {
  if (in.message.is_response()) return Handled::kNotMine;
  if (in.message.method() != Method::kRegister) return Lookup(in);
  const auto& to = in.message.to();
  if (!to) return Handled::kNotMine;
  if (!to->uri.is_sip()) {
    // Nobody of ours has such an address (RFC 3261 10.3 5).
    dispatcher_.Reply(in, 400, "To is no SIP URI");
    ++counts_.refused;
    return Handled::kMine;
  }
  // To decides, whose registrar this is and for whom, not the Request-URI.
  if (!Serves(to->uri.host)) return Handled::kNotMine;
  Register(in, AddressOfRecord(to->uri));
  return Handled::kMine;
}

Handler::Handled Registrar::Lookup(Incoming& in) {
  const auto uri = Uri::Parse(in.uri);
  if (!uri || !uri->is_sip() || !uri->has_user || !Serves(uri->host)) {
    return Handled::kNotMine;
  }
  const auto& bindings = store_.Find(AddressOfRecord(*uri));
  if (bindings.empty()) {
    // Where our address is a domain of ours, contacts look like users.
    if (dispatcher_.IsToken(*uri)) return Handled::kNotMine;
    // A domain named as ours has no other home where the user might be.
    if (MatchDomain(options_.domains, uri->host) > 1) {
      ++counts_.not_found;
      dispatcher_.Reply(in, 404, ReasonOf(404));
      return Handled::kMine;
    }
    return Handled::kNotMine;
  }
  ++counts_.found;
  const Binding& best = bindings.front();
  in.uri = best.contact;
  Incoming::Target target;
  target.leg = best.leg;
  target.path = best.path;
  if (!best.received.address.is_none()) target.peer = best.received;
  in.target = std::move(target);
  return Handled::kNotMine;
}

std::optional<Registrar::Refuse> Registrar::ReadWishes(
    const Incoming& in, std::vector<Wish>* wishes, bool* all) const {
  const Message& m = in.message;
  std::optional<Refuse> no;
  const int64_t general =
      m.expires() >= 0 ? m.expires() : int64_t{options_.max_expires};
  m.ForEach(HeaderId::kContact, [&](std::string_view value) {
    if (value == "*") {
      *all = true;
      return true;
    }
    if (wishes->size() >= kContactsMax) {
      no = Refuse{403, ""};
      return false;
    }
    const auto contact = NameAddr::Parse(value);
    if (!contact || !contact->uri.is_sip()) {
      no = Refuse{400, ""};
      return false;
    }
    // What would come back to us would be looked up again (security P11).
    if (dispatcher_.OwnerOf(contact->uri) != nullptr) {
      no = Refuse{403, ""};
      return false;
    }
    Wish wish;
    wish.uri = std::string(contact->uri_text);
    wish.expires = general;
    if (const auto own = contact->params.Get("expires")) {
      // What is no number is as if it were not there (RFC 3261 10.2.1.1).
      if (const auto n = ParseNumber(*own, UINT32_MAX)) {
        wish.expires = static_cast<int64_t>(*n);
      }
    }
    if (wish.expires > 0 && wish.expires < options_.min_expires) {
      no = Refuse{423, Cat("Min-Expires: ", options_.min_expires, "\r\n")};
      return false;
    }
    wish.expires = std::min<int64_t>(wish.expires, options_.max_expires);
    wish.q = Qvalue(contact->params.Get("q").value_or("1"));
    wish.instance = Unquote(contact->params.Get("+sip.instance").value_or(""));
    wish.reg_id = std::string(contact->params.Get("reg-id").value_or(""));
    wishes->push_back(std::move(wish));
    return true;
  });
  if (!no && *all && (!wishes->empty() || m.expires() != 0)) {
    no = Refuse{400, ""};
  }
  return no;
}

std::optional<Registrar::Refuse> Registrar::Merge(
    const Incoming& in, const std::vector<Wish>& wishes,
    std::vector<Binding>* bindings, Changes* changes) {
  const Message& m = in.message;
  const int64_t now = options_.wall_clock();
  std::string path;
  m.ForEach(HeaderId::kPath, [&](std::string_view value) {
    Append(&path, path.empty() ? "" : ", ", value);
    return true;
  });
  // Behind another proxy the source is that proxy, which Path names.
  const bool direct = m.vias() == 1;
  // Who has proved nothing is reached where he was heard, and nowhere else: or
  // anybody could have us send to whom he names.
  const bool proven = in.leg.trusted || !in.user.empty();
  if (!proven && (!direct || !path.empty())) {
    return Refuse{403, ""};
  }
  size_t fresh = 0;
  for (const Wish& wish : wishes) {
    const auto is_old = [&](const Binding& b) {
      return SameContact(b, wish.uri, wish.instance, wish.reg_id);
    };
    for (const Binding& b : *bindings) {
      if (is_old(b) && b.call_id == m.call_id() && m.cseq() < b.cseq) {
        ++counts_.out_of_order;
        return Refuse{500, ""};
      }
    }
    const auto old = std::find_if(bindings->begin(), bindings->end(), is_old);
    const bool was_there = old != bindings->end();
    // A refresh changes nobody's place: the CANCEL of a ringing call goes where
    // its INVITE went (RFC 3261 16.11). A phone that has started anew has
    // another Call-ID.
    const bool refreshed = was_there && old->call_id == m.call_id();
    const int64_t since = refreshed ? old->changed_at : now;
    // The clock counts seconds: of two bindings of one the place decides.
    size_t place =
        refreshed ? static_cast<size_t>(old - bindings->begin()) : fresh++;
    bindings->erase(std::remove_if(bindings->begin(), bindings->end(), is_old),
                    bindings->end());
    if (wish.expires == 0) {
      if (was_there) ++changes->removed;
      continue;
    }
    if (bindings->size() >= options_.max_contacts) return Refuse{403, ""};
    Binding b;
    b.contact = wish.uri;
    b.path = path;
    b.call_id = std::string(m.call_id());
    b.instance = wish.instance;
    b.reg_id = wish.reg_id;
    b.leg = in.leg.name;
    if (direct) b.received = in.from;
    b.cseq = m.cseq();
    b.q = wish.q;
    b.expires_at = now + wish.expires;
    b.changed_at = since;
    b.user_agent = UserAgentOf(m);
    if (b.contact.size() + b.path.size() + b.call_id.size() +
            b.instance.size() + b.reg_id.size() >
        kBindingOctetsMax) {
      return Refuse{403, ""};
    }
    place = std::min(place, bindings->size());
    bindings->insert(bindings->begin() + static_cast<ptrdiff_t>(place),
                     std::move(b));
    ++changes->registered;
    changes->longest = std::max(changes->longest, wish.expires);
  }
  return std::nullopt;
}

std::string Registrar::ContactLines(
    const std::vector<Binding>& bindings) const {
  const int64_t now = options_.wall_clock();
  std::string lines;
  for (const Binding& b : bindings) {
    if (b.expires_at <= now) continue;
    Append(&lines, "Contact: <", b.contact, ">;expires=", b.expires_at - now);
    if (b.q != 1000) Append(&lines, ";q=", QText(b.q));
    if (!b.instance.empty()) {
      Append(&lines, ";+sip.instance=", Quote(b.instance));
    }
    if (!b.reg_id.empty()) Append(&lines, ";reg-id=", b.reg_id);
    Append(&lines, "\r\n");
  }
  return lines;
}

void Registrar::Register(Incoming& in, const std::string& aor) {
  const Message& m = in.message;
  const auto answer = [&](const Refuse& no) {
    if (no.code == 423) {
      ++counts_.too_brief;
    } else {
      ++counts_.refused;
    }
    dispatcher_.Reply(in, no.code, ReasonOf(no.code), no.extra);
  };
  // Who has proved to be one user may speak for that one alone (P11).
  if (!in.user.empty()) {
    if (Unescape(m.to()->uri.user) != in.user) return answer({403, ""});
  }
  std::string unsupported;
  m.ForEach(HeaderId::kRequire, [&](std::string_view option) {
    if (!EqualsNoCase(option, "path") && !EqualsNoCase(option, "outbound")) {
      Append(&unsupported, unsupported.empty() ? "" : ", ", option);
    }
    return true;
  });
  if (!unsupported.empty()) {
    return answer({420, Cat("Unsupported: ", unsupported, "\r\n")});
  }
  std::vector<Wish> wishes;
  bool all = false;
  if (const auto no = ReadWishes(in, &wishes, &all)) return answer(*no);

  std::vector<Binding> bindings = store_.Find(aor);
  if (wishes.empty() && !all) {
    ++counts_.queries;
    return dispatcher_.Reply(in, 200, "OK", ContactLines(bindings));
  }
  Changes changes;
  if (all) {
    for (const Binding& b : bindings) {
      if (b.call_id == m.call_id() && m.cseq() < b.cseq) {
        ++counts_.out_of_order;
        return answer({500, ""});
      }
    }
    changes.removed = bindings.size();
    bindings.clear();
  } else if (const auto no = Merge(in, wishes, &bindings, &changes)) {
    return answer(*no);
  }
  // As Find() will give them.
  SortBindings(&bindings);
  std::string lines = ContactLines(bindings);
  if (changes.registered + changes.removed == 0) {
    return dispatcher_.Reply(in, 200, "OK", lines);
  }
  m.ForEach(HeaderId::kPath, [&](std::string_view value) {
    Append(&lines, "Path: ", value, "\r\n");
    return true;
  });
  // The answer waits for the disk.
  const absl::Status stored =
      store_.Store(aor, std::move(bindings),
                   [this, owed = dispatcher_.Owe(in), from = in.from, changes,
                    lines = std::move(lines)](absl::Status durable) {
                     if (durable.ok()) {
                       counts_.registered += changes.registered;
                       counts_.removed += changes.removed;
                       KeepConnection(*owed.leg, from, changes.longest);
                       return dispatcher_.Reply(owed, 200, "OK", lines);
                     }
                     ++counts_.not_stored;
                     dispatcher_.Reply(owed, 500, ReasonOf(500));
                   });
  if (!stored.ok()) {
    ++counts_.not_stored;
    dispatcher_.Reply(in, 503, ReasonOf(503), "Retry-After: 60\r\n");
  }
}

std::vector<Handler::Number> Registrar::Counters() const {
  return {{"registered", counts_.registered},
          {"removed", counts_.removed},
          {"queries", counts_.queries},
          {"too_brief", counts_.too_brief},
          {"refused", counts_.refused},
          {"out_of_order", counts_.out_of_order},
          {"not_stored", counts_.not_stored},
          {"found", counts_.found},
          {"not_found", counts_.not_found}};
}

Handler::Handled Redirect::Receive(Incoming& in) {
  if (in.message.is_response()) return Handled::kNotMine;
  switch (in.message.method()) {
    case Method::kRegister: return Handled::kNotMine;
    case Method::kAck:  // of our own 302 or 404
      dispatcher_.Drop(SipDrop::k_own_ack);
      return Handled::kMine;
    case Method::kCancel:
      dispatcher_.Reply(in, 200, "OK");
      return Handled::kMine;
    default: break;
  }
  const auto uri = Uri::Parse(in.uri);
  std::string lines;
  if (uri && uri->is_sip()) {
    for (const Binding& b : registrar_.Query(AddressOfRecord(*uri))) {
      Append(&lines, "Contact: <", b.contact, ">;q=", QText(b.q), "\r\n");
    }
  }
  if (lines.empty()) {
    dispatcher_.Reply(in, 404, ReasonOf(404));
  } else {
    dispatcher_.Reply(in, 302, ReasonOf(302), lines);
  }
  return Handled::kMine;
}

}  // namespace sluice::sip
