#include "bench/machine/awake_cpus.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <system_error>
#include <thread>

#include "bench/process/forked_process.hpp"

namespace tally {
namespace {

/// What is written where the kernel is told how long waking a CPU may take, in microseconds.
constexpr std::int32_t kNoWakeUp = 0, kNoLatencyLimit = 2'000'000'000;  // PM_QOS_CPU_LATENCY_DEFAULT_VALUE

/// Between two looks at whether it is still asked to.
constexpr int kSpins = 1000;

static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

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

AwakeCpus::AwakeCpus(std::vector<int> const& cpus, std::filesystem::path const& latency_limit)
    : limit_(::open(latency_limit.c_str(), O_WRONLY | O_CLOEXEC)) {
  if (limit_.get() >= 0) {
    how_ = "CPUs poll while they wait (--idle poll): the kernel may take no time to wake one (" +
           latency_limit.string() + ")";
    return;
  }
  how_ =
      "the workers' CPUs poll while they wait (--idle poll): threads of the scheduler's idle class spin "
      "there, since " +
      latency_limit.string() + " cannot be written: " + std::strerror(errno);
  polling_.emplace("memory shared with what keeps CPUs awake");
  auto const body = [this, &cpus] {
    sched_param const none{};
    // Before there are threads, which inherit it. Anybody may go down to it.
    if (::sched_setscheduler(0, SCHED_IDLE, &none) != 0)
      throw std::system_error(errno, std::generic_category(), "SCHED_IDLE");
    std::vector<std::jthread> threads;
    for (std::uint32_t place = 0; place < cpus.size(); ++place)
      threads.emplace_back([this, place, cpu = cpus[place]] {
        pin_process({cpu});
        spin_while_asked(**polling_, place);
      });
  };
  process_ = std::make_unique<HelperProcess>("what keeps CPUs awake", cpus, body);
}

std::optional<std::string> AwakeCpus::failure() {
  if (!failure_ && process_) failure_ = process_->death();
  return failure_;
}

void AwakeCpus::set(int count) noexcept {
  if (!process_) {
    std::int32_t const us = count > 0 ? kNoWakeUp : kNoLatencyLimit;
    if (::pwrite(limit_.get(), &us, sizeof us, 0) != sizeof us) failure_ = std::strerror(errno);
    return;
  }
  (*polling_)->store(static_cast<std::uint32_t>(count), std::memory_order_release);
  if (count > 0) ::syscall(SYS_futex, polling_->get(), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace tally
