// Waiting for what is about to happen.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tally {

/// Tells the processor that this thread waits: another on the same core may run.
inline void pause_core() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// How often is looked before a thread sleeps: some microseconds, about what it costs to sleep and be woken.
inline constexpr int kSpins = 100;

/// Looks kSpins times whether `there()` holds; whether it did.
template <class Condition>
bool spin_until(Condition&& there) {
  for (int i = 0; i < kSpins; ++i) {
    if (there()) return true;
    pause_core();
  }
  return false;
}

}  // namespace tally
