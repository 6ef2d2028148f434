#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "models/runtime/batch_ring.hpp"

namespace tally {
namespace {

TEST(BatchRing, IsEmptyAtFirst) {
  BatchRing ring(2);
  EXPECT_TRUE(ring.empty());
  EXPECT_TRUE(ring.try_pop_run().empty());
}

TEST(BatchRing, GivesBackWhatWasPushedInOrderAndWhole) {
  BatchRing ring(1);
  for (std::uint64_t i = 0; i < 100; ++i) ASSERT_TRUE(ring.try_push({i * 10, i * 10 + 10}));
  std::uint64_t position = 0;
  for (Range run; !(run = ring.try_pop_run()).empty();) {
    EXPECT_EQ(run.begin, position);
    position = run.end;
  }
  EXPECT_EQ(position, 1000U);
}

TEST(BatchRing, TakesAShareOfWhatIsThereForEachWorker) {
  BatchRing ring(2);
  for (std::uint64_t i = 0; i < 100; ++i) ASSERT_TRUE(ring.try_push({i, i + 1}));
  EXPECT_EQ(ring.try_pop_run(), (Range{0, 25}));
  EXPECT_EQ(ring.try_pop_run(), (Range{25, 43}));  // a quarter of the 75 that are left
}

TEST(BatchRing, IsBoundedAndTakesMoreOnceThereIsRoom) {
  BatchRing ring(1);
  std::uint64_t pushed = 0;
  while (ring.try_push({pushed, pushed + 1})) ++pushed;
  EXPECT_EQ(pushed, BatchRing::kCapacity);
  EXPECT_FALSE(ring.half_empty());
  Range const run = ring.try_pop_run();
  for (std::uint64_t i = 0; i < run.end - run.begin; ++i)
    EXPECT_TRUE(ring.try_push({pushed + i, pushed + i + 1}));
  EXPECT_FALSE(ring.try_push({0, 1}));
}

TEST(BatchRing, LosesAndDoublesNothingBetweenThreads) {
  constexpr std::uint64_t kBatches = 200'000;
  BatchRing ring(3);
  std::atomic<bool> done{false};
  std::vector<std::vector<Range>> taken(3);
  {
    std::vector<std::jthread> workers;
    for (auto& mine : taken) {
      workers.emplace_back([&] {
        for (;;) {
          bool const last = done.load();
          Range const run = ring.try_pop_run();
          if (!run.empty()) {
            mine.push_back(run);
          } else if (last) {
            return;
          }
        }
      });
    }
    for (std::uint64_t i = 0; i < kBatches; ++i) {
      while (!ring.try_push({i, i + 1})) std::this_thread::yield();
    }
    done.store(true);
  }
  std::vector<Range> all;
  for (auto const& mine : taken) all.insert(all.end(), mine.begin(), mine.end());
  std::sort(all.begin(), all.end(), [](Range a, Range b) { return a.begin < b.begin; });
  std::uint64_t position = 0;
  for (Range const run : all) {
    ASSERT_EQ(run.begin, position);
    position = run.end;
  }
  EXPECT_EQ(position, kBatches);
}

}  // namespace
}  // namespace tally
