#include "bench/machine/doctor.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "bench/machine/reference_figures.hpp"
#include "bench/machine/reference_work.hpp"
#include "bench/machine/system_limits.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;
using Verdict = Finding::Verdict;

std::vector<ReferenceSample> times(std::vector<int> const& ms) {
  std::vector<ReferenceSample> samples;
  for (int const t : ms) samples.push_back({.elapsed = t * 1ms});
  return samples;
}

Examination quiet() {
  Examination e;
  e.reference = times({100, 100, 101, 100, 99, 100});
  e.cpus = 2;
  e.governor = "performance";
  e.virtualisation = "none seen";
  e.huge_pages = "always [madvise] never";
  return e;
}

Finding const& of(std::vector<Finding> const& findings, std::string_view what) {
  return *std::find_if(findings.begin(), findings.end(), [&](Finding const& f) { return f.what == what; });
}

TEST(NoiseFloor, IsTheIntervalOfTheMedianOfTheTimes) {
  EXPECT_FALSE(noise_floor({}));
  auto const floor = noise_floor(times({90, 100, 110, 100, 100, 100, 100}));
  ASSERT_TRUE(floor);
  EXPECT_DOUBLE_EQ(floor->median, 0.1);
  EXPECT_EQ(floor->n, 7);
  EXPECT_DOUBLE_EQ(spread(times({90, 100, 110, 100, 100, 100, 100})), 0.2);
  EXPECT_EQ(spread({}), 0);
}

// 101 times, 0 to 100 ms: the quantile at p is 100 p ms. Of 10 rounds the 2nd and the 9th enclose the median.
TEST(NoiseFloor, AfterSomeRoundsIsThatOfOrderStatistics) {
  std::vector<int> all;
  for (int t = 0; t <= 100; ++t) all.push_back(t);
  EXPECT_NEAR(floor_after(times(all), 10), (85.0 - 50) / 50, 1e-9);
  EXPECT_GT(floor_after(times(all), 10), floor_after(times(all), 40)) << "more rounds, a lower floor";
  EXPECT_EQ(floor_after(times({50, 50, 50}), 10), 0);
}

TEST(Doctor, FindsNothingOnAQuietMachine) {
  for (Finding const& f : diagnose(quiet(), 0.03, 10)) {
    EXPECT_EQ(f.verdict, Verdict::good) << f.what << ": " << f.found;
    EXPECT_EQ(f.remedy, "");
  }
}

TEST(Doctor, CallsAMachineUnfitThatDiffersByMoreThanTheIntervalWanted) {
  auto e = quiet();
  e.reference = times({90, 95, 100, 105, 110, 92, 108, 100});
  EXPECT_EQ(of(diagnose(e, 0.03, 10), "noise floor").verdict, Verdict::unfit);
  EXPECT_NE(of(diagnose(e, 0.03, 10), "noise floor").remedy, "");
  EXPECT_EQ(of(diagnose(e, 0.20, 10), "noise floor").verdict, Verdict::good);
}

TEST(Doctor, CallsAMachineUnfitWhoseMemoryIsReadFasterAndSlower) {
  auto e = quiet();
  double speed = 10e9;
  for (ReferenceSample& sample : e.reference) sample.read_bytes_per_s = (speed += 1e9);
  auto const found = of(diagnose(e, 0.03, 10), "memory");
  EXPECT_EQ(found.verdict, Verdict::unfit) << found.found;
  EXPECT_NE(found.remedy, "");
  for (ReferenceSample& sample : e.reference) sample.read_bytes_per_s = 10e9;
  EXPECT_EQ(of(diagnose(e, 0.03, 10), "memory").verdict, Verdict::good);
}

TEST(Doctor, NamesWhatElseRuns) {
  auto e = quiet();
  e.busy_share = 0.4;
  e.others = {{.pid = 17, .name = "indexer", .cpus = 0.8}};
  auto const found = of(diagnose(e, 0.03, 10), "other work");
  EXPECT_EQ(found.verdict, Verdict::unfit);
  EXPECT_NE(found.found.find("indexer (17) 80.0%"), std::string::npos) << found.found;
}

