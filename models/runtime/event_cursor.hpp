// The read position of a lookup stream, which whoever has a connection free moves on.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

namespace tally {

/// Gives each event of a lookup stream once, in order. Any thread.
class EventCursor {
 public:
  explicit EventCursor(std::uint64_t events) : events_(events) {}
  /// The next event, or none when the stream has ended or was stopped.
  std::optional<std::uint64_t> take() noexcept {
    std::uint64_t const event = next_.fetch_add(1, std::memory_order_relaxed);
    if (event >= events_) return std::nullopt;
    return event;
  }
  /// No more events: somebody failed.
  void stop() noexcept { next_.store(events_, std::memory_order_relaxed); }

 private:
  std::uint64_t events_;
  alignas(64) std::atomic<std::uint64_t> next_{0};
};

}  // namespace tally
