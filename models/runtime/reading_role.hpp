// The role of the stream's one reader, which goes round among a model's workers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "models/runtime/spin.hpp"
#include "workloads/stream.hpp"

namespace tally {

/// The stream is read by one worker at a time, in order: by whoever needs tasks, so that no CPU is
/// kept for it, and a worker that is held up by a task holds up no reading. (As the leader among followers:
/// Schmidt et al., "Leader/Followers", PLoP 2000.)
class ReadingRole {
 public:
  /// Of batches as BatchReader has them. The stream must outlive this.
  ReadingRole(CpuStream const& stream, std::uint64_t batch, int workers) : reader_(stream, batch, workers) {
    read_ahead();
  }

  /// The next batch, waiting while others read; empty when the stream has ended.
  Range take() {
    while (taken_.exchange(true, std::memory_order_acquire)) pause_core();
    Range const batch = next_;
    if (!batch.empty()) read_ahead();
    taken_.store(false, std::memory_order_release);
    return batch;
  }
  /// The next batches, as many as there are and `out` has room for; how many, which is 0 while another worker
  /// reads, and at the end.
  std::size_t try_take(std::span<Range> out) {
    if (ended() || taken_.load(std::memory_order_relaxed) || taken_.exchange(true, std::memory_order_acquire))
      return 0;
    std::size_t n = 0;
    for (; n < out.size() && !next_.empty(); ++n) {
      out[n] = next_;
      read_ahead();
    }
    taken_.store(false, std::memory_order_release);
    return n;
  }
  /// Whether a worker reads at present.
  bool taken() const noexcept { return taken_.load(std::memory_order_acquire); }
  /// Whether every batch was handed over.
  bool ended() const noexcept { return ended_.load(std::memory_order_acquire); }

 private:
  void read_ahead() {
    next_ = reader_.next();
    if (next_.empty()) ended_.store(true, std::memory_order_release);
  }

  BatchReader reader_;
  Range next_;  // read, and not handed over
  alignas(64) std::atomic<bool> taken_{false};
  std::atomic<bool> ended_{false};
};

}  // namespace tally
