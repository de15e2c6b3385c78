#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "tools/phone/record.h"
#include "tools/phone/report.h"

namespace sluice::phone {
namespace {

CallRecord Talked() {
  CallRecord call;
  call.number = 1;
  call.call_id = "abc@192.0.2.1";
  call.peer = "sip:bob@example.com";
  call.state = sip::Call::State::kEnded;
  call.result = {200, "OK"};
  call.established = true;
  call.ended_by = EndedBy::kUs;
  call.duration_s = 12.25;
  call.digits = {{'1', rtp::DtmfMethod::kRfc4733},
                 {'#', rtp::DtmfMethod::kInBand}};
  MediaRecord media;
  media.codec = "PCMU";
  media.remote = "192.0.2.2:4000";
  media.sent = 612;
  media.received = 600;
  media.expected = 606;
  media.lost = 6;
  media.jitter_ms = 0.5;
  media.mos = 4.25;
  call.media = media;
  return call;
}

CallRecord Refused(int code, const char* reason) {
  CallRecord call;
  call.number = 2;
  call.call_id = "def";
  call.peer = "sip:carol@example.com";
  call.state = sip::Call::State::kEnded;
  call.result = {code, reason};
  call.ended_by = EndedBy::kFailure;
  return call;
}

RegistrationRecord Registered() {
  RegistrationRecord r;
  r.registrar = "192.0.2.10";
  r.ok = r.answered = true;
  r.expires_s = 60;
  return r;
}

TEST(ExitCodes, TellWhyAnOutgoingCallCameToNothing) {
  EXPECT_EQ(ExitCodeOf(Talked()), kDone);
  EXPECT_EQ(ExitCodeOf(Refused(486, "Busy Here")), kFailed);
  EXPECT_EQ(ExitCodeOf(Refused(503, "Service Unavailable")), kUnreachable);
  EXPECT_EQ(ExitCodeOf(Refused(408, "Request Timeout")), kTimeout);
  CallRecord rang = Refused(487, "Request Terminated");
  EXPECT_EQ(ExitCodeOf(rang), kFailed);
  rang.gave_up_ringing = true;
  EXPECT_EQ(ExitCodeOf(rang), kTimeout);
  CallRecord silent = Talked();
  silent.ended_by = EndedBy::kSilence;
  EXPECT_EQ(ExitCodeOf(silent), kTimeout);
  CallRecord broken = Talked();
  broken.error = "a.wav: no sound";
  EXPECT_EQ(ExitCodeOf(broken), kFailed);
}

TEST(ExitCodes, OfACallThatCameAndEndedOnPurposeAreGood) {
  CallRecord call = Refused(487, "Request Terminated");
  call.incoming = true;
  call.ended_by = EndedBy::kPeer;
  EXPECT_EQ(ExitCodeOf(call), kDone);
  call = Refused(486, "Busy Here");
  call.incoming = true;
  call.ended_by = EndedBy::kUs;
  EXPECT_EQ(ExitCodeOf(call), kDone);
  call.ended_by = EndedBy::kFailure;
  EXPECT_EQ(ExitCodeOf(call), kFailed);
}

TEST(ExitCodes, OfSeveralIsTheFirstThatIsBad) {
  EXPECT_EQ(ExitCodeOf(std::nullopt, {}), kDone);
  EXPECT_EQ(
      ExitCodeOf(std::nullopt, {Talked(), Refused(503, ""), Refused(486, "")}),
      kUnreachable);
  EXPECT_EQ(ExitCodeOf(Registered(), {Talked()}), kDone);
  RegistrationRecord failed;
  failed.answered = true;
  failed.error = absl::DeadlineExceededError("408 Request Timeout");
  EXPECT_EQ(ExitCodeOf(failed, {Talked()}), kTimeout);
  failed.error = absl::PermissionDeniedError("403 Forbidden");
  EXPECT_EQ(ExitCodeOf(failed, {}), kFailed);
  // Interrupted before there was an answer.
  EXPECT_EQ(ExitCodeOf(RegistrationRecord{}, {}), kFailed);
}

TEST(Json, HasACallWithItsMedia) {
  const auto json = ToJson(Registered(), {Talked()}, kDone);
  EXPECT_EQ(json["registration"]["ok"], true);
  EXPECT_EQ(json["registration"]["expires_s"], 60);
  EXPECT_TRUE(json["registration"]["error"].is_null());
  ASSERT_EQ(json["calls"].size(), 1u);
  const auto& call = json["calls"][0];
  EXPECT_EQ(call["call_id"], "abc@192.0.2.1");
  EXPECT_EQ(call["direction"], "out");
  EXPECT_EQ(call["state"], "ended");
  EXPECT_EQ(call["code"], 200);
  EXPECT_EQ(call["ended_by"], "us");
  EXPECT_EQ(call["codec"], "PCMU");
  EXPECT_EQ(call["lost"], 6);
  EXPECT_EQ(call["mos"], 4.25);
  EXPECT_TRUE(call["rtt_ms"].is_null());
  EXPECT_TRUE(call["peer_lost"].is_null());
  EXPECT_EQ(call["dtmf"].dump(), R"([{"digit":"1","method":"rfc4733"},)"
                                 R"({"digit":"#","method":"inband"}])");
  EXPECT_EQ(json["exit_code"], 0);
}

TEST(Json, OfACallWithoutMediaHasNullForWhatIsNotKnown) {
  const auto json = ToJson(std::nullopt, {Refused(0, "")}, kFailed);
  EXPECT_TRUE(json["registration"].is_null());
  const auto& call = json["calls"][0];
  for (const char* name : {"code", "reason", "codec", "mos", "jitter_ms"}) {
    EXPECT_TRUE(call[name].is_null()) << name;
  }
  EXPECT_EQ(call["sent"], 0);
}

TEST(Json, SumsItsCalls) {
  CallRecord second = Talked();
  second.media->mos = 3.5;
  second.media->jitter_ms = 9;
  const auto totals =
      ToJson(std::nullopt, {Talked(), second, Refused(486, "Busy")},
             kFailed)["totals"];
  EXPECT_EQ(totals["calls"], 3);
  EXPECT_EQ(totals["established"], 2);
  EXPECT_EQ(totals["sent"], 1224);
  EXPECT_EQ(totals["lost"], 12);
  EXPECT_EQ(totals["mos_min"], 3.5);
  EXPECT_EQ(totals["jitter_ms_max"], 9);
}

TEST(Json, IsWholeWhateverThePeerSays) {
  CallRecord call = Refused(486, "\xff\x1b[2Jbusy");
  EXPECT_EQ(ToJson(std::nullopt, {call}, kFailed)["calls"][0]["reason"].dump(),
            R"("\\xff\\x1b[2Jbusy")");
}

TEST(Text, IsATableOfTheCalls) {
  EXPECT_EQ(ToText(Registered(), {Talked(), Refused(486, "Busy Here")}),
            "registered at 192.0.2.10 for 60 s\n"
            "PEER                      RESULT         SECONDS  SENT  RECEIVED"
            "       LOST  JITTER ms  RTT ms   MOS  CODEC  DTMF\n"
            "to sip:bob@example.com    200 OK            12.2   612       600"
            "  6 (1.0 %)        0.5       -  4.25  PCMU   1#\n"
            "to sip:carol@example.com  486 Busy Here      0.0     0         0"
            "  0 (0.0 %)          -       -     -  -      -\n");
}

TEST(Text, SaysWhatBecameOfTheRegistration) {
  RegistrationRecord r = Registered();
  r.removed = true;
  EXPECT_EQ(ToText(r, {}), "registration at 192.0.2.10 removed\n");
  r = Registered();
  r.ok = false;
  r.error = absl::PermissionDeniedError("403 Forbidden");
  EXPECT_EQ(ToText(r, {}), "not registered at 192.0.2.10: 403 Forbidden\n");
  r.answered = false;
  EXPECT_EQ(ToText(r, {}), "not registered at 192.0.2.10: no answer yet\n");
}

TEST(LiveLine, IsOfTheOnlyCallOrTheSumOfAll) {
  EXPECT_EQ(LiveLine({}), "no call");
  EXPECT_EQ(LiveLine({Talked()}), "no call");
  CallRecord up = Talked();
  up.state = sip::Call::State::kEstablished;
  EXPECT_EQ(LiveLine({up}),
            "established, 12 s, MOS 4.25, lost 6 (1.0 %), jitter 0.5 ms, "
            "600 in, 612 out");
  up.held = true;
  EXPECT_EQ(LiveLine({up}).substr(0, 30), "established, held, 12 s, MOS 4");
  EXPECT_EQ(LiveLine({up, up}),
            "2 calls up, MOS 4.25, lost 12 (1.0 %), jitter 0.5 ms, "
            "1200 in, 1224 out");
}

}  // namespace
}  // namespace sluice::phone
