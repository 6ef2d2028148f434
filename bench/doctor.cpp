#include "bench/doctor.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>

#include "bench/cell_runner.hpp"
#include "bench/options.hpp"
#include "bench/units.hpp"

namespace tally {
namespace {

/// Less than this of a CPU is what any system does in the background.
constexpr double kBusyProcess = 0.02;
constexpr double kBusyMachine = 0.05;
constexpr double kSteal = 0.005;

struct ProcessTime {
  std::string name;
  double ticks = 0;
};

/// CPU time of every process by its number, in ticks. What ends meanwhile is left out.
std::map<int, ProcessTime> process_times() {
  std::map<int, ProcessTime> times;
  std::error_code error;
  for (auto const& entry : std::filesystem::directory_iterator("/proc", error)) {
    std::string const number = entry.path().filename();
    if (number.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream file(entry.path() / "stat");
    std::string line;
    if (!std::getline(file, line)) continue;
    auto const open = line.find('('), close = line.rfind(')');
    if (open == std::string::npos || close == std::string::npos) continue;
    // After the name: state, then ten fields before user and system time (proc(5)).
    std::istringstream rest(line.substr(close + 2));
    std::string skipped;
    for (int i = 0; i < 11; ++i) rest >> skipped;
    double user = 0, system = 0;
    if (rest >> user >> system)
      times[std::stoi(number)] = {line.substr(open + 1, close - open - 1), user + system};
  }
  return times;
}

std::vector<BusyProcess> busiest(std::map<int, ProcessTime> const& before,
                                 std::map<int, ProcessTime> const& after, double seconds) {
  std::vector<BusyProcess> busy;
  double const ticks = seconds * static_cast<double>(::sysconf(_SC_CLK_TCK));
  for (auto const& [pid, time] : after) {
    auto const old = before.find(pid);
    double const used = time.ticks - (old == before.end() ? 0 : old->second.ticks);
    if (pid != ::getpid() && used / ticks >= kBusyProcess) busy.push_back({pid, time.name, used / ticks});
  }
  std::sort(busy.begin(), busy.end(), [](auto const& a, auto const& b) { return a.cpus > b.cpus; });
  return busy;
}

}  // namespace

Examination examine(int rounds, StopSignals const& stop) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kLook{1000}, kPause{30};
  Examination found;
  auto const cpus = usable_cpus();
  found.cpus = static_cast<int>(cpus.size());
  auto const machine = describe_machine();
  found.governor = machine.value("governor", "unknown");
  found.virtualisation = machine.value("virtualisation", "unknown");
  found.huge_pages = machine.value("transparent_huge_pages", "unknown");

  auto const before = MachineTime::now();
  auto const processes = process_times();
  auto const began = Clock::now();
  std::this_thread::sleep_for(kLook);
  found.others =
      busiest(processes, process_times(), std::chrono::duration<double>(Clock::now() - began).count());
  auto const looked = MachineTime::now();
  if (before && looked && looked->total > before->total)
    found.busy_share = 1 - (looked->idle - before->idle) / (looked->total - before->total);
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

double floor_after(std::vector<ReferenceSample> const& reference, int rounds) {
  std::vector<double> times;
  for (auto const& s : reference) times.push_back(std::chrono::duration<double>(s.elapsed).count());
  std::sort(times.begin(), times.end());
  Ranks const ranks = median_ranks(rounds);
  double const median = quantile(times, 0.5);
  double const low = quantile(times, (ranks.low - 0.5) / rounds),
               high = quantile(times, (ranks.high - 0.5) / rounds);
  return std::max(high - median, median - low) / median;
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
  add(e.steal_share > kSteal ? unfit : good, "steal",
      format_percent(e.steal_share, 1) + " of the CPU time went to other guests",
      "the hypervisor is shared: measure at another time, or on dedicated CPUs");
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
