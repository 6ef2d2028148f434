#include "models/runtime/io/reactor.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

#include "models/runtime/io/uring.hpp"
#include "models/runtime/io/uring_loop.hpp"
#include "workloads/base/errno_failure.hpp"

namespace tally {
namespace {}  // namespace

Received Transfer::receive(int fd, std::span<char> room, int flags) const {
  if (loop_ != nullptr) return loop_->receive(slot_, room.size());
  ssize_t n;
  do {
    n = ::recv(fd, room.data(), room.size(), flags);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return {.error = errno};
  return {.bytes = room.first(static_cast<std::size_t>(n))};
}

bool Transfer::more() const noexcept { return loop_ != nullptr && loop_->more(slot_); }

int Transfer::send(int fd, std::span<char const> bytes) const {
  if (loop_ != nullptr && loop_->send(slot_, bytes)) return 0;
  while (!bytes.empty()) {
    ssize_t const n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      pollfd room{.fd = fd, .events = POLLOUT, .revents = 0};
      ::poll(&room, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

void Transfer::settle() const {
  if (loop_ != nullptr) loop_->settle(slot_);
}

Reactor::Reactor(Io io, ReceiveBuffers const* buffers) {
  interrupt_.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (interrupt_.fd < 0) fail_with_errno("no descriptor for a readiness loop");
  try {
    if (io == Io::io_uring) {
      ring_ = std::make_unique<UringLoop>(buffers != nullptr ? *buffers : kReplyBuffers);
    } else if (epoll_ = epoll_create1(EPOLL_CLOEXEC); epoll_ < 0) {
      fail_with_errno("no descriptor for a readiness loop");
    }
    add(interrupt_.fd, interrupt_);
  } catch (...) {
    if (epoll_ >= 0) close(epoll_);
    close(interrupt_.fd);
    throw;
  }
}

Reactor::~Reactor() {
  if (epoll_ >= 0) close(epoll_);
  close(interrupt_.fd);
}

void Reactor::attach() noexcept {
  if (ring_) ring_->attach();
}

Transfer Reactor::add(int fd, ReadyHandler& handler, Wanted wanted) {
  handler.fd = fd;
  if (ring_) {
    ring_->add(handler, wanted);
    return wanted == Wanted::bytes ? Transfer(ring_.get(), handler.slot) : Transfer();
  }
  resume(handler);
  return {};
}

void Reactor::resume(ReadyHandler& handler) {
  if (ring_) return ring_->resume(handler);
  epoll_event event{.events = EPOLLIN, .data = {.ptr = &handler}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, handler.fd, &event) != 0) fail_with_errno("epoll_ctl");
}

void Reactor::run_once(std::optional<std::chrono::nanoseconds> timeout) {
  if (ring_) return ring_->run_once(timeout);
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
  if (n < 0 && errno != EINTR) fail_with_errno("epoll_wait");
  end_ = n > 0 ? static_cast<std::size_t>(n) : 0;
  for (next_ = 0; next_ < end_;) {
    auto* const handler = static_cast<ReadyHandler*>(events_[next_++].data.ptr);
    if (!handler->on_readable(*handler)) epoll_ctl(epoll_, EPOLL_CTL_DEL, handler->fd, nullptr);
  }
}

void Reactor::forget(ReadyHandler const& handler) noexcept {
  if (ring_) return ring_->forget(handler);
  static ReadyHandler nobody{[](ReadyHandler&) { return true; }};
  for (std::size_t i = next_; i < end_; ++i)
    if (events_[i].data.ptr == &handler) events_[i].data.ptr = &nobody;
}

bool Reactor::Interrupt::rung(ReadyHandler& self) {
  std::uint64_t count;
  // Only to make it unreadable again; how often it was rung does not matter.
  [[maybe_unused]] ssize_t const got = read(self.fd, &count, sizeof count);
  return true;
}

void Reactor::interrupt() noexcept {
  std::uint64_t const one = 1;
  [[maybe_unused]] ssize_t const put = write(interrupt_.fd, &one, sizeof one);
}

}  // namespace tally
