// process_shard on `cpu`: fork(2), a process per shard; this process reads, and deals batches to them as
// messages that carry the events' bytes.
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "models/model.hpp"
#include "models/process_shard/message_ring.hpp"
#include "models/process_shard/shard_processes.hpp"
#include "models/process_shard/shared_futex.hpp"
#include "models/runtime/placement.hpp"

namespace tally {
namespace {

/// Deals batches to shards in turn, but to none whose ring is full.
class Dealer {
 public:
  Dealer(CpuStream const& stream, Setup const& setup, std::deque<MessageRing>& rings, SharedWord& sleeps,
         ShardProcesses& shards)
      : stream_(stream),
        reader_(stream, setup.batch, setup.workers),
        rings_(rings),
        sleeps_(sleeps),
        shards_(shards) {}

  /// Returns when all is dealt. Throws ShardLost.
  void deal() {
    for (Range batch; !(batch = reader_.next()).empty(); ++dealt_) {
      while (!send(batch)) wait_for_room();
    }
    wake_all();  // before a shard that stalls is waited for
    for (MessageRing& ring : rings_) ring.close([this] { shards_.check(); });
  }
  std::uint64_t dealt() const noexcept { return dealt_; }

 private:
  bool send(Range batch) {
    for (std::size_t tries = rings_.size(); tries > 0; --tries) {
      MessageRing& ring = rings_[turn_];
      if (++turn_ == rings_.size()) turn_ = 0;
      if (ring.try_send(stream_, batch, [this] { shards_.check(); })) return true;
    }
    return false;
  }
  bool room() noexcept {
    for (MessageRing& ring : rings_)
      if (ring.half_empty()) return true;
    return false;
  }
  void wake_all() noexcept {
    for (MessageRing& ring : rings_) ring.wake_receiver();
  }
  void wait_for_room() {
    wake_all();
    sleeps_.store(1, std::memory_order_seq_cst);
    if (!room()) MessageRing::sleep_for_room(sleeps_);
    sleeps_.store(0, std::memory_order_relaxed);
    if (!room()) shards_.check();  // nobody made room: has one died?
  }

  CpuStream const& stream_;
  BatchReader reader_;
  std::deque<MessageRing>& rings_;
  SharedWord& sleeps_;
  ShardProcesses& shards_;
  std::size_t turn_ = 0;
  std::uint64_t dealt_ = 0;
};

/// Shard i is the i-th of `workers` adjacent parts of the stream.
Counts count_parts(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Range> const parts = stream.split(static_cast<std::size_t>(setup.workers));
  ShardProcesses shards(
      parts.size(), [&] { return stream.empty_tally(); }, stream.windows());
  for (int w = 0; w < setup.workers; ++w) {
    shards.add([&] { place_worker(setup, w); },
               [&](Counts& tally) { stream.count(parts[static_cast<std::size_t>(w)], tally); });
  }
  return time_shards(shards, setup, watch);
}

}  // namespace

/// A process for each worker, which counts what it is sent. The one that deals is placed nowhere: it sleeps
/// while rings are full, and runs for some tens of nanoseconds a message.
Counts process_shard_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  if (setup.batch == kAutoBatch) return count_parts(stream, setup, watch);
  ShardProcesses shards(
      static_cast<std::size_t>(setup.workers), [&] { return stream.empty_tally(); }, stream.windows());
  SharedWord& sleeps = shards.word();
  std::deque<MessageRing> rings;
  for (int w = 0; w < setup.workers; ++w) {
    MessageRing& ring = rings.emplace_back(sleeps);
    shards.add([&] { place_worker(setup, w); }, [&](Counts& tally) { ring.count_all(stream, tally); });
  }
  Dealer dealer(stream, setup, rings, sleeps, shards);
  Counts counts = time_shards(shards, setup, watch, [&] { dealer.deal(); });
  watch.add_scheduled(dealer.dealt());
  return counts;
}

}  // namespace tally
