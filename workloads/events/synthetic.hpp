// Synthetic events: seeded, the same on every machine and compiler; event i depends on the seed and i alone.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "workloads/counting/grain.hpp"
#include "workloads/events/key_generator.hpp"
#include "workloads/stream.hpp"
#include "workloads/base/memory.hpp"

namespace tally {

/// Event time of synthetic events advances by this much with each event, from 0.
inline constexpr std::chrono::nanoseconds kEventSpacing{1000};

/// The keys of `events` events, from the event `first` on, in as few bytes each as hold them, in memory that
/// forked samples share. Built once per campaign.
class SyntheticEvents {
 public:
  /// Draws all keys with one thread on each of the CPUs this process may use; single-threaded again on
  /// return.
  SyntheticEvents(KeySpec const& spec, std::uint64_t events, std::uint64_t first = 0);
  KeySpec const& spec() const noexcept { return spec_; }
  std::uint64_t size() const noexcept { return size_; }
  /// The number of the first of them.
  std::uint64_t first() const noexcept { return first_; }
  /// Bytes of an event: 2, and 4 where there are more than 65,536 keys. Half the bytes are half the traffic
  /// from memory, which a loop this short waits for.
  static constexpr std::size_t key_bytes(std::uint32_t keys) noexcept { return keys <= 65'536 ? 2 : 4; }
  /// The array of keys, where `Key` is of key_bytes(spec().keys).
  template <class Key>
  Key const* keys() const noexcept {
    return static_cast<Key const*>(memory_.data());
  }

 private:
  template <class Key>
  void draw();
  KeySpec spec_;
  std::uint64_t size_;
  std::uint64_t first_;
  SharedPages memory_;
};

/// The first `events` of `all` as a `cpu` stream, each needing `grain`: position 0 is the event all.first(),
/// and times, windows and coverage are those of events' numbers, so that parts of a stream that several count
/// merge to the counts of the whole. `window` is a span of event time; 0 is one window over everything. `all`
/// must outlive the stream and hold as many events.
std::unique_ptr<CpuStream> make_synthetic_stream(SyntheticEvents const& all, std::uint64_t events,
                                                 Grain grain, std::chrono::nanoseconds window);

/// The number of windows that `events` events fill.
std::uint64_t synthetic_windows(std::uint64_t events, std::chrono::nanoseconds window) noexcept;

}  // namespace tally
