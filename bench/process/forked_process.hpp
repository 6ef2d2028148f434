// Forking a process that shall not outlive this one: samples, helpers and the samplers of other builds are
// such.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "models/runtime/processes.hpp"

namespace tally {

/// Forks a process that runs `body` and then exits with status 0. It is a process group of its own, has the
/// default signal handlers, and is killed when this process ends. Buffered output of this process is flushed
/// first, so that none is written twice. `body` must not throw; `what` names the process if it cannot be
/// made. Returns its pid, which the caller is to reap. Call single-threaded. Throws std::system_error.
pid_t fork_process(std::string const& what, std::function<void()> const& body);

/// A descriptor that becomes readable when the process `pid`, a child of this one, has ended (pidfd_open(2));
/// the caller owns it. If there is none to be had, kills and reaps the child's group, and throws
/// std::system_error.
int watch_process(std::string const& what, pid_t pid);

/// Kills the group of the child `pid` before its leader is reaped, while the number of the group cannot have
/// been given to another; then reaps the leader, and every process of the group that has become ours. Returns
/// the leader's status as waitpid(2) gives it.
int end_process_group(pid_t pid) noexcept;

/// Lets this process run on `cpus` alone; all that it may use anyway, if empty. Throws std::system_error.
void pin_process(std::vector<int> const& cpus);

}  // namespace tally
