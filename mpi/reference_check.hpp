// How what all ranks counted is held against what one process counts.
#pragma once

#include <cstdint>

#include "workloads/counting/counts.hpp"

namespace tally {

/// How a cell's reference was checked against the sequential count.
struct ReferenceCheck {
  std::uint64_t one_in = 1;  ///< of the stream: 1: all of it
  double parallel_s = 0;     ///< how long the slowest rank took for its part
  double sequential_s = 0;
};

/// Of text counts, a sum over their keys that does not depend on their order or on who has them: equal counts
/// have the same, others but by a chance of 2^-128.
struct KeyDigest {
  std::uint64_t one = 0, other = 0;
  std::uint64_t keys = 0;

  /// Of `counts`, which are only looked at; each count times `times`.
  static KeyDigest of(Counts& counts, std::uint64_t times);
  void add(std::int64_t window_start, std::uint64_t hash, std::uint64_t count) noexcept;
  friend bool operator==(KeyDigest const&, KeyDigest const&) = default;
};

/// What one process would need to count a whole stream by itself, and may.
struct WholeStream {
  double seconds = 0, most_seconds = 0;
  std::uint64_t keys = 0;    ///< different text keys of all windows together; 0 if they are numbers
  std::uint64_t events = 0;  ///< of which each has one key at most
  double key_bytes = 0;      ///< of memory, for each key
  double most_bytes = 0;
};

/// Which part of the stream one process counts: one in so many, a power of two, such that it is done in
/// most_seconds and no table has more than most_bytes.
std::uint64_t part_to_check(WholeStream const& whole) noexcept;

}  // namespace tally
