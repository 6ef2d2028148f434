// What models schedule tasks by: the queue, the sleeping, the reading, closures, recycled blocks, and
// messages.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "models/process_shard/message_ring.hpp"
#include "models/process_shard/shard_processes.hpp"
#include "models/runtime/block_depot.hpp"
#include "models/runtime/bounded_queue.hpp"
#include "models/runtime/event_count.hpp"
#include "models/runtime/reading_role.hpp"
#include "models/runtime/stream_tasks.hpp"
#include "models/runtime/work_stealing.hpp"
#include "models/thread_pool/closure.hpp"
#include "workloads/events/synthetic.hpp"
#include "workloads/text/text_stream.hpp"

namespace tally {
namespace {

TEST(BoundedQueue, GivesBackInOrderWhatWasPushed) {
  BoundedQueue<int, 8> queue;
  std::array<int, 3> out{};
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.try_pop(out), 0u);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(queue.try_push(i));
  EXPECT_FALSE(queue.empty());
  ASSERT_EQ(queue.try_pop(out), 3u);
  EXPECT_EQ(out, (std::array{0, 1, 2}));
  ASSERT_EQ(queue.try_pop(out), 2u) << "as many as there are";
  EXPECT_EQ(out[0], 3);
  EXPECT_EQ(out[1], 4);
}

TEST(BoundedQueue, IsFullAtItsCapacityAndTakesMoreOnceThereIsRoom) {
  BoundedQueue<int, 8> queue;
  int pushed = 0;
  while (queue.try_push(pushed)) ++pushed;
  EXPECT_EQ(pushed, 8);
  EXPECT_EQ(queue.size(), 8u);
  std::array<int, 1> out{};
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(queue.try_pop(out), 1u);
    EXPECT_EQ(out[0], i);
    ASSERT_TRUE(queue.try_push(pushed)) << i;
    ++pushed;
  }
}

TEST(BoundedQueue, TakesSeveralAtOnceAsFarAsThereIsRoom) {
  BoundedQueue<int, 4> queue;
  std::array<int, 3> in{1, 2, 3}, out{};
  EXPECT_EQ(queue.try_push(in), 3u);
  EXPECT_EQ(queue.try_push(in), 1u);
  EXPECT_EQ(queue.try_push(in), 0u);
  ASSERT_EQ(queue.try_pop(out), 3u);
  EXPECT_EQ(out, (std::array{1, 2, 3}));
  EXPECT_EQ(queue.try_push(std::span(in).subspan(1)), 2u);
  ASSERT_EQ(queue.try_pop(out), 3u);
  EXPECT_EQ(out, (std::array{1, 2, 3}));
  EXPECT_TRUE(queue.empty());
}

TEST(BoundedQueue, LeavesWhatItCannotTake) {
  BoundedQueue<std::unique_ptr<int>, 2> queue;
  auto first = std::make_unique<int>(1), second = std::make_unique<int>(2);
  ASSERT_TRUE(queue.try_push(first));
  EXPECT_EQ(first, nullptr);
  first = std::make_unique<int>(1);
  ASSERT_TRUE(queue.try_push(first));
  ASSERT_FALSE(queue.try_push(second));
  EXPECT_EQ(*second, 2);
}

TEST(BoundedQueue, LosesAndDoublesNothingBetweenThreads) {
  constexpr std::uint64_t kEach = 100'000, kProducers = 2;
  BoundedQueue<std::uint64_t, 64> queue;
  std::atomic<std::uint64_t> producing{kProducers};
  std::vector<std::vector<std::uint64_t>> taken(3);
  {
    std::vector<std::jthread> threads;
    for (auto& mine : taken) {
      threads.emplace_back([&] {
        std::array<std::uint64_t, 5> out{};
        for (;;) {
          bool const last = producing.load() == 0;
          std::size_t const n = queue.try_pop(out);
          mine.insert(mine.end(), out.begin(), out.begin() + static_cast<std::ptrdiff_t>(n));
          if (n == 0 && last) return;
          if (n == 0) std::this_thread::yield();
        }
      });
    }
    for (std::uint64_t p = 0; p < kProducers; ++p) {
      threads.emplace_back([&, p] {
        for (std::uint64_t i = p * kEach; i < (p + 1) * kEach;) {
          std::array<std::uint64_t, 3> some{i, i + 1, i + 2};
          std::size_t const most =
              std::min<std::uint64_t>(i % 4, (p + 1) * kEach - i);  // at times one, as it is
          std::size_t const pushed =
              most < 2 ? queue.try_push(some[0]) : queue.try_push(std::span(some).first(most));
          if (pushed == 0) std::this_thread::yield();
          i += pushed;
        }
        producing.fetch_sub(1);
      });
    }
  }
  std::vector<std::uint64_t> all;
  for (auto const& mine : taken) all.insert(all.end(), mine.begin(), mine.end());
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), kProducers * kEach);
  for (std::uint64_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], i);
}

