// What the kernel says of this machine.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>

namespace tally {

/// CPU, memory, kernel, virtualisation, governor and limits, as keys of a result file's context. What cannot
/// be known is "unknown".
nlohmann::ordered_json describe_machine();

/// CPU time of the whole machine since boot, in the kernel's ticks, from /proc/stat; none if it is not there.
struct MachineTime {
  double total = 0;
  double stolen = 0;  ///< wanted by this machine, given to others by the hypervisor
  double idle = 0;    ///< nobody wanted it, input and output waited for included
  static std::optional<MachineTime> now();
};

}  // namespace tally
