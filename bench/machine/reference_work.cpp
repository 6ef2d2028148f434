#include "bench/machine/reference_work.hpp"

#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstring>
#include <ctime>
#include <latch>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include "bench/machine/system_limits.hpp"
#include "bench/process/child_watch.hpp"
#include "bench/process/forked_process.hpp"
#include "models/runtime/spin.hpp"
#include "workloads/counting/grain.hpp"

namespace tally {
namespace {

using Clock = std::chrono::steady_clock;

/// What the process sends.
struct ReferenceReport {
  std::int64_t elapsed_ns;
  std::uint64_t ctx_involuntary;
  double links_per_ns, links_per_ns_alone;
  double read_bytes_per_s;
  double hand_off_s;
};

/// Memory of a thread's own, all of it there; or none.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes)
      : bytes_(bytes),
        at_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (at_ == MAP_FAILED) return;
    ::madvise(at_, bytes_, MADV_HUGEPAGE);
    constexpr std::size_t kSmallestPage = 4096;  // else all would be the one page of zeros
    for (std::size_t i = 0; i < bytes_; i += kSmallestPage) static_cast<char*>(at_)[i] = 1;
  }
  ~Buffer() {
    if (at_ != MAP_FAILED) ::munmap(at_, bytes_);
  }
  Buffer(Buffer const&) = delete;
  Buffer& operator=(Buffer const&) = delete;

  bool is_there() const { return at_ != MAP_FAILED; }
  /// Reads it all; the sum is there for the compiler, which must not skip it.
  [[gnu::no_sanitize_thread, gnu::no_sanitize_address]] std::uint64_t sum() const {
    auto const* const words = static_cast<std::uint64_t const*>(at_);
    std::uint64_t sums[4]{};
    for (std::size_t i = 0; i < bytes_ / sizeof *words; i += 4)
      for (std::size_t k = 0; k < 4; ++k) sums[k] += words[i + k];
    return sums[0] + sums[1] + sums[2] + sums[3];
  }

 private:
  std::size_t bytes_;
  void* at_;
};

/// This thread's CPU time: what else the CPU does meanwhile, or a quota of a cgroup, is not in it.
double thread_cpu_s() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Links per nanosecond of this thread's CPU time.
double links_rate(std::uint64_t event, std::uint64_t links) {
  double const began = thread_cpu_s();
  std::uint64_t volatile sink = grind(event, links);
  (void)sink;
  return static_cast<double>(links) / std::max(1.0, 1e9 * (thread_cpu_s() - began));
}

/// Indices from one thread to one other: Lamport's ring ("Proving the Correctness of Multiprocess Programs",
/// IEEE Trans. Software Engineering 3, 1977), each side with its last look at the other's position.
class IndexRing {
 public:
  void push(std::uint64_t index) noexcept {
    std::uint64_t const tail = tail_.load(std::memory_order_relaxed);
    for (int looks = 0; tail - head_seen_ == kLength; ++looks) {
      head_seen_ = head_.load(std::memory_order_acquire);
      if (tail - head_seen_ == kLength) wait(looks);
    }
    slots_[tail % kLength] = index;
    tail_.store(tail + 1, std::memory_order_release);
  }
  std::uint64_t pop() noexcept {
    std::uint64_t const head = head_.load(std::memory_order_relaxed);
    for (int looks = 0; head == tail_seen_; ++looks) {
      tail_seen_ = tail_.load(std::memory_order_acquire);
      if (head == tail_seen_) wait(looks);
    }
    std::uint64_t const index = slots_[head % kLength];
    head_.store(head + 1, std::memory_order_release);
    return index;
  }

 private:
  /// Where both sides have come to share one CPU, nothing changes until the other runs.
  static void wait(int looks) noexcept {
    constexpr int kLooks = 10'000;
    if (looks < kLooks)
      pause_core();
    else
      ::sched_yield();
  }
  static constexpr std::uint64_t kLength = 1024;
  alignas(64) std::atomic<std::uint64_t> tail_{0};
  std::uint64_t head_seen_ = 0;
  alignas(64) std::atomic<std::uint64_t> head_{0};
  std::uint64_t tail_seen_ = 0;
  alignas(64) std::uint64_t slots_[kLength];
};

constexpr int kReads = 2;
/// No more of the memory there is than this share is taken for it.
constexpr std::uint64_t kMemoryShare = 4;