TEST(EventCount, SleepersAreWokenForWorkThatCameAfterTheyLooked) {
  EventCount sleepers;
  std::atomic<int> work{0}, done{0};
  constexpr int kRounds = 2'000;
  std::vector<std::jthread> workers;
  for (int w = 0; w < 2; ++w) {
    workers.emplace_back([&] {
      while (done.load() < kRounds) {
        int left = work.load();
        if (left > 0 && work.compare_exchange_strong(left, left - 1)) {
          if (done.fetch_add(1) + 1 == kRounds) sleepers.notify_all();
          continue;
        }
        std::uint32_t const seen = sleepers.prepare();
        if (work.load() == 0 && done.load() < kRounds) sleepers.sleep(seen);
      }
    });
  }
  for (int i = 0; i < kRounds; ++i) {
    work.fetch_add(1);
    sleepers.notify_one();
    if (i % 16 == 0) std::this_thread::yield();
  }
  workers.clear();
  EXPECT_EQ(done.load(), kRounds) << "else a worker sleeps for ever";
}

std::unique_ptr<CpuStream> stream_of(SyntheticEvents const& events) {
  return make_synthetic_stream(events, events.size(), {}, std::chrono::nanoseconds(0));
}

TEST(StreamTasks, WhatFindsNoRoomIsRunByWhoReadIt) {
  SyntheticEvents const events({}, 101);
  auto const stream = stream_of(events);
  StreamTasks<Range, QueueTuning{.length = 2, .refill_below = 2, .read_at_once = 8, .take_at_once = 4}> tasks(
      *stream, {.workers = 1, .cpus = {}});
  std::set<std::uint64_t> ran;
  EXPECT_EQ(tasks.work([](Range batch) { return batch; },
                       [&](Range batch) { EXPECT_TRUE(ran.insert(batch.begin).second) << "twice"; }),
            101u);
  EXPECT_EQ(ran.size(), 101u);
}

TEST(StreamTasks, WorkersThatSleepWhileOneReadsAreAllToldOfTheEnd) {
  SyntheticEvents const events({}, 1);
  auto const stream = stream_of(events);
  StreamTasks<Range, QueueTuning{.length = 4, .refill_below = 2, .read_at_once = 3, .take_at_once = 2}> tasks(
      *stream, {.workers = 4, .cpus = {}});
  std::atomic<int> ran{0};
  std::vector<std::jthread> workers;
  for (int w = 0; w < 4; ++w)
    workers.emplace_back([&] {
      tasks.work(
          [](Range batch) {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));  // by then the others sleep
            return batch;
          },
          [&](Range) { ++ran; });
    });
  workers.clear();
  EXPECT_EQ(ran.load(), 1);
}

TEST(ReadingRole, GivesEveryBatchOnceOneOrSeveralAtATime) {
  SyntheticEvents const events({}, 18);
  auto const stream = stream_of(events);
  ReadingRole reading(*stream, 4, 2);
  std::array<Range, 2> batches;
  ASSERT_EQ(reading.try_take(batches), 2u);
  EXPECT_EQ(batches, (std::array{Range{0, 4}, Range{4, 8}}));
  EXPECT_FALSE(reading.taken());
  EXPECT_EQ(reading.take(), (Range{8, 12}));
  EXPECT_FALSE(reading.ended());
  ASSERT_EQ(reading.try_take(batches), 2u);
  EXPECT_EQ(batches, (std::array{Range{12, 16}, Range{16, 18}}));
  EXPECT_TRUE(reading.ended());
  EXPECT_EQ(reading.try_take(batches), 0u);
  EXPECT_TRUE(reading.take().empty());
}

