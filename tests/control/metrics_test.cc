#include "control/metrics.h"

#include <gtest/gtest.h>

#include <cctype>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "control/manager_counters.h"
#include "tests/fakes/fake_operator.h"

namespace sluice::control {
namespace {

// A strict reader of the Prometheus text format: every line is HELP, TYPE or a
// sample; HELP and TYPE come once, before the samples of their family; samples
// of a family stand together; no series twice.
class Exposition {
 public:
  explicit Exposition(const std::string& text) {
    if (text.empty() || text.back() != '\n') Fail("no newline at the end");
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) Read(line);
  }

  const std::vector<std::string>& errors() const { return errors_; }
  bool Has(const std::string& series) const { return values_.count(series); }
  double Value(const std::string& series) const {
    const auto at = values_.find(series);
    return at == values_.end() ? -1 : at->second;
  }
  std::string Type(const std::string& family) const {
    const auto at = types_.find(family);
    return at == types_.end() ? "" : at->second;
  }
  std::string Help(const std::string& family) const {
    const auto at = help_.find(family);
    return at == help_.end() ? "" : at->second;
  }
  const std::map<std::string, double>& values() const { return values_; }

 private:
  void Fail(const std::string& what) { errors_.push_back(what); }

  static size_t NameLength(const std::string& s, size_t at) {
    size_t n = 0;
    while (at + n < s.size() &&
           (std::isalpha(static_cast<unsigned char>(s[at + n])) ||
            s[at + n] == '_' ||
            (n > 0 && std::isdigit(static_cast<unsigned char>(s[at + n]))))) {
      ++n;
    }
    return n;
  }

  void Read(const std::string& line) {
    if (line.rfind("# HELP ", 0) == 0) return ReadComment(line, &help_);
    if (line.rfind("# TYPE ", 0) == 0) return ReadComment(line, &types_);
    ReadSample(line);
  }

  void ReadComment(const std::string& line,
                   std::map<std::string, std::string>* into) {
    const size_t n = NameLength(line, 7);
    if (n == 0 || line.size() < 7 + n + 2 || line[7 + n] != ' ') {
      return Fail("bad comment: " + line);
    }
    const std::string name = line.substr(7, n);
    if (finished_.count(name) || name == family_) {
      Fail("comment after samples: " + line);
    }
    if (!into->emplace(name, line.substr(7 + n + 1)).second) {
      Fail("twice: " + line);
    }
  }

  void ReadSample(const std::string& line) {
    size_t at = NameLength(line, 0);
    const std::string name = line.substr(0, at);
    if (name.empty()) return Fail("no name: " + line);
    if (name != family_) {
      if (!finished_.insert(family_).second) Fail("family torn: " + family_);
      if (finished_.count(name)) Fail("family torn: " + name);
      family_ = name;
    }
    if (!types_.count(name)) Fail("no TYPE: " + name);
    if (!help_.count(name)) Fail("no HELP: " + name);
    if (at < line.size() && line[at] == '{') {
      do {
        ++at;
        const size_t n = NameLength(line, at);
        at += n;
        if (n == 0 || line.compare(at, 2, "=\"") != 0) {
          return Fail("bad label: " + line);
        }
        at += 2;
        while (at < line.size() && line[at] != '"') {
          at += line[at] == '\\' ? 2 : 1;
        }
        ++at;
      } while (at < line.size() && line[at] == ',');
      if (at >= line.size() || line[at] != '}') {
        return Fail("open labels: " + line);
      }
      ++at;
    }
    if (at >= line.size() || line[at] != ' ') return Fail("no value: " + line);
    char* end = nullptr;
    const double value = std::strtod(line.c_str() + at + 1, &end);
    if (end != line.c_str() + line.size()) return Fail("bad value: " + line);
    if (!values_.emplace(line.substr(0, at), value).second) {
      Fail("series twice: " + line);
    }
  }