TEST(Doctor, CallsAMachineUnfitWhoseTimeIsStolen) {
  auto e = quiet();
  e.steal_share = 0.02;
  EXPECT_EQ(of(diagnose(e, 0.03, 10), "steal").verdict, Verdict::unfit);
}

TEST(Doctor, NotesThatTheMachineWasAtWorkAndThatOthersWereLetOntoTheCpus) {
  auto e = quiet();
  e.load = {1.5, 0.5, 0.1};
  for (auto& sample : e.reference) sample.ctx_involuntary = 7;
  auto const findings = diagnose(e, 0.03, 10);
  EXPECT_EQ(of(findings, "load").verdict, Verdict::note);
  EXPECT_NE(of(findings, "load").found.find("1.50, 0.50, 0.10"), std::string::npos);
  EXPECT_EQ(of(findings, "switches").verdict, Verdict::note);
  EXPECT_NE(of(findings, "switches").found.find("7 times"), std::string::npos);
  e.cpus = 16;
  EXPECT_EQ(of(diagnose(e, 0.03, 10), "load").verdict, Verdict::good) << "of 16 CPUs that is little";
  EXPECT_EQ(of(diagnose(e, 0.03, 10), "switches").verdict, Verdict::good);
}

// Of 1 s, 100 ms in stalls of 10 ms: what is due is more than x ms late for 10 (10 - x) ms of it.
TEST(Stalls, MakeLateWhatIsDueInThem) {
  Stalls stalls{.looked = 1s, .gaps = std::vector<std::chrono::nanoseconds>(10, 10ms)};
  EXPECT_EQ(stalls.lateness(0.99), 9ms);
  EXPECT_EQ(stalls.lateness(0.95), 5ms);
  EXPECT_EQ(stalls.lateness(0.90), 0ms) << "nine of ten moments are in no stall";
  EXPECT_EQ(stalls.longest(), 10ms);
  EXPECT_EQ(Stalls{}.lateness(0.99), 0ms);
  EXPECT_EQ(Stalls{}.longest(), 0ms);
}

// More than x late, for x from 2 to 20 ms: 20 - x ms of 1 s. Below 2 ms the short ones count too.
TEST(Stalls, OfDifferentLengthsAddUp) {
  Stalls const stalls{.looked = 1s, .gaps = {2ms, 20ms, 2ms}};
  EXPECT_EQ(stalls.lateness(0.99), 10ms);
  EXPECT_EQ(stalls.lateness(0.979), 1ms) << "19 + 1 + 1 of 1000 ms";
}

TEST(Stalls, AreLookedForOnEveryCpuAndASignalEndsIt) {
  StopSignals const stop;
  auto const cpus = usable_cpus();
  Stalls const seen = look_for_stalls(cpus, 20ms, stop);
  EXPECT_GE(seen.looked, 20ms * cpus.size());
  EXPECT_LE(seen.lateness(0.5), seen.longest());
  std::raise(SIGTERM);
  EXPECT_LT(look_for_stalls(cpus, 1h, stop).looked, 1h);
}

TEST(WakeUps, HaveQuantilesThatAreOneOfThem) {
  EXPECT_EQ(WakeUps{}.quantile(0.5), 0ns);
  WakeUps wake_ups;
  for (int us = 100; us >= 1; --us) wake_ups.took.push_back(us * 1us);
  EXPECT_EQ(wake_ups.quantile(0), 1us);
  EXPECT_EQ(wake_ups.quantile(0.5), 50us);
  EXPECT_EQ(wake_ups.quantile(0.99), 99us);
  EXPECT_EQ(wake_ups.quantile(1), 100us);
}

TEST(WakeUps, AreAsManyAsAskedForAndASignalEndsThem) {
  StopSignals const stop;
  auto const cpus = usable_cpus();
  WakeUps const seen = look_for_wake_ups(cpus.back(), cpus.front(), 50, 10us, stop);
  ASSERT_EQ(seen.took.size(), 50u);
  for (auto const took : seen.took) EXPECT_GT(took, 0ns);
  std::raise(SIGTERM);
  EXPECT_LT(look_for_wake_ups(cpus.back(), cpus.front(), 1'000'000, 1s, stop).took.size(), 2u);
}

