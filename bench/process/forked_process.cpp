#include "bench/process/forked_process.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <iostream>
#include <system_error>

#include "bench/process/stop_signals.hpp"

namespace tally {

pid_t fork_process(std::string const& what, std::function<void()> const& body) {
  std::cout.flush();
  std::fflush(nullptr);
  pid_t const parent = ::getpid();
  SignalsBlocked const blocked;
  pid_t const pid = ::fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork of " + what);
  if (pid == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);  // it ended before it could be asked to take us along
    StopSignals::restore_in_child();
    body();
    ::_exit(0);
  }
  ::setpgid(pid, pid);  // in both, since either may be first to need it
  return pid;
}

int watch_process(std::string const& what, pid_t pid) {
  int const pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (pidfd >= 0) return pidfd;
  int const error = errno;
  end_process_group(pid);
  throw std::system_error(error, std::generic_category(), "pidfd_open of " + what);
}

int end_process_group(pid_t pid) noexcept {
  ::kill(-pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  while (::waitpid(-pid, nullptr, 0) > 0 || errno == EINTR) {
  }
  return status;
}

void pin_process(std::vector<int> const& cpus) {
  if (cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int const cpu : cpus) CPU_SET(static_cast<std::size_t>(cpu), &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0)
    throw std::system_error(errno, std::generic_category(),
                            "sched_setaffinity to CPUs from " + std::to_string(cpus[0]));
}

}  // namespace tally
