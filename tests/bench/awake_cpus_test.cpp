// CPUs that poll while a sample is taken: how, when, and what is said when they do not.
#include "bench/machine/awake_cpus.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bench/cli/options.hpp"
#include "bench/machine/system_limits.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/sampling/cell_runner.hpp"
#include "bench/sampling/streams.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

constexpr char kNowhere[] = "/nowhere/cpu_dma_latency";

/// What was last written to a file that stands for the kernel's limit, in microseconds.
std::int32_t limit_in(std::filesystem::path const& path) {
  std::ifstream file(path, std::ios::binary);
  std::int32_t us = -1;
  file.read(reinterpret_cast<char*>(&us), sizeof us);
  return us;
}

/// A file that stands for it.
struct Limit {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("tally_cpu_dma_latency_" + std::to_string(::getpid()));
  Limit() { std::ofstream(path).close(); }
  ~Limit() { std::filesystem::remove(path); }
};

/// A model that sees what the limit is while it is measured.
struct LooksAtLimit {
  static inline std::filesystem::path path;
  static inline std::int32_t* seen = nullptr;
  static Counts run(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
    *seen = limit_in(path);
    return all_models().front().cpu(stream, setup, watch);
  }
};

/// Threads of the process that want a CPU, by /proc; those scheduled by `policy`, or all.
std::vector<pid_t> running(pid_t pid, std::optional<int> policy = {}) {
  std::vector<pid_t> threads;
  for (auto const& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
    std::ifstream stat(task.path() / "stat");
    std::string text;
    std::getline(stat, text);
    auto const state = text.rfind(')') + 2;
    pid_t const thread = std::stoi(task.path().filename());
    if (state < text.size() && text[state] == 'R' &&
        policy.value_or(sched_getscheduler(thread)) == sched_getscheduler(thread))
      threads.push_back(thread);
  }
  return threads;
}

/// Waits, for as long as a machine may take that has other things to do.
std::size_t running_threads_become(pid_t pid, std::size_t wanted, std::optional<int> policy = {}) {
  auto const patience = std::chrono::steady_clock::now() + 20s;
  std::size_t now = running(pid, policy).size();
  while (now != wanted && std::chrono::steady_clock::now() < patience) {
    std::this_thread::sleep_for(1ms);
    now = running(pid, policy).size();
  }
  return now;
}

