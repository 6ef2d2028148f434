// The one loop behind every model that waits without blocking: over epoll, level-triggered, or over io_uring.
#pragma once

#include <sys/epoll.h>
#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "models/io.hpp"
#include "models/runtime/io/ready_handler.hpp"

namespace tally {

class UringLoop;
struct ReceiveBuffers;

/// How a socket's bytes come and go: by system calls, or by the ring of the reactor that it is in. A view:
/// what it speaks of is the reactor's.
class Transfer {
 public:
  /// By system calls.
  Transfer() = default;

  /// What is there, at most as much as `room` holds: in `room`, or where the ring received it, beyond which a
  /// page may be read too; there until the next receive() or run_once() of that reactor. With `flags` as
  /// recv(2). The reactor's thread, where it is in one for bytes.
  Received receive(int fd, std::span<char> room, int flags = 0) const;
  /// Whether receive() has something to give without asking the kernel. The reactor's thread.
  bool more() const noexcept;
  /// Sends all of `bytes`, by a ring at most kMostBytesToSend. By a ring, from the reactor's thread, it goes
  /// with all others of the turn, and that it could not be sent is for receive() to say; else at once,
  /// waiting for room if there is none: an error number, or 0.
  int send(int fd, std::span<char const> bytes) const;
  /// Nothing more is received ahead: after what receive() still gives, all else is in the socket, for
  /// recv(2). The reactor's thread. Throws std::system_error.
  void settle() const;

 private:
  friend class Reactor;
  Transfer(UringLoop* loop, std::uint32_t slot) noexcept : loop_(loop), slot_(slot) {}
  UringLoop* loop_ = nullptr;
  std::uint32_t slot_ = 0;
};

/// Waits for many descriptors on one thread. Descriptors are registered once, for reading, level-triggered: a
/// connection that answers one request at a time then needs no further epoll_ctl, and an end of stream that
/// comes with the data is seen again. The same over a ring of io_uring, which has as its own what epoll does
/// not: it receives and sends. One thread at a time, but for interrupt().
class Reactor {
 public:
  /// `buffers` are what a ring receives into (default: kReplyBuffers); null and unused by epoll. Throws
  /// std::system_error.
  explicit Reactor(Io io = Io::epoll, ReceiveBuffers const* buffers = nullptr);
  ~Reactor();
  Reactor(Reactor const&) = delete;
  Reactor& operator=(Reactor const&) = delete;

  /// From now on it is the calling thread's, where it was made on another.
  void attach() noexcept;

  /// From now on `handler` is told whenever `fd` is readable or has failed, until it wants to be told no more
  /// or `fd` is closed. Throws std::system_error.
  Transfer add(int fd, ReadyHandler& handler, Wanted wanted = Wanted::readiness);

  /// The handler, which was added and then wanted to be told no more, is told again. Throws
  /// std::system_error.
  void resume(ReadyHandler& handler);

  /// The handler's descriptor is to be closed, and the handler goes: if it was about to be told of something,
  /// it is not.
  void forget(ReadyHandler const& handler) noexcept;

  /// Waits until a descriptor is ready, `timeout` has passed (none: for ever; zero: not at all) or
  /// interrupt() was called, and tells each handler that is due. Throws std::system_error.
  void run_once(std::optional<std::chrono::nanoseconds> timeout);

  /// Ends a run_once() that waits, or the next one. Any thread.
  void interrupt() noexcept;

 private:
  // One call hands out up to this many; more than come ready between two calls at any rate seen.
  static constexpr int kEventsAtOnce = 256;
  struct Interrupt : ReadyHandler {
    static bool rung(ReadyHandler& self);
  };
  Interrupt interrupt_{{Interrupt::rung}};
  int epoll_ = -1;
  std::array<epoll_event, kEventsAtOnce> events_;
  std::size_t next_ = 0, end_ = 0;   // of events_, those that handlers have yet to be told of
  std::unique_ptr<UringLoop> ring_;  // in place of epoll
};

}  // namespace tally
