#include "control/nathelper_verbs.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace sluice::control {
namespace {

using storable::Value;
using Outcome = NatHelperVerbs::Outcome;
using Verb = NatHelperVerbs::Verb;

constexpr const char* kVerbNames[] = {
#define COMMAND(name, method, arguments, help) #name,
#define OUTCOME(name, help)
#include "control/commands.def"
#undef COMMAND
#undef OUTCOME
};
constexpr const char* kOutcomeNames[] = {
#define COMMAND(name, method, arguments, help)
#define OUTCOME(name, help) #name,
#include "control/commands.def"
#undef COMMAND
#undef OUTCOME
};

// The one place where a Status becomes a reason of the RPC.
Outcome ToOutcome(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk: return Outcome::k_ok;
    case absl::StatusCode::kInvalidArgument: return Outcome::k_bad_arguments;
    case absl::StatusCode::kOutOfRange: return Outcome::k_out_of_range;
    case absl::StatusCode::kUnimplemented: return Outcome::k_not_literal;
    case absl::StatusCode::kNotFound: return Outcome::k_not_found;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kPermissionDenied: return Outcome::k_refused;
    case absl::StatusCode::kResourceExhausted: return Outcome::k_exhausted;
    case absl::StatusCode::kUnavailable: return Outcome::k_unavailable;
    default: return Outcome::k_failed;
  }
}

absl::Status TooFewArguments() {
  return absl::InvalidArgumentError("too few arguments");
}

// [ip, port, number of ports] for each medium.
Value ToReply(const std::vector<Allocation>& allocations) {
  Value::List reply;
  reply.reserve(allocations.size());
  for (const Allocation& allocation : allocations) {
    reply.emplace_back(Value::List{Value(allocation.ip.ToString()),
                                   Value(allocation.port),
                                   Value(allocation.range)});
  }
  return Value(std::move(reply));
}

}  // namespace

NatHelperVerbs::NatHelperVerbs(SessionVerbs& sessions, ArgumentLimits limits)
    : sessions_(sessions), limits_(limits) {}

void NatHelperVerbs::DefineIn(CommandTable& table) {
#define COMMAND(name, method, arguments, help) \
  table.Define(#name, [this](CommandTable::Arguments a) { return method(a); });
#define OUTCOME(name, help)
#include "control/commands.def"
#undef COMMAND
#undef OUTCOME
}

Value NatHelperVerbs::Allocate(CommandTable::Arguments arguments) {
  constexpr Verb kVerb = Verb::k_allocate;
  if (arguments.size() < 4) return Refuse(kVerb, TooFewArguments());
  const auto key = ParseKey(arguments[0], CseqRule::kOne, limits_);
  if (!key.ok()) return Refuse(kVerb, key.status());
  const auto side = ParseSide(arguments[1]);
  if (!side.ok()) return Refuse(kVerb, side.status(), key->call_id);
  const auto local = ParseAddress(&arguments[2], "the local address");
  if (!local.ok()) return Refuse(kVerb, local.status(), key->call_id);
  const auto media = ParseMedia(arguments[3], limits_);
  if (!media.ok()) return Refuse(kVerb, media.status(), key->call_id);
  const auto allocations = sessions_.Allocate(*key, *side, *local, *media);
  if (!allocations.ok())
    return Refuse(kVerb, allocations.status(), key->call_id);
  Count(kVerb, Outcome::k_ok);
  return ToReply(*allocations);
}

Value NatHelperVerbs::Activate(CommandTable::Arguments arguments) {
  constexpr Verb kVerb = Verb::k_activate;
  if (arguments.empty()) return Refuse(kVerb, TooFewArguments());
  const auto key = ParseKey(arguments[0], CseqRule::kOne, limits_);
  if (!key.ok()) return Refuse(kVerb, key.status());
  const auto activation = sessions_.Activate(*key);
  if (!activation.ok()) return Refuse(kVerb, activation.status(), key->call_id);
  const bool again = *activation == Activation::kAgain;
  Count(kVerb, again ? Outcome::k_again : Outcome::k_ok);
  return Value(again ? -1 : 1);
}

Value NatHelperVerbs::Close(CommandTable::Arguments arguments) {
  constexpr Verb kVerb = Verb::k_close;
  if (arguments.empty()) return Refuse(kVerb, TooFewArguments());
  const auto key = ParseKey(arguments[0], CseqRule::kOneOrAll, limits_);
  if (!key.ok()) return Refuse(kVerb, key.status());
  const auto closed = sessions_.Close(*key);
  if (!closed.ok()) return Refuse(kVerb, closed.status(), key->call_id);
  Count(kVerb, Outcome::k_ok);
  return Value(*closed);
}

void NatHelperVerbs::Count(Verb verb, Outcome outcome) {
  ++counts_[static_cast<size_t>(verb)][static_cast<size_t>(outcome)];
}

Value NatHelperVerbs::Refuse(Verb verb, const absl::Status& why,
                             std::string_view call_id) {
  const Outcome outcome = ToOutcome(why.code());
  Count(verb, outcome);
  const absl::string_view message = why.message();
  // The limit of a second goes by the words: unknown calls have their own.
  const bool unknown = outcome == Outcome::k_not_found && verb == Verb::k_close;
  log::Line line(unknown ? "nathelper close of an unknown call"
                         : "nathelper request refused");
  line.With("command", kVerbNames[static_cast<size_t>(verb)])
      .With("reason", kOutcomeNames[static_cast<size_t>(outcome)])
      .With("why", std::string_view(message.data(), message.size()));
  if (!call_id.empty()) line.With("call_id", call_id);
  // A proxy activates after every message: "not found" is how that goes in
  // every call. It may close what is long gone, but who looks for a call that
  // would not end wants to see it. For an allocate it means an address that is
  // none of our interfaces: somebody's mistake.
  if (unknown) {
    line.InfoLimited();
  } else if (outcome != Outcome::k_not_found || verb == Verb::k_allocate) {
    line.WarnLimited();
  } else {
    line.Debug();
  }
  return Value();
}

uint64_t NatHelperVerbs::count(Verb verb, Outcome outcome) const {
  return counts_[static_cast<size_t>(verb)][static_cast<size_t>(outcome)];
}

std::vector<std::pair<std::string, uint64_t>> NatHelperVerbs::counters() const {
  std::vector<std::pair<std::string, uint64_t>> all;
  for (size_t verb = 0; verb < static_cast<size_t>(Verb::kCount); ++verb) {
    for (size_t outcome = 0; outcome < static_cast<size_t>(Outcome::kCount);
         ++outcome) {
      all.emplace_back(
          absl::StrCat(kVerbNames[verb], "_", kOutcomeNames[outcome]),
          counts_[verb][outcome]);
    }
  }
  return all;
}

}  // namespace sluice::control
