// What this machine lets one process have, read in one place so that tests can set it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "bench/options.hpp"

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

/// Memory that the cell takes at its number of events, in bytes: the events, a row of counts per window for
/// every worker, for the result and for the reference, and what its threads or processes cost the machine;
/// with another build beside this one, the former twice. Text keys are not known before, and not in it.
double memory_needed_bytes(Cell const& cell, RunOptions const& options);

/// Throws UsageError for the first cell of `plan` that does not fit into `limits`, in one line that names the
/// cell, what it needs, the limit, and what to do.
void check_limits(Plan const& plan, RunOptions const& options, SystemLimits const& limits);

/// Whole CPUs that the CPU quota of this process's cgroup, or of one above it, pays for; at least 1; kNoLimit
/// if none.
std::uint64_t cpu_quota();

/// Throws UsageError unless a file can be made at `path` and written: its directory is there, and it is no
/// directory or device itself. Leaves nothing behind. `flag` is the option that named it.
void check_output_file(std::string_view flag, std::filesystem::path const& path);

/// Raises the soft limit of open files to the hard one, and returns it.
std::uint64_t raise_open_files();

}  // namespace tally