/// A stream that has `meanwhile` called while it is read.
class Interrupted final : public CpuStream {
 public:
  std::uint64_t size() const noexcept override { return 10; }
  Counts empty_tally() const override { return Counts::dense(1); }
  void count(Range, Counts&) const override {}
  std::uint64_t batch_end(std::uint64_t begin, std::uint64_t events) const noexcept override {
    if (meanwhile) meanwhile();
    return std::min(begin + events, size());
  }
  std::vector<Range> split(std::size_t) const override { return {}; }
  std::function<void()> meanwhile{};
};

TEST(ReadingRole, IsOneWorkersAtATime) {
  Interrupted stream;
  ReadingRole reading(stream, 1, 2);
  std::size_t others = 0;
  stream.meanwhile = [&] {
    EXPECT_TRUE(reading.taken());
    std::array<Range, 1> more;
    others += reading.try_take(more);
  };
  std::array<Range, 2> batches;
  EXPECT_EQ(reading.try_take(batches), 2u);
  EXPECT_EQ(others, 0u);
}

TEST(WorkerQueues, GiveAWorkerItsOwnAndAThiefThoseOfTheNext) {
  WorkerQueues<int, 4> queues(3);
  std::array<int, 2> out{};
  EXPECT_TRUE(queues.empty());
  for (int task : {10, 11, 12}) ASSERT_TRUE(queues.try_push(1, task));
  int other = 20;
  ASSERT_TRUE(queues.try_push(2, other));
  EXPECT_EQ(queues.try_take(0, out), 0u) << "its own alone";
  ASSERT_EQ(queues.try_steal(0, out), 2u);
  EXPECT_EQ(out, (std::array{10, 11})) << "the oldest";
  ASSERT_EQ(queues.try_steal(1, out), 1u);
  EXPECT_EQ(out[0], 20) << "not its own";
  EXPECT_FALSE(queues.empty());
  ASSERT_EQ(queues.try_take(1, out), 1u);
  EXPECT_EQ(out[0], 12);
  EXPECT_TRUE(queues.empty());
}

