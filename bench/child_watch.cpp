#include "bench/child_watch.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <system_error>

namespace tally {
namespace {

[[noreturn]] void fail(char const* what) { throw std::system_error(errno, std::generic_category(), what); }

/// A report is its length, then its bytes: a grandchild may hold the pipe open, so its end says nothing.
using Length = std::uint64_t;

void send_report(int fd, std::string const& report) noexcept {
  Length const length = report.size();
  auto const send = [fd](char const* bytes, std::size_t size) {
    while (size > 0) {
      ssize_t const n = ::write(fd, bytes, size);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return;  // the parent then finds the report cut off, which it reports
      bytes += n;
      size -= static_cast<std::size_t>(n);
    }
  };
  char head[sizeof length];
  std::memcpy(head, &length, sizeof length);
  send(head, sizeof head);
  send(report.data(), report.size());
}

std::optional<std::string> whole_report(std::string const& buffer) {
  Length length;
  if (buffer.size() < sizeof length) return std::nullopt;
  std::memcpy(&length, buffer.data(), sizeof length);
  if (buffer.size() - sizeof length < length) return std::nullopt;
  return buffer.substr(sizeof length, length);
}

}  // namespace

void become_child_of(pid_t parent) noexcept {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it ended before it could be asked to take us along
  StopSignals::restore_in_child();
}

std::string describe_wait_status(int status) {
  if (WIFSIGNALED(status)) {
    int const number = WTERMSIG(status);
    return "killed by signal " + std::to_string(number) + " (" + ::strsignal(number) + ")";
  }
  return "exited with status " + std::to_string(WEXITSTATUS(status));
}

ChildWatch::ChildWatch(std::function<std::string()> const& body) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail("pipe for a sample's report");
  // Orphans of the sample become ours to reap, also where the first process of a container reaps none.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  std::cout.flush();
  std::fflush(nullptr);
  pid_t const parent = ::getpid();
  SignalsBlocked const blocked;
  pid_ = ::fork();
  if (pid_ == 0) {
    become_child_of(parent);
    ::close(ends[0]);
    send_report(ends[1], body());
    ::_exit(0);
  }
  int const fork_error = errno;
  ::close(ends[1]);
  report_fd_ = ends[0];
  if (pid_ < 0) {
    ::close(report_fd_);
    errno = fork_error;
    fail("fork of a sample's process");
  }
  ::setpgid(pid_, pid_);  // in both, since either may be first to need it
  pidfd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  if (pidfd_ < 0) {
    int const error = errno;
    end_group();
    ::close(report_fd_);
    errno = error;
    fail("pidfd_open");
  }
  ::fcntl(report_fd_, F_SETFL, O_NONBLOCK);
}

ChildWatch::~ChildWatch() {
  end_group();
  ::close(report_fd_);
  ::close(pidfd_);
}

void ChildWatch::take_report(std::string& buffer) {
  char bytes[4096];
  for (;;) {
    ssize_t const n = ::read(report_fd_, bytes, sizeof bytes);
    if (n > 0)
      buffer.append(bytes, static_cast<std::size_t>(n));
    else if (n == 0 || errno != EINTR)
      return;
  }
}

ChildWatch::Outcome ChildWatch::wait(SampleWatch const& watch) {
  auto const deadline = std::chrono::steady_clock::now() + watch.timeout;
  Outcome outcome;
  std::string buffer;
  for (bool over = false; !over;) {
    auto const left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    bool const have_report = whole_report(buffer).has_value();
    pollfd fds[] = {{pidfd_, POLLIN, 0},
                    {have_report ? -1 : report_fd_, POLLIN, 0},
                    {watch.stop.fd(), POLLIN, 0},
                    {watch.other_process, POLLIN, 0}};
    int const timeout_ms = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1'000'000'000));
    int const ready = ::poll(fds, std::size(fds), timeout_ms);
    if (ready < 0 && errno != EINTR) fail("poll on a sample's process");
    if (ready <= 0 && left.count() > 0) continue;
    take_report(buffer);
    if (ready == 0) {
      outcome.ending = Ending::timed_out;
      over = true;
    } else if (fds[0].revents) {
      over = true;
    } else if (fds[2].revents) {
      outcome.ending = Ending::interrupted;
      over = true;
    } else if (fds[3].revents) {
      outcome.ending = Ending::other_process;
      over = true;
    } else if (fds[1].revents & POLLHUP) {
      // The pipe is closed at the other end but the process lives (it may have closed all its descriptors).
      ::close(report_fd_);
      report_fd_ = -1;
    }
  }
  outcome.status = end_group();
  outcome.report = whole_report(buffer);
  return outcome;
}

/// Kills the whole group before its leader is reaped, while the number of the group cannot have been given to
/// another; then reaps the leader and every process of the group that has become ours. Returns the leader's
/// status.
int ChildWatch::end_group() noexcept {
  if (pid_ <= 0) return 0;
  ::kill(-pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  while (::waitpid(-pid_, nullptr, 0) > 0 || errno == EINTR) {
  }
  pid_ = -1;
  return status;
}

}  // namespace tally
