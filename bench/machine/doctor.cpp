#include "bench/machine/doctor.hpp"

#include <algorithm>
#include <cmath>
#include <thread>

#include "bench/base/units.hpp"
#include "bench/machine/awake_cpus.hpp"
#include "bench/machine/reference_figures.hpp"
#include "bench/machine/system_limits.hpp"
#include "workloads/ingest/load_generator.hpp"

namespace tally {
namespace {

constexpr double kBusyMachine = 0.05;
/// Of the CPUs, what ran or waited to run on average in the last minute.
constexpr double kBusyLoad = 0.5;
/// In some 70 ms; the kernel's own work puts off a computation once or twice.
constexpr double kSwitchesPerCpu = 3;
constexpr double kSteal = 0.005;
/// By so much CPUs that poll must be sooner awake, at p99, for what waits often to be worth measuring on
/// them; and a wait that is as short as this is not often.
constexpr double kSoonerAwake = 2;
constexpr std::chrono::microseconds kSoonAwake{50};

}  // namespace

Examination examine(int rounds, StopSignals const& stop) {
  constexpr std::chrono::milliseconds kLook{1000}, kSpin{1000}, kPause{30};
  constexpr std::chrono::microseconds kAsleep{200};
  constexpr int kWakeUps = 2000;
  Examination found;
  auto const cpus = usable_cpus();
  found.cpus = static_cast<int>(cpus.size());
  found.load = load_averages();
  auto const machine = describe_machine();
  found.governor = machine.value("governor", "unknown");
  found.virtualisation = machine.value("virtualisation", "unknown");
  found.huge_pages = machine.value("transparent_huge_pages", "unknown");

  auto const before = MachineTime::now();
  ProcessTimes const processes;
  std::this_thread::sleep_for(kLook);
  found.others = busy_processes(processes, ProcessTimes());
  auto const looked = MachineTime::now();
  if (before && looked && looked->total > before->total)
    found.busy_share = 1 - (looked->idle - before->idle) / (looked->total - before->total);
  found.stalls = look_for_stalls(cpus, kSpin, stop);
  if (cpus.size() > 1) {
    auto const look = [&] { return look_for_wake_ups(cpus.back(), cpus.front(), kWakeUps, kAsleep, stop); };
    found.halting = look();
    AwakeCpus awake(cpus);
    AwakeCpus::Polling const polling(awake, found.cpus);
    found.polling = look();
  }
  for (int round = 0; round < rounds; ++round) {
    std::this_thread::sleep_for(kPause);
    auto sample = run_reference(cpus, stop);
    if (!sample) throw Interrupted("interrupted");
    sample->round = round;
    found.reference.push_back(*sample);
  }
  auto const after = MachineTime::now();
  if (before && after && after->total > before->total)
    found.steal_share = (after->stolen - before->stolen) / (after->total - before->total);
  return found;
}

double half_width_after(std::vector<double> values, int rounds) {
  std::sort(values.begin(), values.end());
  Ranks const ranks = median_ranks(rounds);
  double const median = quantile(values, 0.5);
  double const low = quantile(values, (ranks.low - 0.5) / rounds),
               high = quantile(values, (ranks.high - 0.5) / rounds);
  return std::max(high - median, median - low) / median;
}

double floor_after(std::vector<ReferenceSample> const& reference, int rounds) {
  std::vector<double> times;
  for (auto const& s : reference) times.push_back(std::chrono::duration<double>(s.elapsed).count());
  return half_width_after(std::move(times), rounds);
}

std::vector<Finding> diagnose(Examination const& e, double ci, int rounds) {
  using enum Finding::Verdict;
  std::vector<Finding> findings;
  auto const add = [&](Finding::Verdict verdict, std::string what, std::string found,
                       std::string remedy = "") {
    findings.push_back(
        {verdict, std::move(what), std::move(found), verdict == good ? "" : std::move(remedy)});
  };
  double const floor = floor_after(e.reference, rounds);
  add(floor > ci ? unfit : good, "noise floor",
      "\u00b1" + format_percent(floor, 1) + " after " + std::to_string(rounds) +
          " rounds, from least to greatest " + format_percent(spread(e.reference), 1),
      "a fixed computation differs by more than the \u00b1" + format_percent(ci, 1) +
          " wanted: stop what else runs, ask for more rounds or a wider --ci, or take another machine");
  std::string names;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, e.others.size()); ++i)
    names += (i == 0 ? ": " : ", ") + e.others[i].name + " (" + std::to_string(e.others[i].pid) + ") " +
             format_percent(e.others[i].cpus, 1);
  add(e.busy_share > kBusyMachine ? unfit
      : e.others.empty()          ? good
                                  : note,
      "other work",
      format_percent(e.busy_share, 1) + " of the CPUs were busy before anything was measured" + names,
      "stop it while you measure");
  std::string load;
  for (double const average : e.load) load += (load.empty() ? "" : ", ") + format_fixed(average, 2);
  add(!e.load.empty() && e.load[0] > e.cpus * kBusyLoad ? note : good, "load",
      load.empty() ? "unknown" : load + " (averages of 1, 5 and 15 minutes)",
      "the machine was at work until now: if it was not you, look for jobs that begin by the clock");
  std::vector<double> switches;
  for (ReferenceSample const& s : e.reference) switches.push_back(static_cast<double>(s.ctx_involuntary));
  double const put_off = median_interval(switches).median;
  add(put_off > kSwitchesPerCpu * e.cpus ? note : good, "switches",
      format_fixed(put_off, 0) + " times in the median was the computation put off its CPUs",
      "others were let onto the CPUs while it ran: stop them, or keep these CPUs free of them (isolcpus, "
      "cpusets)");
  std::vector<double> reads;
  for (ReferenceSample const& s : e.reference)
    if (s.read_bytes_per_s > 0) reads.push_back(s.read_bytes_per_s);
  double const read_floor = reads.empty() ? 0 : half_width_after(reads, rounds);
  add(read_floor > ci ? unfit : good, "memory",
      reads.empty()
          ? "not measured"
          : format_scaled(median_interval(reads).median) + " bytes/s are read by all CPUs together, \u00b1" +
                format_percent(read_floor, 1) + " after " + std::to_string(rounds) + " rounds",
      "others use the memory's bandwidth: what waits for memory, such as counting without work, differs by "
      "as much; measure --grain 1us and above, at another time, or on a machine of one's own");
  add(e.steal_share > kSteal ? unfit : good, "steal",
      format_percent(e.steal_share, 1) + " of the CPU time went to other guests",
      "the hypervisor is shared: measure at another time, or on dedicated CPUs");
  auto const late = e.stalls.lateness(0.99);
  auto const say = [](std::chrono::nanoseconds d) {
    return format_seconds(std::chrono::duration<double>(d).count());
  };
  add(std::chrono::duration<double>(late).count() > kGeneratorOnTime_s ? note : good, "stalls",
      "p99 " + say(late) +
          ": so late, 1 time in 100, a thread that never sleeps sees what is due; the longest stall in " +
          say(e.stalls.looked) + " took " + say(e.stalls.longest()),
      "no latency below that is a model's: on 'ingest' at a rate trust what is not marked, or take CPUs of "
      "one's own");
  auto const halting = e.halting.quantile(0.99), polling = e.polling.quantile(0.99);
  bool const sooner = halting > kSoonAwake && halting > kSoonerAwake * polling;
  add(sooner ? note : good, "wake-ups",
      e.halting.took.empty()
          ? "not measured with one CPU"
          : say(e.halting.quantile(0.5)) + " to wake a CPU that sleeps, p99 " + say(halting) +
                "; one that polls " + say(e.polling.quantile(0.5)) + ", p99 " + say(polling),
      "what waits often and for short is measured with that in it: 'tally run --idle poll' keeps CPUs awake, "
      "as "
      "'tally map' does");
  add(e.cpus < 2 ? note : good, "CPUs", std::to_string(e.cpus) + " that this process may use",
      "the lookup service shares the one CPU with the models: lookup then says little");
  bool const steady = e.governor == "performance";
  add(steady ? good : note, "governor", e.governor,
      e.governor == "unknown"
          ? "clocks may change unseen: trust ratios within a round, not figures across days"
          : "as root: cpupower frequency-set -g performance");
  add(e.virtualisation == "none seen" ? good : note, "virtualisation", e.virtualisation,
      "a guest stalls for milliseconds now and then, and sees no hardware counters");
  add(e.huge_pages.find("[never]") == std::string::npos ? good : note, "huge pages", e.huge_pages,
      "synthetic events lie in small pages: counting alone is slower here");
  return findings;
}

}  // namespace tally
