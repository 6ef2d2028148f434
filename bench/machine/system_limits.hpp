// What this machine lets one process have, read in one place so that tests can set it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tally {

inline constexpr std::uint64_t kNoLimit = UINT64_MAX;

/// One limit on the number of something, and how many of them are there already.
struct Limit {
  std::string_view name;  ///< as the user would look it up: `ulimit -n`
  std::uint64_t value = kNoLimit;
  std::uint64_t in_use = 0;
};

struct SystemLimits {
  Limit open_files{.name = "ulimit -n"};  ///< of one process
  Limit memory_maps{
      .name = "vm.max_map_count"};  ///< of one process; a thread needs two, its stack and its guard page
  /// Limits on threads, which are processes too to the kernel.
  std::vector<Limit> tasks;
  Limit memory{.name = "available memory"};  ///< bytes
};

/// The limits of this process: RLIMIT_NOFILE (after raising the soft limit to the hard one),
/// vm.max_map_count, RLIMIT_NPROC (which root is free of), kernel.threads-max, kernel.pid_max, the pids and
/// memory controllers of its cgroup and every one above it (versions 1 and 2), and MemAvailable. What cannot
/// be read is no limit.
SystemLimits read_system_limits();

/// Whole CPUs that the CPU quota of this process's cgroup, or of one above it, pays for; at least 1; kNoLimit
/// if none.
std::uint64_t cpu_quota();

/// CPUs that this process may use (affinity), in order of number, cut to the CPU quota of its cgroup: to the
/// whole CPUs that the quota pays for, since one more would be throttled.
std::vector<int> usable_cpus();

/// Raises the soft limit of open files to the hard one, and returns it.
std::uint64_t raise_open_files();

}  // namespace tally
