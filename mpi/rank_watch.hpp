// What a rank tells the process that watches over it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace tally {

/// In memory that both map. The watcher ends a rank that is past its deadline.
struct RankWatch {
  std::atomic<std::int64_t> deadline_ns;  ///< of std::chrono::steady_clock; 0: none
  std::atomic<std::int32_t> rank;         ///< in the job, from 1; 0: not known yet
  static constexpr std::size_t kTextBytes = 256;
  char doing[kTextBytes];  ///< what must be done by then; written before the deadline is
  char host[kTextBytes];

  /// As much of `text` as has room, in either of them.
  static void write(char (&to)[kTextBytes], std::string const& text) noexcept {
    to[text.copy(to, kTextBytes - 1)] = '\0';
  }

  static_assert(std::atomic<std::int64_t>::is_always_lock_free);
};

}  // namespace tally
