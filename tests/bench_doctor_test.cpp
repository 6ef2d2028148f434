#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "bench/doctor.hpp"
#include "bench/options.hpp"

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
  EXPECT_TRUE(run_reference({}, stop)) << "no CPUs named: anywhere";
  std::raise(SIGTERM);
  EXPECT_FALSE(run_reference({}, stop));
}

}  // namespace
}  // namespace tally
