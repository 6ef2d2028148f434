#include "bench/awake_cpus.hpp"

#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <system_error>
#include <thread>

#include "bench/sample.hpp"

namespace tally {

/// What both processes see; zeroed at first.
struct AwakeCpus::Shared {
  std::atomic<std::uint32_t> polling;  ///< so many CPUs, the first of them
  static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
};

namespace {

/// Between two looks at whether it is still asked to.
constexpr int kSpins = 1000;

void spin_while_asked(std::atomic<std::uint32_t>& polling, std::uint32_t place) {
  for (;;) {
    std::uint32_t const now = polling.load(std::memory_order_acquire);
    // libstdc++'s atomic waiting does not work between processes: futex(2).
    if (now <= place) ::syscall(SYS_futex, &polling, FUTEX_WAIT, now, nullptr, nullptr, 0);
    for (int i = 0; i < kSpins; ++i) {
#ifdef __x86_64__
      __builtin_ia32_pause();
#endif
    }
  }
}

}  // namespace

AwakeCpus::AwakeCpus(std::vector<int> const& cpus) {
  void* const memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    throw std::system_error(errno, std::generic_category(), "memory shared with what keeps CPUs awake");
  shared_ = static_cast<Shared*>(memory);
  auto const body = [this, &cpus] {
    sched_param const none{};
    // Before there are threads, which inherit it. Anybody may go down to it.
    if (::sched_setscheduler(0, SCHED_IDLE, &none) != 0)
      throw std::system_error(errno, std::generic_category(), "SCHED_IDLE");
    std::vector<std::jthread> threads;
    for (std::uint32_t place = 0; place < cpus.size(); ++place)
      threads.emplace_back([this, place, cpu = cpus[place]] {
        pin_process({cpu});
        spin_while_asked(shared_->polling, place);
      });
  };
  try {
    process_ = std::make_unique<HelperProcess>("what keeps CPUs awake", cpus, body);
  } catch (...) {
    ::munmap(shared_, sizeof(Shared));
    throw;
  }
}

AwakeCpus::~AwakeCpus() {
  process_.reset();
  ::munmap(shared_, sizeof(Shared));
}

void AwakeCpus::set(int count) noexcept {
  shared_->polling.store(static_cast<std::uint32_t>(count), std::memory_order_release);
  if (count > 0) ::syscall(SYS_futex, &shared_->polling, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace tally