TEST(StealingTasks, MakeOneOfEveryBatchAndRunEachOnce) {
  SyntheticEvents const events({}, 5'003);
  auto const stream = stream_of(events);
  StealingTasks<Range, StealingTuning{.read_at_once = 4, .take_at_once = 2}> tasks(
      *stream, {.workers = 3, .batch = 2, .cpus = {}});
  std::vector<std::vector<Range>> ran(3);
  std::atomic<std::uint64_t> made{0};
  {
    std::vector<std::jthread> workers;
    for (int w = 0; w < 3; ++w)
      workers.emplace_back([&, w] {
        made += tasks.work(
            w, [](Range batch) { return batch; },
            [&](Range batch) { ran[static_cast<std::size_t>(w)].push_back(batch); });
      });
  }
  std::vector<std::uint64_t> begins;
  for (auto const& mine : ran)
    for (Range const batch : mine) begins.push_back(batch.begin);
  std::sort(begins.begin(), begins.end());
  ASSERT_EQ(begins.size(), 2'502u);
  for (std::uint64_t i = 0; i < begins.size(); ++i) ASSERT_EQ(begins[i], 2 * i);
  EXPECT_EQ(made.load(), 2'502u);
}

TEST(StealingTasks, WorkersThatSleepWhileOneRunsTheLastAreToldOfTheEnd) {
  SyntheticEvents const events({}, 1);
  auto const stream = stream_of(events);
  StealingTasks<Range, StealingTuning{.read_at_once = 4, .take_at_once = 2}> tasks(
      *stream, {.workers = 4, .cpus = {}});
  std::atomic<int> ran{0};
  std::vector<std::jthread> workers;
  for (int w = 0; w < 4; ++w)
    workers.emplace_back([&, w] {
      tasks.work(
          w,
          [](Range batch) {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));  // by then the others sleep
            return batch;
          },
          [&](Range) { ++ran; });
    });
  workers.clear();
  EXPECT_EQ(ran.load(), 1);
}

TEST(Closure, IsCalledOnceAndDestroysWhatItCaptured) {
  auto const captured = std::make_shared<int>(5);
  int sum = 0;
  Closure<int> closure([captured](int& to) { to += *captured; });
  Closure<int> moved(std::move(closure));
  EXPECT_EQ(captured.use_count(), 2);
  moved(sum);
  EXPECT_EQ(sum, 5);
  EXPECT_EQ(captured.use_count(), 1);
}

TEST(Closure, DestroysWhatItCapturedWhereItIsNeverCalledOrThrows) {
  auto const captured = std::make_shared<int>(5);
  {
    Closure<int> const closure([captured](int&) {});
  }
  EXPECT_EQ(captured.use_count(), 1);
  Closure<int> throws([captured](int&) { throw std::runtime_error("no"); });
  int nothing = 0;
  EXPECT_THROW(throws(nothing), std::runtime_error);
  EXPECT_EQ(captured.use_count(), 1);
  Closure<int> replaced([captured](int&) {});
  replaced = Closure<int>([](int& to) { to = 7; });
  EXPECT_EQ(captured.use_count(), 1);
  replaced(nothing);
  EXPECT_EQ(nothing, 7);
}

TEST(BlockDepot, GivesNoBlockTwiceAndTakesThemFromOtherThreads) {
  std::vector<std::unique_ptr<int[]>> slabs;
  BlockDepot depot([&](BlockDepot::Blocks& blocks) {
    int* const slab = slabs.emplace_back(std::make_unique<int[]>(BlockDepot::kMagazine)).get();
    for (std::size_t i = 0; i < BlockDepot::kMagazine; ++i) blocks.push_back(slab + i);
  });
  constexpr std::size_t kBlocks = 5 * BlockDepot::kMagazine;
  for (int round = 0; round < 3; ++round) {
    std::set<void*> taken;
    std::jthread([&] {
      BlockDepot::Cache cache(depot);
      for (std::size_t i = 0; i < kBlocks; ++i) taken.insert(cache.take());
    }).join();
    EXPECT_EQ(taken.size(), kBlocks);
    BlockDepot::Cache other(depot);
    for (void* const block : taken) other.give_back(block);
  }
  EXPECT_LE(slabs.size(), 6u) << "blocks that came back are used again";
}

/// Counts `stream` in batches that are sent to one other process.
Counts counted_by_messages(CpuStream const& stream, std::uint64_t batch) {
  ShardProcesses shards(
      1, [&] { return stream.empty_tally(); }, stream.windows());
  MessageRing ring(shards.word());
  shards.add([] {}, [&](Counts& tally) { ring.count_all(stream, tally); });
  shards.wait_ready();
  shards.release();
  BatchReader reader(stream, batch, 1);
  for (Range next; !(next = reader.next()).empty();)
    while (!ring.try_send(stream, next, [&] { shards.check(); })) ring.wake_receiver();
  ring.close([&] { shards.check(); });
  Counts counts = shards.merged();
  shards.finish();
  return counts;
}

TEST(MessageRing, CarriesEventsOfEveryLengthOfBatch) {
  SyntheticEvents const events({.keys = 100}, 100'003);
  auto const stream = stream_of(events);
  Counts expected = stream->empty_tally();
  stream->count({0, stream->size()}, expected);
  // Of 2 bytes an event: some that lie across the ring's end, and some that are longer than it.
  for (std::uint64_t const batch : {3u, 1'000u, 7'001u, 100'003u}) {
    Counts const got = counted_by_messages(*stream, batch);
    EXPECT_EQ(expected.difference(got), "") << batch;
    EXPECT_EQ(got.tasks, batches_in(*stream, batch));
  }
}

TEST(MessageRing, CarriesTextOfWhichNothingStays) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "key" + std::to_string(i * i % 97) + (i % 50 == 0 ? "\n\n" : "\n");
  auto const stream = make_text_stream(text, {.format = TextFormat::lines, .key = "1", .repeat = 2}, {});
  Counts expected = stream->empty_tally();
  stream->count({0, stream->size()}, expected);
  for (std::uint64_t const batch : {1u, 15'000u})
    EXPECT_EQ(expected.difference(counted_by_messages(*stream, batch)), "") << batch;
}

TEST(MessageRing, CountsWhatCameAndNotWhatIsInThisProcess) {
  SyntheticEvents const events({.keys = 100}, 1'000), others({.seed = 2, .keys = 100}, 1'000);
  auto const stream = stream_of(events), other = stream_of(others);
  std::vector<std::byte> message(other->message_bytes({0, 1'000}));
  other->write_message({0, 1'000}, message.data());
  Counts expected = other->empty_tally(), got = stream->empty_tally();
  other->count({0, 1'000}, expected);
  stream->count_message({0, 1'000}, message, got);
  EXPECT_EQ(expected.difference(got), "");
}

}  // namespace
}  // namespace tally
