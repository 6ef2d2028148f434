#include "workloads/events/synthetic.hpp"

#include <sched.h>

#include <algorithm>
#include <bit>
#include <cstring>
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

// The counting kernel: one load and one read-modify-write an event. Keys are asked for ahead of time, a cache
// line at a time: processors' own prefetching stops at each page of 4 KiB, and where a hypervisor backs
// memory with such pages it starts anew at each. Measured on events that no cache holds: 1.01 ns an event
// without, 0.34 with; on those in the last-level cache 0.4 to 0.6 and 0.30; distances from 2 to 8 KiB are
// alike. Keys are taken from words of eight bytes, which are summed up on the way: that takes a tenth less
// time than reading each key and summing up nothing (0.37 and 0.41 ns).
//
// It begins at a cache line, whatever is linked before it: where it fell otherwise, two programs made of the
// same objects counted 2.5 and 1.3 G events/s on one machine (AMD EPYC, 2 CPUs), and a comparison of builds
// called every model slower.
//
// Returns the sum of what binds each event to its key (Counts::pairs): the key times a number that its
// position determines. Of events whose keys fit in one word, that is one number, and each has the key shifted
// to where it lies in the word: so one multiplication does for all, and the sum is the same however a stream
// is cut. The numbers are of two odd constants, so that no two positions have the same.
template <class Key>
[[gnu::noinline, gnu::aligned(64)]] std::uint64_t count_keys(Key const* keys, std::uint64_t n,
                                                             std::uint64_t position,
                                                             std::uint64_t* __restrict row) noexcept {
  static_assert(std::endian::native == std::endian::little, "the first key of a word is its lowest part");
  constexpr std::uint64_t kLineKeys = 64 / sizeof(Key), kWordKeys = 8 / sizeof(Key), kLineWords = 8;
  constexpr int kKeyBits = 8 * sizeof(Key);
  constexpr std::uintptr_t kAheadBytes = 4096;
  constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15ULL, kFirst = 0xd6e8feb86659fd93ULL;
  std::uint64_t sum = 0;
  auto const count_one = [&](std::uint64_t i) {
    std::uint64_t const at = position + i;
    sum += (static_cast<std::uint64_t>(keys[i]) << (kKeyBits * (at % kWordKeys))) *
           (at / kWordKeys * kStep + kFirst);
    ++row[keys[i]];
  };
  std::uint64_t i = 0;
  for (; i < n && (position + i) % kWordKeys != 0; ++i) count_one(i);
  std::uint64_t factor = (position + i) / kWordKeys * kStep + kFirst;
  for (; i + kLineKeys <= n; i += kLineKeys) {
    // By number, since it may point past the last key; a prefetch of nothing is nothing.
    __builtin_prefetch(
        reinterpret_cast<void const*>(reinterpret_cast<std::uintptr_t>(keys + i) + kAheadBytes));
    std::uint64_t words = 0, prefixes = 0;
    for (std::uint64_t j = 0; j < kLineKeys; j += kWordKeys) {
      std::uint64_t word;
      std::memcpy(&word, keys + i + j, sizeof word);
      prefixes += words += word;
      for (std::uint64_t k = 0; k < kWordKeys; ++k) ++row[static_cast<Key>(word >> (kKeyBits * k))];
    }
    // Of n words, the sum of prefixes has the first n times and the last once: what is added is each word
    // times its own factor, which grows by kStep from one to the next.
    factor += kLineWords * kStep;
    sum += words * factor - prefixes * kStep;
  }
  for (; i < n; ++i) count_one(i);
  return sum;
}

/// `Key` is what SyntheticEvents keep the keys in.
template <class Key>
class SyntheticStream final : public CpuStream {
 public:
  SyntheticStream(SyntheticEvents const& all, std::uint64_t events, Grain grain,
                  std::chrono::nanoseconds window)
      : keys_(all.keys<Key>()),
        events_(events),
        first_(all.first()),
        key_count_(all.spec().keys),
        grain_(grain),
        window_ns_(static_cast<std::uint64_t>(std::max<std::int64_t>(0, window.count()))) {}

  std::uint64_t size() const noexcept override { return events_; }
  Counts empty_tally() const override { return Counts::dense(key_count_); }
  std::uint64_t windows() const noexcept override {
    return synthetic_windows(first_ + events_, std::chrono::nanoseconds(window_ns_));
  }

