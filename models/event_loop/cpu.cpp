// event_loop on `cpu`: callbacks on a loop per worker, which share nothing: each has its own part of the
// stream.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "models/model.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
namespace {

/// Counts a part of a stream in turns: each runs the callbacks that stood in the queue when it began, so that
/// one that posts another lets all others go first.
class CountingLoop {
 public:
  /// What is given must outlive the loop.
  CountingLoop(CpuStream const& stream, Range part, std::uint64_t batch, Counts& tally)
      : stream_(stream), reader_(stream, part, batch), tally_(tally) {}

  /// Returns when all is counted. Throws what a callback throws.
  void run() {
    post(read_some);
    while (!next_.empty()) {
      now_.swap(next_);
      for (Callback const& callback : now_) callback.call(*this, callback.batch);
      now_.clear();
    }
  }

 private:
  struct Callback {
    void (*call)(CountingLoop& loop, Range batch);
    Range batch;
  };
  /// Batches that are read before they are counted: as many as a socket's buffer would hold of them.
  static constexpr int kHighWater = 256;

  void post(void (*call)(CountingLoop&, Range), Range batch = {}) { next_.push_back({call, batch}); }

  static void read_some(CountingLoop& loop, Range) {
    for (int i = 0; i < kHighWater; ++i) {
      Range const batch = loop.reader_.next();
      if (batch.empty()) return;
      loop.post(count, batch);
    }
    loop.post(read_some);
  }
  static void count(CountingLoop& loop, Range batch) { loop.stream_.count(batch, loop.tally_); }

  CpuStream const& stream_;
  BatchReader reader_;
  Counts& tally_;
  std::vector<Callback> now_, next_;
};

}  // namespace

/// Loop w has the w-th of `workers` adjacent parts of the stream.
Counts event_loop_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Range> const parts = stream.split(static_cast<std::size_t>(setup.workers));
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  WorkerThreads threads(setup.workers, [&](int worker, WorkerThreads::Self& self) {
    auto const w = static_cast<std::size_t>(worker);
    place_worker(setup, worker);
    CountingLoop loop(stream, parts[w], setup.batch, tallies[w]);
    watch.worker_ready();
    if (self.stand_ready()) loop.run();
  });
  return time_workers(threads, watch, tallies);
}

}  // namespace tally
