// CPUs that poll while a latency is measured: which, when, and what is said when they do not.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "bench/awake_cpus.hpp"
#include "bench/cell_runner.hpp"
#include "bench/streams.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

/// Threads of the process that want a CPU, by /proc.
std::vector<pid_t> running(pid_t pid) {
  std::vector<pid_t> threads;
  for (auto const& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
    std::ifstream stat(task.path() / "stat");
    std::string text;
    std::getline(stat, text);
    auto const state = text.rfind(')') + 2;
    if (state < text.size() && text[state] == 'R') threads.push_back(std::stoi(task.path().filename()));
  }
  return threads;
}

/// Waits, for as long as a machine may take that has other things to do.
std::size_t running_threads_become(pid_t pid, std::size_t wanted) {
  auto const patience = std::chrono::steady_clock::now() + 20s;
  std::size_t now = running(pid).size();
  while (now != wanted && std::chrono::steady_clock::now() < patience) {
    std::this_thread::sleep_for(1ms);
    now = running(pid).size();
  }
  return now;
}

TEST(AwakeCpus, PollAsManyAsAreAskedForAndOnlyThen) {
  int const cpu = usable_cpus().front();
  AwakeCpus cpus({cpu, cpu, cpu});
  EXPECT_EQ(running_threads_become(cpus.pid(), 0), 0u);
  {
    AwakeCpus::Polling const polling(cpus, 2);
    EXPECT_EQ(running_threads_become(cpus.pid(), 2), 2u);
  }
  EXPECT_EQ(running_threads_become(cpus.pid(), 0), 0u);
  {
    AwakeCpus::Polling const polling(cpus, 3);
    EXPECT_EQ(running_threads_become(cpus.pid(), 3), 3u);
  }
  EXPECT_GT(cpus.cpu_s(), 0);
  EXPECT_EQ(running_threads_become(cpus.pid(), 0), 0u);
}

TEST(AwakeCpus, YieldToWhateverElseWantsTheCpu) {
  std::vector<int> const all = usable_cpus();
  AwakeCpus cpus(all);
  AwakeCpus::Polling const polling(cpus, static_cast<int>(all.size()));
  EXPECT_EQ(running_threads_become(cpus.pid(), all.size()), all.size());
  for (pid_t const thread : running(cpus.pid())) EXPECT_EQ(::sched_getscheduler(thread), SCHED_IDLE);
}

class AwakeRunner : public testing::Test {
 protected:
  void SetUp() override {
    if (usable_cpus().size() < 2) GTEST_SKIP() << "the generator shares the only CPU";
  }
  static RunOptions options(std::vector<std::string> more, std::string const& workers = "1") {
    std::vector<std::string> arguments{"--model", "event_loop", "--workers", workers,        "--events",
                                       "200",     "--rounds",   "1",         "--no-progress"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return parse_run_options(arguments, all_models());
  }
  StopSignals stop_;
  Progress progress_{Progress::Style::off};
};

TEST_F(AwakeRunner, KeepsTheWorkersCpusAwakeWhereLatencyIsMeasuredIfAsked) {
  auto const awake = [&](std::vector<std::string> const& more, std::string const& workers = "1") {
    RunOptions const asked = options(more, workers);
    return CellRunner(asked, make_plan(asked), stop_, progress_).awake() != nullptr;
  };
  EXPECT_TRUE(awake({"--stream", "ingest", "--rate", "10k", "--idle", "poll"}));
  EXPECT_FALSE(awake({"--stream", "ingest", "--rate", "10k", "--idle", "halt"}));
  EXPECT_FALSE(awake({"--stream", "ingest", "--rate", "10k"})) << "not unasked";
  EXPECT_FALSE(awake({"--stream", "ingest", "--rate", "max", "--idle", "poll"}))
      << "they are busy by themselves";
  EXPECT_FALSE(awake({"--stream", "cpu", "--idle", "poll"}));
  EXPECT_FALSE(awake({"--stream", "ingest", "--rate", "10k", "--idle", "poll"}, "1000"))
      << "a generator that sleeps among the workers is late anyhow";
}

TEST_F(AwakeRunner, SaysSoWhereItCannot) {
  RunOptions const asked = options({"--stream", "ingest", "--rate", "10k", "--idle", "poll"}, "1000");
  CellRunner const runner(asked, make_plan(asked), stop_, progress_);
  ASSERT_FALSE(runner.notes().empty());
  EXPECT_NE(runner.notes()[0].find("CPUs halt in spite of --idle poll"), std::string::npos)
      << runner.notes()[0];
}

TEST_F(AwakeRunner, SaysSoWhenItCouldNot) {
  RunOptions const asked =
      options({"--stream", "ingest", "--rate", "10k", "--connections", "1", "--idle", "poll"});
  Plan plan = make_plan(asked);
  Cell& cell = plan.cells.at(0);
  cell.events = 200;
  CellRunner runner(asked, plan, stop_, progress_);
  Streams streams(asked, stop_, progress_);
  ASSERT_NE(runner.awake(), nullptr);
  EXPECT_EQ(runner.run(cell, streams.workload(cell), streams).sample.failure, "");
  EXPECT_TRUE(runner.notes().empty());
  EXPECT_EQ(running_threads_become(runner.awake()->pid(), 0), 0u) << "not beyond the sample";
  ::kill(runner.awake()->pid(), SIGKILL);
  for (int sample = 0; runner.notes().empty() && sample < 100; ++sample)
    EXPECT_EQ(runner.run(cell, streams.workload(cell), streams).sample.failure, "");
  ASSERT_EQ(runner.notes().size(), 1u);
  EXPECT_NE(runner.notes()[0].find("killed by signal 9"), std::string::npos) << runner.notes()[0];
  EXPECT_EQ(runner.awake(), nullptr);
}

}  // namespace
}  // namespace tally