std::string compute(std::vector<int> const& cpus, ReferenceWork const& work, bool read_too) {
  std::size_t const threads = std::max<std::size_t>(1, cpus.size());
  std::barrier together(static_cast<std::ptrdiff_t>(threads));
  std::vector<double> read_rates(threads);  // bytes per second
  std::latch ready(static_cast<std::ptrdiff_t>(threads) + 1), done(static_cast<std::ptrdiff_t>(threads));
  std::vector<double> rates(threads);  // links per ns
  double alone = 0, hand_off_s[2]{};
  IndexRing ring;
  std::vector<std::jthread> running;
  auto const run = [&](std::size_t t) {
    running.emplace_back([&, t] {
      try {
        if (!cpus.empty()) pin_process({cpus[t]});
      } catch (std::exception const&) {
        // A CPU was taken from this process meanwhile: it runs where it may, and its time shows it.
      }
      constexpr std::uint64_t kAlonePart = 2;
      if (t == 0) alone = links_rate(0, std::max<std::uint64_t>(1, work.links / kAlonePart));
      ready.arrive_and_wait();
      rates[t] = links_rate(t, work.links);
      done.count_down();
      together.arrive_and_wait();  // no chain is disturbed by another's memory
      if (threads > 1 && t < 2) {
        double const before = thread_cpu_s();
        std::uint64_t volatile last = 0;
        for (std::uint64_t i = 0; i < work.hand_offs(); ++i) {
          if (t == 0)
            ring.push(i);
          else
            last = ring.pop();
        }
        (void)last;
        hand_off_s[t] = thread_cpu_s() - before;
      }
      together.arrive_and_wait();
      if (!read_too) return;
      Buffer const buffer(work.read_bytes);
      together.arrive_and_wait();
      if (!buffer.is_there()) return;
      auto const reads = Clock::now();
      std::uint64_t volatile sink = 0;
      for (int i = 0; i < kReads; ++i) sink = buffer.sum();
      (void)sink;
      std::chrono::duration<double> const read_s = Clock::now() - reads;
      read_rates[t] = kReads * static_cast<double>(work.read_bytes) / read_s.count();
    });
  };
  for (std::size_t t = 0; t < threads; ++t) {
    try {
      run(t);
    } catch (std::system_error const&) {  // those that there are must not wait for the others
      ready.count_down(static_cast<std::ptrdiff_t>(threads - t) + 1);
      for (std::size_t missing = t; missing < threads; ++missing) together.arrive_and_drop();
      throw;
    }
  }
  ready.arrive_and_wait();
  auto const began = Clock::now();
  done.wait();
  ReferenceReport report{.elapsed_ns = (Clock::now() - began).count(),
                         .ctx_involuntary = 0,
                         .links_per_ns = 0,
                         .links_per_ns_alone = 0,
                         .read_bytes_per_s = 0,
                         .hand_off_s = 0};
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  report.ctx_involuntary = static_cast<std::uint64_t>(usage.ru_nivcsw);
  running.clear();
  report.links_per_ns = mean(rates);
  report.links_per_ns_alone = alone;
  report.hand_off_s =
      (hand_off_s[0] + hand_off_s[1]) / static_cast<double>(std::max<std::uint64_t>(1, work.hand_offs()));
  if (*std::min_element(read_rates.begin(), read_rates.end()) > 0)
    report.read_bytes_per_s = static_cast<double>(threads) * mean(read_rates);
  return {reinterpret_cast<char const*>(&report), sizeof report};
}

}  // namespace

std::optional<ReferenceSample> run_reference(std::vector<int> const& cpus, StopSignals const& stop,
                                             ReferenceWork const& work) {
  if (stop.requested()) return std::nullopt;
  constexpr std::chrono::seconds kTimeout{30};
  std::uint64_t const memory = work.read_bytes * std::max<std::size_t>(1, cpus.size());
  bool const read_too = memory <= read_system_limits().memory.value / kMemoryShare;
  ChildWatch child([&]() -> std::string {
    try {
      return compute(cpus, work, read_too);
    } catch (std::exception const&) {
      return {};  // no thread to be had
    }
  });
  auto const outcome = child.wait({kTimeout, stop});
  if (outcome.ending == Ending::interrupted) return std::nullopt;
  if (outcome.ending != Ending::finished || !outcome.report ||
      outcome.report->size() != sizeof(ReferenceReport))
    throw std::runtime_error("the reference computation did not end: " +
                             describe_wait_status(outcome.status));
  ReferenceReport report;
  std::memcpy(&report, outcome.report->data(), sizeof report);
  ReferenceSample sample;
  sample.elapsed = std::chrono::nanoseconds(report.elapsed_ns);
  sample.ctx_involuntary = report.ctx_involuntary;
  sample.links_per_ns = report.links_per_ns;
  sample.links_per_ns_alone = report.links_per_ns_alone;
  sample.read_bytes_per_s = report.read_bytes_per_s;
  sample.hand_off_s = report.hand_off_s;
  return sample;
}

}  // namespace tally
