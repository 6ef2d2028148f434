// What the kernel says of this machine.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bench/base/json.hpp"

namespace tally {

/// CPU, memory, kernel, virtualisation, governor and limits, as keys of a result file's context. What cannot
/// be known is "unknown".
Json describe_machine();

/// The load averages of the last 1, 5 and 15 minutes; fewer where the kernel does not tell.
std::vector<double> load_averages();

/// CPU time of every process of the machine, as /proc has it at the time of construction.
class ProcessTimes {
 public:
  ProcessTimes();

 private:
  struct Process {
    std::string name;
    int parent = 0;
    double cpu_s = 0;
  };
  std::map<int, Process> processes_;
  std::chrono::steady_clock::time_point taken_;
  friend std::vector<struct BusyProcess> busy_processes(ProcessTimes const& before,
                                                        ProcessTimes const& after);
};

/// A process that used the CPU between two looks.
struct BusyProcess {
  int pid = 0;
  std::string name;
  double cpus = 0;  ///< CPU time over time
};

/// Those that used more of a CPU than any system does in the background (2%), the busiest first; not this
/// process and those that it started. What ended before `after` is not seen.
std::vector<BusyProcess> busy_processes(ProcessTimes const& before, ProcessTimes const& after);

/// CPU time of the whole machine since boot, in the kernel's ticks, from /proc/stat; none if it is not there.
struct MachineTime {
  double total = 0;
  double stolen = 0;  ///< wanted by this machine, given to others by the hypervisor
  double idle = 0;    ///< nobody wanted it, input and output waited for included
  static std::optional<MachineTime> now();
};

}  // namespace tally
