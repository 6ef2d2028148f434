#include "bench/process/child_watch.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "bench/process/forked_process.hpp"
#include "models/runtime/processes.hpp"
#include "workloads/base/errno_failure.hpp"

namespace tally {
namespace {

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

ChildWatch::ChildWatch(std::function<std::string()> const& body) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail_with_errno("pipe for a sample's report");
  OwnedFd report(ends[0]), child_end(ends[1]);
  // Orphans of the sample become ours to reap, also where the first process of a container reaps none.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  pid_ = fork_process("a sample's process", [&] {
    report.reset();
    send_report(child_end.get(), body());
  });
  pidfd_.reset(watch_process("a sample's process", pid_));
  ::fcntl(report.get(), F_SETFL, O_NONBLOCK);
  report_ = std::move(report);
}

ChildWatch::~ChildWatch() { end_group(); }

void ChildWatch::take_report(std::string& buffer) {
  char bytes[4096];
  for (;;) {
    ssize_t const n = ::read(report_.get(), bytes, sizeof bytes);
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
    std::vector<pollfd> fds{{pidfd_.get(), POLLIN, 0},
                            {have_report ? -1 : report_.get(), POLLIN, 0},
                            {watch.stop.fd(), POLLIN, 0}};
    for (int const other : watch.other_processes) fds.push_back({other, POLLIN, 0});
    int const timeout_ms = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1'000'000'000));
    int const ready = ::poll(fds.data(), fds.size(), timeout_ms);
    if (ready < 0 && errno != EINTR) fail_with_errno("poll on a sample's process");
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
    } else if (std::any_of(fds.begin() + 3, fds.end(), [](pollfd const& fd) { return fd.revents != 0; })) {
      outcome.ending = Ending::other_process;
      if (watch.last_words.count() > 0) wait_for_report(buffer, watch.last_words);
      over = true;
    } else if (fds[1].revents & POLLHUP) {
      // The pipe is closed at the other end but the process lives (it may have closed all its descriptors).
      report_.reset();
    }
  }
  outcome.status = end_group();
  outcome.report = whole_report(buffer);
  return outcome;
}

/// The child may be about to say what is wrong, or have caused it.
void ChildWatch::wait_for_report(std::string& buffer, std::chrono::nanoseconds within) {
  auto const until = std::chrono::steady_clock::now() + within;
  while (report_.get() >= 0 && !whole_report(buffer)) {
    auto const left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
    pollfd report{report_.get(), POLLIN, 0};
    if (left <= 0 || ::poll(&report, 1, static_cast<int>(left)) == 0) return;
    take_report(buffer);
    if (report.revents == POLLHUP) return;
  }
}

int ChildWatch::end_group() noexcept {
  if (pid_ <= 0) return 0;
  // A program that is run as a model may have started some that left the group; as long as the sample's
  // process lives, they are its descendants. One that has ended by itself has seen to them.
  siginfo_t ended{};
  std::vector<pid_t> strays;
  if (::waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == 0)
    strays = kill_descendants(pid_);
  int const status = end_process_group(std::exchange(pid_, -1));
  for (pid_t const stray : strays) ::waitpid(stray, nullptr, WNOHANG);
  return status;
}

}  // namespace tally