TEST(AwakeCpus, PollByTheKernelsLimitWhereItMayBeWritten) {
  Limit const file;
  auto const& limit = file.path;
  AwakeCpus cpus(usable_cpus(), limit);
  EXPECT_EQ(cpus.pid(), -1) << "nothing spins";
  EXPECT_NE(cpus.how().find(limit.string()), std::string::npos) << cpus.how();
  EXPECT_EQ(limit_in(limit), -1) << "not before it is asked to";
  {
    AwakeCpus::Polling const polling(cpus, 1);
    EXPECT_EQ(limit_in(limit), 0);
  }
  EXPECT_EQ(limit_in(limit), 2'000'000'000) << "no limit, in the kernel's words";
  EXPECT_EQ(cpus.failure(), std::nullopt);
}

TEST(AwakeCpus, SayWhatTheKernelSaysWhereItTakesNoLimit) {
  AwakeCpus cpus(usable_cpus(), "/dev/full");
  AwakeCpus::Polling const polling(cpus, 1);
  EXPECT_EQ(cpus.failure(), std::optional<std::string>("No space left on device"));
}

TEST(AwakeCpus, KeepTheKernelsCpusFromHalting) {
  std::filesystem::path const polls = "/sys/devices/system/cpu/cpu0/cpuidle/state0";
  AwakeCpus cpus(usable_cpus());
  std::ifstream name(polls / "name");
  std::string state;
  std::getline(name, state);
  if (cpus.pid() != -1 || !state.starts_with("POLL"))
    GTEST_SKIP() << "the kernel's limit cannot be written, or its idle states not be read";
  auto const times_entered = [&] {
    std::ifstream usage(polls / "usage");
    std::uint64_t times = 0;
    usage >> times;
    return times;
  };
  AwakeCpus::Polling const polling(cpus, 1);
  auto const before = times_entered();
  auto const patience = std::chrono::steady_clock::now() + 20s;
  while (times_entered() == before && std::chrono::steady_clock::now() < patience)
    std::this_thread::sleep_for(1ms);
  EXPECT_GT(times_entered(), before);
}

TEST(AwakeCpus, SpinOnAsManyAsAreAskedForAndOnlyThen) {
  int const cpu = usable_cpus().front();
  AwakeCpus cpus({cpu, cpu, cpu}, kNowhere);
  EXPECT_NE(cpus.how().find("No such file"), std::string::npos) << cpus.how();
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
  EXPECT_EQ(running_threads_become(cpus.pid(), 0), 0u);
}

TEST(AwakeCpus, YieldToWhateverElseWantsTheCpu) {
  std::vector<int> const all = usable_cpus();
  AwakeCpus cpus(all, kNowhere);
  AwakeCpus::Polling const polling(cpus, static_cast<int>(all.size()));
  // Its process begins as any other does: only those that run now count, once it has begun.
  EXPECT_EQ(running_threads_become(cpus.pid(), all.size(), SCHED_IDLE), all.size());
  EXPECT_EQ(running_threads_become(cpus.pid(), all.size()), all.size()) << "and no thread but these runs";
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

TEST_F(AwakeRunner, KeepsCpusAwakeIfAskedAndSaysHow) {
  for (std::string const stream : {"cpu", "lookup", "ingest"}) {
    RunOptions const asked = options({"--stream", stream, "--idle", "poll"});
    CellRunner const runner(asked, make_plan(asked), stop_, progress_);
    ASSERT_NE(runner.awake(), nullptr) << stream;
    EXPECT_EQ(runner.notes(), std::vector<std::string>{runner.awake()->how()}) << stream;
    for (std::vector<std::string> const& more : {std::vector<std::string>{}, {"--idle", "halt"}}) {
      std::vector<std::string> arguments{"--stream", stream};
      arguments.insert(arguments.end(), more.begin(), more.end());
      RunOptions const unasked = options(arguments);
      EXPECT_EQ(CellRunner(unasked, make_plan(unasked), stop_, progress_).awake(), nullptr) << stream;
    }
  }
}

TEST_F(AwakeRunner, KeepsCpusAwakeForAsLongAsASampleTakes) {
  Limit const file;
  auto const& limit = file.path;
  SharedObject<std::int32_t> seen("what a sample sees");
  LooksAtLimit::path = limit;
  LooksAtLimit::seen = seen.get();
  Model const model{
      .name = "looks", .summary = "looks at the limit", .cpu = LooksAtLimit::run, .sequential = true};
  RunOptions const asked =
      parse_run_options({"--model", "looks", "--stream", "cpu", "--workers", "1", "--grain", "0", "--events",
                         "1k", "--rounds", "1", "--idle", "poll"},
                        {&model, 1});
  Plan plan = make_plan(asked);
  Cell& cell = plan.cells.at(0);
  cell.events = 1000;
  CellRunner runner(asked, plan, stop_, progress_, limit);
  Streams streams(asked, stop_, progress_);
  EXPECT_EQ(runner.run(cell, streams.workload(cell), streams).sample.failure, "");
  EXPECT_EQ(*seen, 0);
  EXPECT_EQ(limit_in(limit), 2'000'000'000) << "and not beyond it";
}

TEST_F(AwakeRunner, SaysSoWhenItCouldNot) {
  RunOptions const asked =
      options({"--stream", "ingest", "--rate", "10k", "--connections", "1", "--idle", "poll"});
  Plan plan = make_plan(asked);
  Cell& cell = plan.cells.at(0);
  cell.events = 200;
  CellRunner runner(asked, plan, stop_, progress_, kNowhere);
  Streams streams(asked, stop_, progress_);
  ASSERT_NE(runner.awake(), nullptr);
  EXPECT_EQ(runner.run(cell, streams.workload(cell), streams).sample.failure, "");
  ASSERT_EQ(runner.notes().size(), 1u) << "how they are kept awake";
  EXPECT_EQ(running_threads_become(runner.awake()->pid(), 0), 0u) << "not beyond the sample";
  ::kill(runner.awake()->pid(), SIGKILL);
  for (int sample = 0; runner.notes().size() == 1 && sample < 100; ++sample)
    EXPECT_EQ(runner.run(cell, streams.workload(cell), streams).sample.failure, "");
  ASSERT_EQ(runner.notes().size(), 2u);
  EXPECT_NE(runner.notes()[1].find("killed by signal 9"), std::string::npos) << runner.notes()[1];
  EXPECT_EQ(runner.awake(), nullptr);
}

}  // namespace
}  // namespace tally
