#include "bench/machine/wake_ups.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <exception>
#include <system_error>
#include <thread>

#include "bench/process/forked_process.hpp"
#include "workloads/base/owned_fd.hpp"

namespace tally {
namespace {

using Clock = std::chrono::steady_clock;

void stay_on(int cpu) {
  try {
    pin_process({cpu});
  } catch (std::exception const&) {
    // The CPU was taken from this process meanwhile: wherever it runs, it sees what there is.
  }
}

}  // namespace

std::chrono::nanoseconds WakeUps::quantile(double q) const {
  if (took.empty()) return std::chrono::nanoseconds{0};
  auto sorted = took;
  auto const rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(sorted.size())));
  auto const place = sorted.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(rank, 1) - 1);
  std::nth_element(sorted.begin(), place, sorted.end());
  return *place;
}

WakeUps look_for_wake_ups(int waker_cpu, int sleeper_cpu, int times, std::chrono::nanoseconds pause,
                          StopSignals const& stop) {
  OwnedFd const bell(::eventfd(0, EFD_CLOEXEC));
  if (bell.get() < 0) throw std::system_error(errno, std::generic_category(), "eventfd to wake a thread by");
  constexpr std::int64_t kAsleep = -1;
  // When it was awake, of one wake-up at a time, in nanoseconds of the clock.
  std::atomic<std::int64_t> awake_ns{kAsleep};
  std::atomic<bool> ended{false};
  auto const now_ns = [] { return Clock::now().time_since_epoch().count(); };
  auto const ring = [&bell] {
    std::uint64_t const one = 1;
    while (::write(bell.get(), &one, sizeof one) < 0 && errno == EINTR) {
    }
  };
  WakeUps found;
  found.took.reserve(static_cast<std::size_t>(times));
  {
    std::jthread const sleeper([&] {
      stay_on(sleeper_cpu);
      std::uint64_t rings = 0;
      while (!ended.load(std::memory_order_acquire)) {
        awake_ns.store(kAsleep, std::memory_order_release);
        if (::read(bell.get(), &rings, sizeof rings) < 0) continue;
        awake_ns.store(now_ns(), std::memory_order_release);
        // Until the waker has seen it.
        while (awake_ns.load(std::memory_order_acquire) != kAsleep &&
               !ended.load(std::memory_order_acquire)) {
        }
      }
    });
    std::jthread const waker([&] {
      stay_on(waker_cpu);
      for (int i = 0; i < times && !stop.requested(); ++i) {
        for (auto const until = Clock::now() + pause; Clock::now() < until && !stop.requested();) {
        }
        std::int64_t const rung = now_ns();
        ring();
        std::int64_t awake = kAsleep;
        while ((awake = awake_ns.load(std::memory_order_acquire)) == kAsleep) {
        }
        found.took.emplace_back(awake - rung);
        awake_ns.store(kAsleep, std::memory_order_release);
      }
      ended.store(true, std::memory_order_release);
      ring();
    });
  }
  return found;
}

}  // namespace tally
