// What is known of processes that others started: how one ended, and which came of it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace tally {

/// "killed by signal 11 (Segmentation fault)" or "exited with status 3", of a status as waitpid(2) gives it.
std::string describe_wait_status(int status);

/// A process that came of another.
struct Descendant {
  pid_t pid;
  std::string name;  ///< as the kernel has it, at most 15 bytes
};

/// The children of `root`, theirs, and so on, that have not ended; `root` itself is not among them. Of
/// processes whose parents ended, those that `root` took over as a subreaper (prctl(2)). Empty where /proc
/// does not tell.
std::vector<Descendant> descendants_of(pid_t root);

/// Kills descendants_of(root) until there are none, whatever group or session they moved to; those that start
/// further ones meanwhile too. `root` must be a subreaper, or some may get away. Returns the processes that
/// were killed, so that whoever becomes their parent can reap them.
std::vector<pid_t> kill_descendants(pid_t root) noexcept;

/// The most memory that the process has had resident (VmHWM), in bytes; 0 if it has ended.
std::uint64_t peak_memory_bytes(pid_t pid);
/// Bytes of memory that the process wrote to and shares with none; 0 if it has ended, or the kernel does not
/// tell.
std::uint64_t private_memory_bytes(pid_t pid);

}  // namespace tally