TEST(Doctor, NotesThatCpusWhichSleepAreSlowToWakeWherePollingWouldHelp) {
  auto e = quiet();
  EXPECT_NE(of(diagnose(e, 0.03, 10), "wake-ups").found.find("not measured"), std::string::npos);
  e.halting.took = {40us, 40us, 900us};
  e.polling.took = {2us, 2us, 5us};
  auto const found = of(diagnose(e, 0.03, 10), "wake-ups");
  EXPECT_EQ(found.verdict, Verdict::note);
  EXPECT_NE(
      found.found.find("40.0 us to wake a CPU that sleeps, p99 900 us; one that polls 2.00 us, p99 5.00 us"),
      std::string::npos)
      << found.found;
  EXPECT_NE(found.remedy.find("--idle poll"), std::string::npos);
  e.polling.took = {500us};
  EXPECT_EQ(of(diagnose(e, 0.03, 10), "wake-ups").verdict, Verdict::good) << "it would not help";
  e.halting.took = {20us, 30us};
  e.polling.took = {1us};
  EXPECT_EQ(of(diagnose(e, 0.03, 10), "wake-ups").verdict, Verdict::good) << "that is soon";
}

TEST(Doctor, NotesThatNoLatencyCanBeShorterThanTheMachinesStalls) {
  auto e = quiet();
  e.stalls = {.looked = 1s, .gaps = std::vector<std::chrono::nanoseconds>(10, 10ms)};
  auto const found = of(diagnose(e, 0.03, 10), "stalls");
  EXPECT_EQ(found.verdict, Verdict::note);
  EXPECT_NE(found.found.find("p99 9.00 ms"), std::string::npos) << found.found;
  EXPECT_NE(found.remedy, "");
}

TEST(Doctor, SaysHowFastMemoryIsRead) {
  auto e = quiet();
  EXPECT_EQ(of(diagnose(e, 0.03, 10), "memory").found, "not measured");
  for (auto& sample : e.reference) sample.read_bytes_per_s = 35e9;
  EXPECT_NE(of(diagnose(e, 0.03, 10), "memory").found.find("35.0 G bytes/s"), std::string::npos);
}

TEST(Doctor, NotesWhatAReaderMustKnow) {
  auto e = quiet();
  e.cpus = 1;
  e.governor = "unknown";
  e.virtualisation = "virtual machine";
  e.huge_pages = "always madvise [never]";
  for (auto const* what : {"CPUs", "governor", "virtualisation", "huge pages"}) {
    auto const found = of(diagnose(e, 0.03, 10), what);
    EXPECT_EQ(found.verdict, Verdict::note) << what;
    EXPECT_NE(found.remedy, "") << what;
  }
}

TEST(BusyProcesses, AreNotThisOneAndThoseThatItStarted) {
  ProcessTimes const before;
  pid_t const child = ::fork();
  if (child == 0)
    for (std::uint64_t volatile busy = 0;;) busy = busy + 1;
  std::this_thread::sleep_for(300ms);
  ProcessTimes const after;
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  for (BusyProcess const& busy : busy_processes(before, after)) {
    EXPECT_NE(busy.pid, child);
    EXPECT_NE(busy.pid, ::getpid());
    EXPECT_GE(busy.cpus, 0.02);
  }
}

TEST(ReferenceWork, TakesTimeOnEveryCpuAndStopsForASignal) {
  StopSignals const stop;
  auto const once = run_reference(usable_cpus(), stop);
  ASSERT_TRUE(once);
  EXPECT_GT(once->elapsed, 1ms);
  EXPECT_GT(once->links_per_ns, 0);
  EXPECT_GT(once->read_bytes_per_s, 0);
  auto const less = run_reference({}, stop, {.links = 1'000, .read_bytes = 4096});
  ASSERT_TRUE(less) << "no CPUs named: anywhere";
  EXPECT_LT(less->elapsed, once->elapsed) << "a 50,000th of the work";
  std::raise(SIGTERM);
  EXPECT_FALSE(run_reference({}, stop));
}

}  // namespace
}  // namespace tally
