// How lines of events that arrive are read.
#pragma once

#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>

#include "workloads/counting/grain.hpp"
#include "workloads/text/line_formats.hpp"

namespace tally {

/// What a reader of lines may touch beyond their last byte: lines are looked at in blocks.
inline constexpr std::size_t kReadAheadBytes = 64;

/// How lines are counted. The same for all workers.
struct LineRules {
  /// Span of event time that is counted together; windows begin at its multiples since the epoch. 0: one
  /// window, from 0.
  std::chrono::nanoseconds window{0};
  /// The event time of lines that have none is when they arrive; otherwise 0.
  bool untimed_now = false;
  /// How lines are read; none: as event_lines.hpp says.
  std::optional<LineFormat> format{};
  /// No more windows may be open at once: an event of a further one is malformed. Bounds what a client with a
  /// wild clock fills.
  std::size_t windows_max = std::numeric_limits<std::size_t>::max();
  /// Longer lines are malformed, without their ends.
  std::size_t line_max = 4096;
  /// Work for each event.
  Grain grain{};
};

}  // namespace tally
