// Goal: an operator's question is answered on the control thread or refused in
// time, whatever state that thread is in, and the daemon's states follow from
// signals, drains and reloads as control_thread.h draws them.
// Method: the real thread with one epoll shard and no listeners; nothing is
// waited for but answers and the end of Run.

#include "control/control_thread.h"

#include <signal.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "control/manager_options.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::control {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Config SmallConfig() {
  Config config = DefaultConfig();
  config.relay.shards = 1;
  config.relay.engine = relay::EngineKind::kEpoll;
  config.relay.ports = PortRange(20000, 20099);
  config.nathelper.listen.clear();
  return config;
}

class ControlThreadTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { ControlThread::BlockSignals(); }

  void Make(ControlThread::Options options) {
    auto pool = relay::ShardPool::Start(ShardOptions(options.config, 1024));
    ASSERT_TRUE(pool.ok()) << pool.status();
    pool_ = *std::move(pool);
    control_.emplace(std::move(options), *pool_, notifier_);
    ASSERT_TRUE(control_->Listen().ok());
  }
  void Start() {
    control_->SetReady();
    thread_ = std::thread([this] { control_->Run(); });
  }
  void Stop() {
    if (!thread_.joinable()) return;
    kill(getpid(), SIGTERM);
    thread_.join();
  }
  void TearDown() override {
    Stop();
    control_.reset();
    pool_.reset();
  }
  ControlThread& control() { return *control_; }

 private:
  const Notifier notifier_{""};
  std::unique_ptr<relay::ShardPool> pool_;
  std::optional<ControlThread> control_;
  std::thread thread_;
};

TEST_F(ControlThreadTest, AnswersWhatTheDaemonIs) {
  Make({.config = SmallConfig()});
  control().AddListener("http", "127.0.0.1:9080");
  Start();
  const auto status = control().Status();
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->version, SLUICE_VERSION);
  EXPECT_EQ(status->pid, getpid());
  EXPECT_EQ(status->engine, "epoll");
  EXPECT_EQ(status->engine_reason, "asked for by name");
  ASSERT_EQ(status->shards.size(), 1u);
  EXPECT_EQ(status->shards[0].sockets, 0u);
  EXPECT_GT(status->shards[0].sockets_max, 0u);
  ASSERT_EQ(status->listeners.size(), 1u);
  EXPECT_EQ(status->listeners[0].kind, "http");
  ASSERT_EQ(status->interfaces.size(), 1u);
  EXPECT_EQ(status->interfaces[0].name, "default");
  EXPECT_EQ(status->interfaces[0].advertise, "");
  EXPECT_EQ(status->interfaces[0].latch, "sdp-first");
  EXPECT_EQ(status->interfaces[0].ports_total, 100u);
  EXPECT_EQ(control().shards(), 1u);
}

TEST_F(ControlThreadTest, KnowsNoCallThatIsNotThere) {
  Make({.config = SmallConfig()});
  Start();
  const auto page = control().Calls(0, 10);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->total, 0u);
  EXPECT_EQ(control().Call("x").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(control().Close("x").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ControlThreadTest, GivesUpOnAThreadThatDoesNotAnswer) {
  Make({.config = SmallConfig(), .answer_deadline = Micros(1)});
  EXPECT_EQ(control().Status().status().code(),
            absl::StatusCode::kDeadlineExceeded);
  // The answer comes after all, to nobody.
  Start();
  Stop();
}

TEST_F(ControlThreadTest, RefusesMoreQuestionsThanTheQueueHolds) {
  Make({.config = SmallConfig(), .answer_deadline = Micros(1)});
  for (size_t i = 0; i < net::EventLoop::kPostedMax; ++i) {
    ASSERT_EQ(control().Drain(true).code(),
              absl::StatusCode::kDeadlineExceeded);
  }
  EXPECT_EQ(control().Drain(true).code(), absl::StatusCode::kUnavailable);
}

TEST_F(ControlThreadTest, SaysThatItHasStopped) {
  Make({.config = SmallConfig()});
  Start();
  EXPECT_TRUE(control().ready());
  Stop();
  EXPECT_FALSE(control().ready());
  EXPECT_EQ(control().Status().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ControlThreadTest, IsReadyWhenToldAndNotWhileDraining) {
  Make({.config = SmallConfig()});
  EXPECT_FALSE(control().ready());
  Start();
  EXPECT_TRUE(control().ready());
  EXPECT_TRUE(control().Drain(true).ok());
  EXPECT_FALSE(control().ready());
  EXPECT_TRUE(control().Status()->manager.draining);
  EXPECT_TRUE(control().Drain(true).ok());  // again is not an error
  EXPECT_TRUE(control().Drain(false).ok());
  EXPECT_TRUE(control().ready());
  EXPECT_FALSE(control().Status()->manager.draining);
}

TEST_F(ControlThreadTest, HasNothingToReloadWithoutAFile) {
  Make({.config = SmallConfig()});
  Start();
  EXPECT_EQ(control().Reload().status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(ControlThreadTest, ReloadsWhatItMayAndTellsTheRest) {
  Config wanted = SmallConfig();
  Make({.config = SmallConfig(), .read_config = [&] { return wanted; }});
  Start();
  EXPECT_EQ(*control().Reload(), "nothing has changed\n");

  wanted.interfaces[0].latch = relay::LatchPolicy::kStrict;
  wanted.relay.active_timeout_s = 7;
  wanted.relay.ports = PortRange(20000, 20199);
  const auto report = control().Reload();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(*report,
            "applied:\n"
            "  relay.active_timeout_s: 30 -> 7\n"
            "  relay.interface.default.latch: \"sdp-first\" -> \"strict\"\n"
            "waiting for a restart:\n"
            "  relay.ports: [20000, 20099] -> [20000, 20199]\n");
  EXPECT_EQ(control().Status()->interfaces[0].latch, "strict");
  EXPECT_EQ(control().Status()->interfaces[0].ports_total, 100u);

  // What waits is told each time, what is applied only once.
  EXPECT_THAT(*control().Reload(),
              AllOf(Not(HasSubstr("applied")), HasSubstr("relay.ports")));
}

TEST_F(ControlThreadTest, KeepsTheOldConfigurationWhenTheNewOneIsBad) {
  absl::StatusOr<Config> wanted = ParseConfig("[relay]\nlatch = 1\n", "f.toml");
  Make({.config = SmallConfig(), .read_config = [&] { return wanted; }});
  Start();
  const auto report = control().Reload();
  EXPECT_EQ(report.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(report.status().message()),
              HasSubstr("f.toml:2: relay.latch"));
  EXPECT_EQ(control().Status()->interfaces[0].latch, "sdp-first");
}

}  // namespace
}  // namespace sluice::control
