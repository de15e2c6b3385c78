#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "tools/phone/options.h"

namespace sluice::phone {
namespace {

Options Calling() {
  Options options;
  options.role = Role::kCall;
  options.whom = "bob";
  options.proxy = "192.0.2.1";
  options.from = "alice";
  return options;
}

// Of a plan that must not be made.
std::string Complaint(const Options& options) {
  const auto plan = MakePlan(options);
  EXPECT_TRUE(absl::IsInvalidArgument(plan.status())) << plan.status();
  return std::string(plan.status().message());
}

class TextFile {
 public:
  explicit TextFile(const std::string& text) {
    char name[] = "phone_options_test_XXXXXX";
    const int fd = mkstemp(name);
    path_ = name;
    EXPECT_EQ(write(fd, text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
    close(fd);
  }
  ~TextFile() { unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(ParsePorts, TakesTwoPortsInOrderAndNothingElse) {
  EXPECT_EQ(*ParsePorts("2000-12000"),
            (std::pair<uint16_t, uint16_t>(2000, 12000)));
  EXPECT_EQ(*ParsePorts("1024-65535"),
            (std::pair<uint16_t, uint16_t>(1024, 65535)));
  for (const char* text :
       {"", "-", "2000", "2000-", "-3000", "3000-2000", "2000-2000",
        "1000-2000", "2000-65536", "2000-3000-4000", "a-b"}) {
    EXPECT_FALSE(ParsePorts(text).ok()) << text;
  }
}

TEST(ParseCodecs, KeepsTheOrder) {
  using rtp::Codec;
  EXPECT_EQ(*ParseCodecs("pcmu,pcma"),
            (std::vector{Codec::kPcmu, Codec::kPcma}));
  EXPECT_EQ(*ParseCodecs("PCMA"), std::vector{Codec::kPcma});
  for (const char* text : {"", "opus", "pcmu,", "pcmu,pcmu"}) {
    EXPECT_FALSE(ParseCodecs(text).ok()) << text;
  }
}

TEST(UserOf, IsThePartBeforeTheDomain) {
  EXPECT_EQ(UserOf("me"), "me");
  EXPECT_EQ(UserOf("me@example.com"), "me");
  EXPECT_EQ(UserOf("sip:me@example.com"), "me");
  EXPECT_EQ(UserOf("SIPS:me@example.com"), "me");
  EXPECT_EQ(UserOf("\"Me <x>\" <sip:me@example.com>;tag=1"), "me");
  EXPECT_EQ(UserOf(""), "");
}

TEST(FileOfCall, HasANameForEachCall) {
  EXPECT_EQ(FileOfCall("", 3), "");
  EXPECT_EQ(FileOfCall("b.wav", 1), "b.wav");
  EXPECT_EQ(FileOfCall("b.wav", 2), "b-2.wav");
  EXPECT_EQ(FileOfCall("b{}.wav", 1), "b1.wav");
  EXPECT_EQ(FileOfCall("a.b/c", 2), "a.b/c-2");
  EXPECT_EQ(FileOfCall("a/.b", 2), "a/.b-2");
  EXPECT_EQ(FileOfCall(".b", 2), ".b-2");
}

TEST(ReadPassword, IsTheFirstLine) {
  const TextFile good("secret word\r\nmore\n"), empty("\nmore\n"),
      long_one(std::string(5000, 'x'));
  EXPECT_EQ(*ReadPassword(good.path()), "secret word");
  EXPECT_FALSE(ReadPassword(empty.path()).ok());
  EXPECT_FALSE(ReadPassword(long_one.path()).ok());
  EXPECT_FALSE(ReadPassword("there/is/none").ok());
}

TEST(MakePlan, GivesTheLibraryWhatWasTyped) {
  Options options = Calling();
  options.domain = "example.com";
  options.legs = {"udp:127.0.0.1:0,tcp:127.0.0.1:0", "udp:[::1]:0"};
  options.codecs = "pcma";
  options.ptime_ms = 30;
  options.ring_s = 2.5;
  options.delayed_offer = true;
  options.rtp_ports = "4000-5000";
  const auto plan = MakePlan(options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->agent.outgoing_proxy, "192.0.2.1");
  EXPECT_EQ(plan->agent.from, "alice");
  EXPECT_EQ(plan->agent.domain, "example.com");
  ASSERT_EQ(plan->agent.legs.size(), 2u);
  EXPECT_EQ(plan->agent.legs[0].listen,
            (std::vector<std::string>{"udp:127.0.0.1:0", "tcp:127.0.0.1:0"}));
  EXPECT_EQ(plan->agent.rtp_ports.second, 5000);
  EXPECT_EQ(plan->call.rtp_param.codecs, std::vector{rtp::Codec::kPcma});
  EXPECT_EQ(plan->call.rtp_param.ptime_ms, 30);
  EXPECT_EQ(plan->call.ring_time, Micros::Millis(2500));
  EXPECT_TRUE(plan->call.sdp_on_ack);
  EXPECT_TRUE(plan->call.auto_answer);
}

TEST(MakePlan, TakesThePasswordFromWhereNobodySeesIt) {
  const TextFile file("of the file\n");
  Options options = Calling();
  options.password_file = file.path();
  auto plan = MakePlan(options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_TRUE(plan->agent.auth.Find("any").has_value());
  EXPECT_EQ(plan->agent.auth.Find("any")->user, "alice");
  EXPECT_EQ(plan->agent.auth.Find("any")->password, "of the file");

  options.password = "another";
  EXPECT_EQ(Complaint(options), "--password and --password-file: one of them");

  options.password.clear();
  options.password_file.clear();
  setenv("SLUICEPHONE_PASSWORD", "of the environment", 1);
  options.auth_user = "alias";
  plan = MakePlan(options);
  unsetenv("SLUICEPHONE_PASSWORD");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->agent.auth.Find("any")->user, "alias");
  EXPECT_EQ(plan->agent.auth.Find("any")->password, "of the environment");
}

TEST(MakePlan, RegistersAtItsDomainByTheProxy) {
  Options options = Calling();
  options.role = Role::kRegister;
  const auto registrar = [&] { return MakePlan(options)->agent.registrar; };
  EXPECT_EQ(registrar(), "192.0.2.1");
  options.domain = "example.com";
  EXPECT_EQ(registrar(), "example.com");
  options.from = "\"Me\" <sip:me@example.net>";
  EXPECT_EQ(registrar(), "example.net");
  options.from = "sip:me@example.net;x=y";
  EXPECT_EQ(registrar(), "example.net");
  options.registrar = "192.0.2.9";
  EXPECT_EQ(registrar(), "192.0.2.9");
}

TEST(MakePlan, AnsweringPhonesDecideThemselvesWhenToAnswer) {
  Options options;
  options.role = Role::kAnswer;
  options.legs = {"udp:127.0.0.1:0"};
  options.ring_s = 3;
  const auto plan = MakePlan(options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_FALSE(plan->call.auto_answer);
  EXPECT_EQ(plan->call.ring_time, Micros());
}

TEST(MakePlan, FindsTheLegForACallWithoutAProxy) {
  Options options;
  options.role = Role::kCall;
  const auto leg = [&](const char* whom) {
    options.whom = whom;
    const auto plan = MakePlan(options);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return plan.ok() ? plan->agent.legs.at(0).listen.at(0) : "";
  };
  EXPECT_EQ(leg("sip:bob@127.0.0.1:5070"), "udp:127.0.0.1:0");
  EXPECT_EQ(leg("bob@127.0.0.1"), "udp:127.0.0.1:0");
  EXPECT_EQ(leg("\"B\" <sip:bob@127.0.0.1;transport=TCP>"), "tcp:127.0.0.1:0");
  options.whom = "bob@example.com";
  EXPECT_EQ(Complaint(options),
            "the way to \"bob@example.com\" is not known before its name is: "
            "--proxy, or --leg udp:ADDRESS:0");
}

TEST(MakePlan, NamesTheOptionThatIsWrong) {
  Options options = Calling();
  options.dtmf = "12x";
  EXPECT_EQ(Complaint(options), "--dtmf: \"12x\" is not made of 0-9 * # A-D");
  options = Calling();
  options.play = "a.wav";
  options.tone_hz = 440;
  EXPECT_EQ(Complaint(options), "--play and --tone: one of them");
  options = Calling();
  options.resume_after_s = 1;
  EXPECT_EQ(Complaint(options),
            "--resume-after counts from the hold: --hold-after, too");
  options = Calling();
  options.codecs = "opus";
  EXPECT_EQ(Complaint(options), "--codec: \"opus\" is neither pcmu nor pcma");
  options = Calling();
  options.legs = {","};
  EXPECT_EQ(Complaint(options), "--leg: \",\" is no address");
  options = Calling();
  options.tls_ca = "ca.pem";
  EXPECT_EQ(Complaint(options),
            "--tls-*: name the leg it is for, --leg tls:ADDRESS:PORT");
  options = Calling();
  options.from.clear();
  options.password = "x";
  EXPECT_EQ(Complaint(options),
            "a password needs a user: --user, or --auth-user");
  options.password.clear();
  options.do_register = true;
  EXPECT_EQ(Complaint(options), "to register takes --user");
  options.proxy.clear();
  EXPECT_EQ(Complaint(options), "to register takes --registrar, or --proxy");
  options = Options{};
  options.role = Role::kEcho;
  EXPECT_EQ(Complaint(options), "where to be called: --leg udp:ADDRESS:PORT");
  options.legs = {"udp:127.0.0.1:0"};
  options.tone_hz = 440;
  EXPECT_EQ(Complaint(options),
            "echo sends back what it hears: no --play, no --tone (see answer)");
}

}  // namespace
}  // namespace sluice::phone
