#include "workloads/synthetic.hpp"

#include <sched.h>

#include <algorithm>
#include <thread>
#include <vector>

namespace tally {
namespace {

unsigned usable_cpu_count() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return std::max(1U, std::thread::hardware_concurrency());
  return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
}

// The counting kernel: one load and one read-modify-write an event.
void count_keys(std::uint32_t const* keys, std::uint64_t n, std::uint64_t* __restrict row) noexcept {
  for (std::uint64_t i = 0; i < n; ++i) ++row[keys[i]];
}

class SyntheticStream final : public CpuStream {
 public:
  SyntheticStream(SyntheticEvents const& all, std::uint64_t events, Grain grain,
                  std::chrono::nanoseconds window)
      : keys_(all.keys()),
        events_(events),
        key_count_(all.spec().keys),
        grain_(grain),
        window_ns_(static_cast<std::uint64_t>(std::max<std::int64_t>(0, window.count()))) {}

  std::uint64_t size() const noexcept override { return events_; }
  Counts empty_tally() const override { return Counts::dense(key_count_); }

  void count(Range range, Counts& tally) const override {
    if (range.empty()) return;
    if (grain_.iterations > 0) {
      for (std::uint64_t i = range.begin; i < range.end; ++i) tally.checksum += grind(i, grain_.iterations);
    }
    std::uint64_t begin = range.begin;
    while (begin < range.end) {
      std::uint64_t const window = window_of(begin);
      std::uint64_t const end = std::min(range.end, window_end(window));
      count_keys(keys_ + begin, end - begin, tally.dense_row(window));
      begin = end;
    }
    tally.events += range.end - range.begin;
    tally.cover(range.begin, range.end);
  }

  std::uint64_t batch_end(std::uint64_t begin, std::uint64_t events) const noexcept override {
    return events_ - begin > events ? begin + events : events_;
  }

  std::vector<Range> split(std::size_t parts) const override {
    std::vector<Range> ranges(parts);
    std::uint64_t begin = 0;
    for (std::size_t p = 0; p < parts; ++p) {
      std::uint64_t const end = begin + (events_ - begin) / (parts - p);
      ranges[p] = {begin, end};
      begin = end;
    }
    return ranges;
  }

 private:
  static constexpr std::uint64_t kSpacing = static_cast<std::uint64_t>(kEventSpacing.count());
  std::uint64_t window_of(std::uint64_t event) const noexcept {
    return window_ns_ == 0 ? 0 : event * kSpacing / window_ns_;
  }
  // The first event after `window`.
  std::uint64_t window_end(std::uint64_t window) const noexcept {
    if (window_ns_ == 0) return events_;
    return ((window + 1) * window_ns_ + kSpacing - 1) / kSpacing;
  }

  std::uint32_t const* keys_;
  std::uint64_t events_;
  std::uint32_t key_count_;
  Grain grain_;
  std::uint64_t window_ns_;
};

}  // namespace

SyntheticEvents::SyntheticEvents(KeySpec const& spec, std::uint64_t events)
    : spec_(spec), size_(events), memory_(events * sizeof(std::uint32_t)) {
  KeyGenerator const generator(spec);
  auto* const out = static_cast<std::uint32_t*>(memory_.data());
  unsigned const parts = usable_cpu_count();
  std::vector<std::jthread> threads;
  for (unsigned p = 0; p < parts; ++p) {
    std::uint64_t const begin = events / parts * p;
    std::uint64_t const end = p + 1 == parts ? events : events / parts * (p + 1);
    threads.emplace_back([&generator, out, begin, end] {
      for (std::uint64_t i = begin; i < end; ++i) out[i] = generator.key(i);
    });
  }
}

std::unique_ptr<CpuStream> make_synthetic_stream(SyntheticEvents const& all, std::uint64_t events,
                                                 Grain grain, std::chrono::nanoseconds window) {
  return std::make_unique<SyntheticStream>(all, std::min(events, all.size()), grain, window);
}

std::uint64_t synthetic_windows(std::uint64_t events, std::chrono::nanoseconds window) noexcept {
  if (events == 0) return 0;
  if (window.count() <= 0) return 1;
  return (events - 1) * static_cast<std::uint64_t>(kEventSpacing.count()) /
             static_cast<std::uint64_t>(window.count()) +
         1;
}

}  // namespace tally
