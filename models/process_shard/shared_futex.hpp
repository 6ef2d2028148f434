// Sleeping on a word in memory that processes share. libstdc++'s atomic waiting does not work between
// processes.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>

namespace tally {

using SharedWord = std::atomic<std::uint32_t>;
static_assert(SharedWord::is_always_lock_free && sizeof(SharedWord) == sizeof(std::uint32_t));

/// Sleeps while `word` is `value`, but not longer than `at_most` (null: for ever). May return early.
inline void futex_wait(SharedWord& word, std::uint32_t value, timespec const* at_most) noexcept {
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAIT, value, at_most, nullptr, 0);
}
inline void futex_wake_all(SharedWord& word) noexcept {
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace tally
