#include "bench/process/stop_signals.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include "bench/base/exit_status.hpp"

namespace tally {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};

// A handler can reach statics alone.
std::atomic<int> write_end{-1};
int read_end = -1;
std::atomic<bool> stop_requested{false};
std::atomic<bool> exit_at_once{false};
std::atomic<pid_t> group_to_kill{0};
std::atomic<char const*> said_at_exit{""};
std::atomic<pid_t> speaker{0};  // the process that says it: children that a model forked say nothing
struct sigaction saved_actions[std::size(kSignals)];

[[noreturn]] void leave() noexcept {
  if (pid_t const group = group_to_kill.load(); group > 0) ::kill(-group, SIGKILL);
  if (speaker.load() == ::getpid()) {
    for (char const* const part : {"\ntally: ", said_at_exit.load(), "\n"}) {
      [[maybe_unused]] auto const written = ::write(STDERR_FILENO, part, std::strlen(part));
    }
  }
  ::_exit(kInterruptedStatus);
}

void on_signal(int) {
  int const saved_errno = errno;
  stop_requested.store(true);
  if (exit_at_once.load()) leave();
  char const byte = 1;
  [[maybe_unused]] auto const written = ::write(write_end.load(), &byte, 1);
  errno = saved_errno;
}

}  // namespace

StopSignals::StopSignals() {
  if (write_end.load() != -1) throw std::logic_error("StopSignals: one is alive already");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
    throw std::system_error(errno, std::generic_category(), "pipe for signals");
  read_end = ends[0];
  write_end.store(ends[1]);
  stop_requested.store(false);
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < std::size(kSignals); ++i) ::sigaction(kSignals[i], &action, &saved_actions[i]);
}

StopSignals::~StopSignals() {
  for (std::size_t i = 0; i < std::size(kSignals); ++i) ::sigaction(kSignals[i], &saved_actions[i], nullptr);
  ::close(write_end.exchange(-1));
  ::close(read_end);
}

int StopSignals::fd() const noexcept { return read_end; }
bool StopSignals::requested() const noexcept { return stop_requested.load(); }

void StopSignals::restore_in_child() noexcept {
  for (int number = 1; number < NSIG; ++number)
    ::signal(number, SIG_DFL);  // SIGKILL and SIGSTOP refuse: no matter
  if (int const fd = write_end.exchange(-1); fd != -1) {
    ::close(fd);
    ::close(read_end);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

StopSignals::ExitAtOnce::ExitAtOnce(StopSignals const& signals, char const* said) {
  said_at_exit.store(said);
  speaker.store(::getpid());
  exit_at_once.store(true);
  if (signals.requested()) leave();
}
StopSignals::ExitAtOnce::~ExitAtOnce() { exit_at_once.store(false); }

void StopSignals::kill_at_exit(pid_t group) noexcept { group_to_kill.store(group); }

SignalsBlocked::SignalsBlocked() noexcept {
  static_assert(sizeof(sigset_t) <= sizeof saved_);
  sigset_t all, before;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  std::memcpy(saved_, &before, sizeof before);
}

SignalsBlocked::~SignalsBlocked() {
  sigset_t before;
  std::memcpy(&before, saved_, sizeof before);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

int stop_descriptor() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  int const error = pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  if (error != 0) throw std::system_error(error, std::generic_category(), "cannot block signals");
  int const file = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (file < 0) throw std::system_error(errno, std::generic_category(), "cannot wait for signals");
  return file;
}

}  // namespace tally
