#include "mpi/supervisor.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string>
#include <system_error>

#include "bench/base/console.hpp"
#include "bench/base/exit_status.hpp"
#include "bench/process/forked_process.hpp"
#include "bench/process/shared_object.hpp"
#include "models/runtime/processes.hpp"
#include "mpi/agreement.hpp"
#include "workloads/base/clock.hpp"
#include "workloads/base/owned_fd.hpp"

namespace tally {
namespace {

constexpr int kLookEveryMs = 100;

/// "rank 1 (host h2)", as far as it is known.
std::string name_of_rank(RankWatch const& watch) {
  if (int const rank = watch.rank.load(); rank > 0) return describe_rank(rank - 1, watch.host);
  std::string const rank = rank_by_launcher();
  return rank.empty() ? "a rank" : "rank " + rank;
}

/// What the rank was doing, if it is known.
std::string doing_of(RankWatch const& watch) {
  return watch.doing[0] == '\0' ? "" : ", " + std::string(watch.doing);
}

}  // namespace

std::string rank_by_launcher() {
  for (char const* const variable : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"})
    if (char const* const rank = std::getenv(variable)) return rank;
  return "";
}

int supervise(std::function<int(RankWatch&)> const& rank) {
  SharedObject<RankWatch> watch("memory shared with the rank");
  // What the rank leaves behind becomes ours, to be ended.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  sigset_t ends;
  sigemptyset(&ends);
  for (int const signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&ends, signal);
  pid_t const parent = ::getpid();
  pid_t const pid = ::fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork of the rank");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(kFailedStatus);
    // Not _exit(): MPI's library has work at exit.
    std::exit(rank(*watch));
  }
  ::sigprocmask(SIG_BLOCK, &ends, nullptr);
  OwnedFd const signals(::signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK));
  OwnedFd const ended(watch_process("the rank", pid));
  bool killed_here = false;
  int passed_on = 0;
  auto const take_signal = [&] {
    signalfd_siginfo info{};
    if (::read(signals.get(), &info, sizeof info) == sizeof info)
      passed_on = static_cast<int>(info.ssi_signo);
    return passed_on;
  };
  for (;;) {
    pollfd fds[] = {{ended.get(), POLLIN, 0}, {signals.get(), POLLIN, 0}};
    if (::poll(fds, 2, kLookEveryMs) < 0 && errno != EINTR)
      throw std::system_error(errno, std::generic_category(), "poll on the rank");
    if (fds[1].revents != 0) ::kill(pid, take_signal());
    if (fds[0].revents != 0) break;
    std::int64_t const deadline = watch->deadline_ns.load();
    if (deadline == 0 || steady_ns() < deadline || killed_here) continue;
    complain(name_of_rank(*watch) + " hangs: it was not done in time" + doing_of(*watch) + ": killed");
    killed_here = true;
    ::kill(pid, SIGKILL);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  for (pid_t const left : kill_descendants(::getpid())) ::waitpid(left, nullptr, 0);
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  // A rank that ended by a signal that was sent to both is not lost: who sent it knows. So mpirun ends all
  // others when one has failed.
  if (!killed_here && WTERMSIG(status) != take_signal())
    complain(name_of_rank(*watch) + " was " + describe_wait_status(status) +
             (watch->deadline_ns.load() != 0 ? doing_of(*watch) : "") +
             (WTERMSIG(status) == SIGKILL ? ": by somebody, or by the kernel for want of memory" : ""));
  return kFailedStatus;
}

}  // namespace tally
