// Shards: processes that count for their parent.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "models/process_shard/shard_processes.hpp"

namespace tally {
namespace {

Counts ten_keys() { return Counts::dense(10); }

void count_one(Counts& counts, std::uint32_t key, std::uint64_t window = 0) {
  ++counts.dense_row(window)[key];
  ++counts.events;
}

TEST(ShardProcesses, CountAndAreChargedWithTheMemoryOfEach) {
  constexpr std::size_t kBytes = std::size_t{16} << 20;
  ShardProcesses shards(2, ten_keys, 1);
  // What the first one takes is charged although the last one takes none.
  static std::string taken;
  shards.add([] { taken.assign(kBytes, 'x'); }, [](Counts& c) { count_one(c, 3); });
  shards.add([] {}, [](Counts& c) { count_one(c, 4); });
  shards.wait_ready();
  shards.release();
  Counts const counts = shards.merged();
  EXPECT_EQ(counts.totals().size(), 2u);
  EXPECT_EQ(counts.events, 2u);
  EXPECT_GE(shards.finish(), kBytes);
}

/// What comes of counts whose rows lie in shared memory for `shared` of the windows that are met.
std::string merged_with(std::uint64_t shared) {
  std::optional<Counts> counts;
  {
    ShardProcesses shards(2, ten_keys, shared);
    for (std::uint32_t const key : {1u, 2u})
      shards.add([] {},
                 [key](Counts& c) {
                   for (std::uint64_t const window : {0, 2}) count_one(c, key, window);
                 });
    shards.wait_ready();
    shards.release();
    counts = shards.merged();
    shards.finish();
  }
  Counts expected = ten_keys();
  for (std::uint32_t const key : {1u, 2u})
    for (std::uint64_t const window : {0, 2}) count_one(expected, key, window);
  return expected.difference(*counts);
}

TEST(ShardProcesses, CountIntoSharedMemoryThatTheCountsKeepOrSendThem) {
  EXPECT_EQ(merged_with(3), "");
  EXPECT_EQ(merged_with(1), "") << "the last window's lie elsewhere";
  EXPECT_EQ(merged_with(0), "");
}

std::string lost_by(void (*ends)()) {
  ShardProcesses shards(2, ten_keys);
  shards.add([] {}, [](Counts&) {});
  shards.add([] {}, [ends](Counts&) { ends(); });
  shards.wait_ready();
  shards.release();
  try {
    shards.merged();
  } catch (ShardLost const& lost) {
    return lost.what();
  }
  return "";
}

TEST(ShardProcesses, ThatAreLostAreNamedByTheirEnd) {
  EXPECT_EQ(lost_by([] { ::raise(SIGKILL); }), "a shard's process was killed by signal 9");
  EXPECT_EQ(lost_by([] { ::_exit(3); }), "a shard's process ended early with exit status 3");
  EXPECT_EQ(lost_by([] { throw std::runtime_error("event 7 cannot be counted"); }),
            "event 7 cannot be counted");
}

}  // namespace
}  // namespace tally