  std::vector<std::string> errors_;
  std::map<std::string, std::string> help_, types_;
  std::map<std::string, double> values_;
  std::set<std::string> finished_;
  std::string family_;
};

Exposition Render(FakeOperator& fake) {
  return Exposition(
      RenderMetrics(fake, fake.Status(), fake.SipNumbers(), 1234.5));
}

TEST(Exposition, CanRefuse) {
  for (const std::string text :
       {"x 1\n", "# TYPE x counter\n# HELP x h\nx{a=\"1} 1\n", "nonsense\n",
        "# TYPE x counter\n# HELP x h\nx 1\nx 1\n",
        "# TYPE x counter\n# HELP x h\nx 1", "# TYPE x counter\nx 1\n"}) {
    EXPECT_FALSE(Exposition(text).errors().empty()) << text;
  }
}

TEST(Metrics, ReadByTheLetter) {
  FakeOperator fake(3);
  EXPECT_EQ(Render(fake).errors(), std::vector<std::string>());
}

TEST(Metrics, HaveEveryLineOfCountersDefForEveryShard) {
  FakeOperator fake(2);
  const Exposition page = Render(fake);
#define COUNTER(name, help)                                              \
  EXPECT_TRUE(page.Has("sluice_" #name "_total{shard=\"0\"}")) << #name; \
  EXPECT_TRUE(page.Has("sluice_" #name "_total{shard=\"1\"}")) << #name; \
  EXPECT_EQ(page.Type("sluice_" #name "_total"), "counter");             \
  EXPECT_EQ(page.Help("sluice_" #name "_total"), help);
#define DROP(name, help)                                                \
  EXPECT_TRUE(                                                          \
      page.Has("sluice_drops_total{shard=\"1\",reason=\"" #name "\"}")) \
      << #name;
#include "relay/counters.def"
#undef COUNTER
#undef DROP
}

TEST(Metrics, HaveEveryLineOfManagerDef) {
  FakeOperator fake;
  const Exposition page = Render(fake);
#define OUTCOME(name, help)                                         \
  EXPECT_TRUE(page.Has("sluice_manager_" #name "_total")) << #name; \
  EXPECT_EQ(page.Help("sluice_manager_" #name "_total"), help);
#include "control/manager.def"
#undef OUTCOME
}

TEST(Metrics, SayTheNumbersExactly) {
  FakeOperator fake(2);
  fake.mutable_counters(1).packets_in.Set(4'000'000'123'456);
  fake.mutable_counters(0).Drop(relay::DropReason::k_wrong_source);
  fake.status.manager.calls = 12;
  fake.status.manager.draining = true;
  const Exposition page = Render(fake);
  EXPECT_EQ(page.Value("sluice_packets_in_total{shard=\"1\"}"),
            4'000'000'123'456.0);
  EXPECT_EQ(
      page.Value("sluice_drops_total{shard=\"0\",reason=\"wrong_source\"}"), 1);
  EXPECT_EQ(page.Value("sluice_calls"), 12);
  EXPECT_EQ(page.Value("sluice_draining"), 1);
  EXPECT_EQ(page.Value("sluice_control_up"), 1);
  EXPECT_EQ(page.Value("sluice_ready"), 1);
  EXPECT_EQ(page.Value("sluice_ports{interface=\"default\",state=\"free\"}"),
            49990);
  EXPECT_EQ(page.Value("sluice_build_info{version=\"0.1.0\",engine=\"epoll\"}"),
            1);
  EXPECT_EQ(page.Value("process_start_time_seconds"), 1234.5);
  EXPECT_EQ(page.Value("sluice_rpc_accepted_total"), 3);
}

TEST(Metrics, TellWhatGoesPastTheSockets) {
  FakeOperator fake(1);
  EXPECT_FALSE(Render(fake).Has("sluice_xdp_packets_total"));
  fake.status.fast_path = {
      {.name = "verdict_send_redirect", .help = "Out", .value = 7},
      {.name = "verdict_pass_rtcp", .help = "Up", .value = 2},
      {.name = "offload_joined", .help = "Joined", .value = 3},
      {.name = "offload_in_force", .help = "Now", .value = 1, .is_gauge = true},
  };
  fake.status.session_file = {
      {.name = "session_file_errors", .help = "Failed", .value = 5}};
  const Exposition page = Render(fake);
  EXPECT_EQ(page.Value("sluice_session_file_errors_total"), 5);
  EXPECT_EQ(page.Value("sluice_xdp_packets_total{verdict=\"send_redirect\"}"),
            7);
  EXPECT_EQ(page.Value("sluice_xdp_packets_total{verdict=\"pass_rtcp\"}"), 2);
  EXPECT_EQ(page.Value("sluice_offload_joined_total"), 3);
  EXPECT_EQ(page.Value("sluice_offload_in_force"), 1);
}

TEST(Metrics, KeepTheShardsWhenTheControlThreadDoesNotAnswer) {
  FakeOperator fake(1);
  fake.fail = absl::DeadlineExceededError("stuck");
  const Exposition page = Render(fake);
  EXPECT_EQ(page.errors(), std::vector<std::string>());
  EXPECT_EQ(page.Value("sluice_control_up"), 0);
  EXPECT_TRUE(page.Has("sluice_packets_in_total{shard=\"0\"}"));
  EXPECT_FALSE(page.Has("sluice_calls"));
}

TEST(Metrics, KeepAFamilyOfTheSipSideTogether) {
  FakeOperator fake;
  // As they come: leg by leg, and one more of a family that has been.
  fake.sip_numbers = {
      {"sip_requests_in", "Requests received", {}, 5},
      {"sip_transport_closed", "Of a leg", {{"leg", "a"}}, 1},
      {"sip_transport_opened", "Of a leg", {{"leg", "a"}}, 2},
      {"sip_transport_closed", "Of a leg, again", {{"leg", "b"}}, 3},
      {"sip_drops", "Dropped", {{"reason", "forged"}, {"leg", "a"}}, 4}};
  const Exposition page = Render(fake);
  EXPECT_EQ(page.errors(), std::vector<std::string>());
  EXPECT_EQ(page.Value("sluice_sip_requests_in_total"), 5);
  EXPECT_EQ(page.Value("sluice_sip_transport_closed_total{leg=\"a\"}"), 1);
  EXPECT_EQ(page.Value("sluice_sip_transport_closed_total{leg=\"b\"}"), 3);
  EXPECT_EQ(page.Value("sluice_sip_transport_opened_total{leg=\"a\"}"), 2);
  EXPECT_EQ(page.Value("sluice_sip_drops_total{reason=\"forged\",leg=\"a\"}"),
            4);
  EXPECT_EQ(page.Type("sluice_sip_drops_total"), "counter");
  EXPECT_EQ(page.Help("sluice_sip_transport_closed_total"), "Of a leg");
}

TEST(Metrics, EscapeNamesAndLabelsOfTheSipSide) {
  FakeOperator fake;
  fake.sip_numbers = {{"sip_odd name!", "Odd", {{"a b", "q\"b\\n\nx"}}, 1}};
  const Exposition page = Render(fake);
  EXPECT_EQ(page.errors(), std::vector<std::string>());
  EXPECT_EQ(page.Value("sluice_sip_odd_name__total{a_b=\"q\\\"b\\\\n\\nx\"}"),
            1);
}

TEST(Metrics, LeaveTheSipSideOutWhenItIsOff) {
  FakeOperator fake;
  const auto page = Render(fake);
  for (const auto& [series, value] : page.values()) {
    EXPECT_EQ(series.find("sluice_sip_"), std::string::npos) << series;
  }
}

// Calls come and go; the page must not grow with them.
TEST(Metrics, HaveNoSeriesPerCall) {
  FakeOperator fake;
  const size_t before = Render(fake).values().size();
  for (int i = 0; i < 100; ++i) {
    fake.calls.emplace_back();
    fake.calls.back().call_id = std::to_string(i);
  }
  fake.status.manager.calls = 100;
  EXPECT_EQ(Render(fake).values().size(), before);
}

TEST(Metrics, EscapeNamesThatTheOperatorChose) {
  FakeOperator fake;
  fake.status.interfaces[0].name = "in\"side\\\n";
  fake.status.rpc_counters.emplace_back("odd name!", 5);
  const Exposition page = Render(fake);
  EXPECT_EQ(page.errors(), std::vector<std::string>());
  EXPECT_EQ(page.Value("sluice_rpc_odd_name__total"), 5);
}

}  // namespace
}  // namespace sluice::control
