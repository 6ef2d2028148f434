// The one readiness loop behind every model that waits without blocking: epoll, level-triggered.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>

namespace tally {

/// Told when its descriptor is readable. Belongs to the model; must outlive its registration.
struct ReadyHandler {
  /// False when nothing that comes is waited for any more (the other end has closed, or speaks unasked): then
  /// it is told no longer, where a level-triggered descriptor would be reported for ever.
  bool (*on_readable)(ReadyHandler&);
  int fd = -1;  ///< set by Reactor::add()
};

/// Waits for many descriptors on one thread. Descriptors are registered once, for reading, level-triggered: a
/// connection that answers one request at a time then needs no further epoll_ctl, and an end of stream that
/// comes with the data is seen again. One thread at a time, but for interrupt().
class Reactor {
 public:
  /// Throws std::system_error.
  Reactor();
  ~Reactor();
  Reactor(Reactor const&) = delete;
  Reactor& operator=(Reactor const&) = delete;

  /// From now on `handler` is told whenever `fd` is readable or has failed, until it wants to be told no more
  /// or `fd` is closed. Throws std::system_error.
  void add(int fd, ReadyHandler& handler);

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
  int epoll_ = -1;
  int interrupt_ = -1;
  std::array<epoll_event, kEventsAtOnce> events_;
  std::size_t next_ = 0, end_ = 0;  // of events_, those that handlers have yet to be told of
};

}  // namespace tally
