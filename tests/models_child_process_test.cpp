// Shards: processes that count for their parent.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

#include "models/process_shard/shard_processes.hpp"

namespace tally {
namespace {

Counts shard_counts(std::uint32_t key) {
  Counts counts = Counts::dense(10);
  counts.dense_row(0)[key] = counts.events = 1;
  return counts;
}

TEST(ShardProcesses, CountAndAreChargedWithTheMemoryOfEach) {
  constexpr std::size_t kBytes = std::size_t{16} << 20;
  ShardProcesses shards(2);
  // What the first one takes is charged although the last one takes none.
  static std::string taken;
  shards.add([] { taken.assign(kBytes, 'x'); }, [] { return shard_counts(3); });
  shards.add([] {}, [] { return shard_counts(4); });
  shards.wait_ready();
  shards.release();
  Counts counts = Counts::dense(10);
  shards.merge_into(counts);
  EXPECT_EQ(counts.totals().size(), 2u);
  EXPECT_EQ(counts.events, 2u);
  EXPECT_GE(shards.finish(), kBytes);
}

std::string lost_by(void (*ends)()) {
  ShardProcesses shards(2);
  shards.add([] {}, [] { return shard_counts(1); });
  shards.add([] {},
             [ends] {
               ends();
               return shard_counts(2);
             });
  shards.wait_ready();
  shards.release();
  Counts counts = Counts::dense(10);
  try {
    shards.merge_into(counts);
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