  void count(Range range, Counts& tally) const override { count_at(range, keys_ + range.begin, tally); }
  std::size_t message_bytes(Range range) const override { return (range.end - range.begin) * sizeof(Key); }
  void write_message(Range range, std::byte* out) const override {
    std::memcpy(out, keys_ + range.begin, message_bytes(range));
  }
  void count_message(Range range, std::span<std::byte const> message, Counts& tally) const override {
    count_at(range, reinterpret_cast<Key const*>(message.data()), tally);
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
  /// Counts the events in `range`, whose keys lie at `keys`.
  void count_at(Range range, Key const* keys, Counts& tally) const {
    if (range.empty()) return;
    if (grain_.iterations > 0) {
      Grinder grind(grain_.iterations, tally.chain);
      std::uint64_t checksum = 0;
      for (std::uint64_t i = range.begin; i < range.end; ++i) checksum += grind(first_ + i);
      tally.checksum += checksum;
    }
    std::uint64_t begin = range.begin;
    while (begin < range.end) {
      std::uint64_t const window = window_of(first_ + begin);
      std::uint64_t const end = std::min(range.end, window_end(window) - first_);
      tally.pairs +=
          count_keys(keys + (begin - range.begin), end - begin, first_ + begin, tally.dense_row(window));
      begin = end;
    }
    tally.events += range.end - range.begin;
    tally.cover(first_ + range.begin, first_ + range.end);
  }

  static constexpr std::uint64_t kSpacing = static_cast<std::uint64_t>(kEventSpacing.count());
  std::uint64_t window_of(std::uint64_t event) const noexcept {
    return window_ns_ == 0 ? 0 : event * kSpacing / window_ns_;
  }
  // The first event after `window`.
  std::uint64_t window_end(std::uint64_t window) const noexcept {
    if (window_ns_ == 0) return first_ + events_;
    return ((window + 1) * window_ns_ + kSpacing - 1) / kSpacing;
  }

  Key const* keys_;
  std::uint64_t events_;
  std::uint64_t first_;
  std::uint32_t key_count_;
  Grain grain_;
  std::uint64_t window_ns_;
};

}  // namespace

SyntheticEvents::SyntheticEvents(KeySpec const& spec, std::uint64_t events, std::uint64_t first)
    : spec_(spec), size_(events), first_(first), memory_(events * key_bytes(spec.keys)) {
  if (key_bytes(spec.keys) == sizeof(std::uint16_t))
    draw<std::uint16_t>();
  else
    draw<std::uint32_t>();
}

template <class Key>
void SyntheticEvents::draw() {
  KeyGenerator const generator(spec_);
  auto* const out = static_cast<Key*>(memory_.data());
  unsigned const parts = usable_cpu_count();
  std::vector<std::jthread> threads;
  for (unsigned p = 0; p < parts; ++p) {
    std::uint64_t const begin = size_ / parts * p;
    std::uint64_t const end = p + 1 == parts ? size_ : size_ / parts * (p + 1);
    threads.emplace_back([&generator, out, begin, end, first = first_] {
      for (std::uint64_t i = begin; i < end; ++i) out[i] = static_cast<Key>(generator.key(first + i));
    });
  }
}

std::unique_ptr<CpuStream> make_synthetic_stream(SyntheticEvents const& all, std::uint64_t events,
                                                 Grain grain, std::chrono::nanoseconds window) {
  std::uint64_t const size = std::min(events, all.size());
  if (SyntheticEvents::key_bytes(all.spec().keys) == sizeof(std::uint16_t))
    return std::make_unique<SyntheticStream<std::uint16_t>>(all, size, grain, window);
  return std::make_unique<SyntheticStream<std::uint32_t>>(all, size, grain, window);
}

std::uint64_t synthetic_windows(std::uint64_t events, std::chrono::nanoseconds window) noexcept {
  if (events == 0) return 0;
  if (window.count() <= 0) return 1;
  return (events - 1) * static_cast<std::uint64_t>(kEventSpacing.count()) /
             static_cast<std::uint64_t>(window.count()) +
         1;
}

}  // namespace tally
