#include "models/reactor.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace tally {
namespace {

[[noreturn]] void fail(char const* what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace

Reactor::Reactor()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)), interrupt_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (epoll_ < 0 || interrupt_ < 0) fail("no descriptor for a readiness loop");
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, interrupt_, &event) != 0) fail("epoll_ctl");
}

Reactor::~Reactor() {
  if (epoll_ >= 0) close(epoll_);
  if (interrupt_ >= 0) close(interrupt_);
}

void Reactor::add(int fd, ReadyHandler& handler) {
  handler.fd = fd;
  epoll_event event{.events = EPOLLIN, .data = {.ptr = &handler}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
}

void Reactor::run_once(std::optional<std::chrono::nanoseconds> timeout) {
  int n;
  if (!timeout) {
    n = epoll_wait(epoll_, events_.data(), kEventsAtOnce, -1);
  } else if (timeout->count() <= 0) {
    n = epoll_wait(epoll_, events_.data(), kEventsAtOnce, 0);
  } else {
    auto const seconds = std::chrono::duration_cast<std::chrono::seconds>(*timeout);
    timespec const wait{.tv_sec = seconds.count(), .tv_nsec = (*timeout - seconds).count()};
    n = epoll_pwait2(epoll_, events_.data(), kEventsAtOnce, &wait, nullptr);
  }
  if (n < 0 && errno != EINTR) fail("epoll_wait");
  end_ = n > 0 ? static_cast<std::size_t>(n) : 0;
  for (next_ = 0; next_ < end_;) {
    auto* const handler = static_cast<ReadyHandler*>(events_[next_++].data.ptr);
    if (handler != nullptr) {
      if (!handler->on_readable(*handler)) epoll_ctl(epoll_, EPOLL_CTL_DEL, handler->fd, nullptr);
    } else {
      std::uint64_t count;
      // Only to make it unreadable again; how often it was rung does not matter.
      [[maybe_unused]] ssize_t const got = read(interrupt_, &count, sizeof count);
    }
  }
}

void Reactor::forget(ReadyHandler const& handler) noexcept {
  static ReadyHandler nobody{[](ReadyHandler&) { return true; }};
  for (std::size_t i = next_; i < end_; ++i)
    if (events_[i].data.ptr == &handler) events_[i].data.ptr = &nobody;
}

void Reactor::interrupt() noexcept {
  std::uint64_t const one = 1;
  [[maybe_unused]] ssize_t const put = write(interrupt_, &one, sizeof one);
}

}  // namespace tally
