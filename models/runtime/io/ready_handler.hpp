// What a reactor, and its ring of io_uring, tell of a descriptor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tally {

/// Told when its descriptor is readable. Belongs to the model; must outlive its registration.
struct ReadyHandler {
  /// False when nothing that comes is waited for any more (the other end has closed, or speaks unasked): then
  /// it is told no longer, where a level-triggered descriptor would be reported for ever.
  bool (*on_readable)(ReadyHandler&);
  int fd = -1;             ///< set by Reactor::add()
  std::uint32_t slot = 0;  ///< the reactor's own
};

/// What a handler wants of its descriptor.
enum class Wanted {
  readiness,  ///< to be told; what it then does with the descriptor is its own
  bytes,      ///< to receive what comes, by its Transfer: a ring has them received before the handler is told
};

/// What there was to receive: some bytes, or `error` (EAGAIN: nothing now), or neither, which is the end.
struct Received {
  std::span<char const> bytes{};
  int error = 0;
};

/// A ring sends no more at once.
inline constexpr std::size_t kMostBytesToSend = 64;

}  // namespace tally
