#include "mpi/merge.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "mpi/agreement.hpp"
#include "mpi/communicator.hpp"
#include "tests/mpi/patience.hpp"
#include "workloads/base/random.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

class MergeOverRanks : public testing::Test {
 protected:
  Communicator ranks = Communicator::world();
};

/// What a rank counts: the same on every rank that asks.
Counts dense_of(int rank, std::uint32_t keys, std::uint64_t windows) {
  Counts counts = Counts::dense(keys);
  if (rank % 3 == 2) return counts;  // an empty part
  for (std::uint64_t window = static_cast<std::uint64_t>(rank) % 2; window < windows; window += 2) {
    auto* const row = counts.dense_row(window);
    for (std::uint32_t key = 0; key < keys; ++key)
      row[key] += mix64(window * keys + key + static_cast<std::uint64_t>(rank)) % 5;
    counts.events += 7;
  }
  counts.cover(static_cast<std::uint64_t>(rank) * 100, static_cast<std::uint64_t>(rank + 1) * 100);
  counts.checksum = mix64(static_cast<std::uint64_t>(rank));
  counts.pairs = mix64(static_cast<std::uint64_t>(rank) + 77);
  return counts;
}

void expect_dense_sum(Communicator const& ranks, std::uint32_t keys, std::uint64_t windows) {
  Counts counts = dense_of(ranks.rank(), keys, windows);
  auto const figures = merge_over_ranks(counts, windows, ranks, patience());
  EXPECT_EQ(figures.windows_beyond, 0u);
  Counts expected = Counts::dense(keys);
  if (ranks.rank() == 0)
    for (int r = 0; r < ranks.size(); ++r) expected.merge(dense_of(r, keys, windows));
  EXPECT_EQ(expected.difference(counts), "");
}

TEST_F(MergeOverRanks, SumsDenseCountsAtRankZero) { expect_dense_sum(ranks, 1000, 1); }

TEST_F(MergeOverRanks, SumsEveryWindowWhoeverHasIt) { expect_dense_sum(ranks, 10, 1000); }

TEST_F(MergeOverRanks, SumsWindowsThatAreLongerThanAMessageForWhichThereIsAlwaysRoom) {
  for (std::uint32_t const keys : {8'191u, 8'192u, 8'193u, 32'003u}) expect_dense_sum(ranks, keys, 2);
}

TEST_F(MergeOverRanks, TellsOfWindowsThatTheStreamDoesNotHave) {
  Counts counts = Counts::dense(10);
  for (std::uint64_t window = 0; window < 3; ++window) counts.dense_row(window)[1] = 1;
  auto const figures = merge_over_ranks(counts, 2, ranks, patience());
  EXPECT_EQ(figures.windows_beyond, ranks.rank() == 0 ? static_cast<std::uint64_t>(ranks.size()) : 0u);
}

TEST_F(MergeOverRanks, SumsRowsThatAreLargerThanAMessageOfManyRows) { expect_dense_sum(ranks, 550'000, 3); }

TEST_F(MergeOverRanks, MergesNothingIfNobodyCountedAnything) {
  Counts counts = Counts::dense(5);
  merge_over_ranks(counts, 1, ranks, patience());
  EXPECT_EQ(Counts::dense(5).difference(counts), "");
  Counts text = Counts::text();
  EXPECT_TRUE(merge_over_ranks(text, 0, ranks, patience()).windows.empty());
  EXPECT_EQ(Counts::text().difference(text), "");
}

/// Keys of all lengths, with bytes of all values, of which ranks share most.
std::map<std::pair<std::int64_t, std::string>, std::uint64_t> text_of(int rank) {
  std::map<std::pair<std::int64_t, std::string>, std::uint64_t> counts;
  if (rank % 3 == 2) return counts;
  for (std::uint64_t i = 0; i < 5000; ++i) {
    std::uint64_t const n = mix64(i * 10 + static_cast<std::uint64_t>(rank) % 2);
    std::string key((n >> 32) % 40, static_cast<char>(n));
    key += std::to_string(n % 700);
    counts[{static_cast<std::int64_t>(n % 3 * 60) - 60, key}] += n % 1000 == 0 ? UINT64_C(1) << 40 : 1;
  }
  counts[{0, ""}] += 1;
  return counts;
}

Counts as_counts(std::map<std::pair<std::int64_t, std::string>, std::uint64_t> const& from, int rank) {
  Counts counts = Counts::text();
  for (auto const& [where, count] : from) {
    counts.count_of_copied(counts.text_window(where.first), where.second, TextHash{}(where.second)) += count;
    counts.events += count;
  }
  if (rank % 3 != 2)
    for (std::uint64_t i = 0; i < 3; ++i)
      counts.add_malformed({static_cast<std::uint64_t>(rank) + 10 * i, rank % 2 ? "odd" : "an even reason"});
  return counts;
}

TEST_F(MergeOverRanks, GivesEveryTextKeyToItsOwnerAlone) {
  auto const own = text_of(ranks.rank());
  Counts counts = as_counts(own, ranks.rank());
  auto const merged = merge_over_ranks(counts, 1, ranks, patience());
  Counts expected = Counts::text();
  std::map<std::int64_t, Counts::WindowTotal> windows;
  Counts all = Counts::text();
  for (int r = 0; r < ranks.size(); ++r) all.merge_copying(as_counts(text_of(r), r));
  for (auto const& window : all.windows()) windows[window.window] = window;
  all.each_text_window([&](std::int64_t start, TextMap const& map) {
    for (auto const& [key, count] : map)
      if (owner_of(TextHash{}(key), ranks.size()) == ranks.rank())
        expected.count_of_copied(expected.text_window(start), key, TextHash{}(key)) = count;
  });
  if (ranks.rank() == 0) {
    expected.events = all.events;
    expected.malformed = all.malformed;
  }
  EXPECT_EQ(expected.difference(counts), "");
  if (ranks.rank() != 0) return;
  ASSERT_EQ(merged.windows.size(), windows.size());
  for (auto const& window : merged.windows) {
    EXPECT_EQ(window.events, windows[window.window].events);
    EXPECT_EQ(window.distinct_keys, windows[window.window].distinct_keys);
  }
  ASSERT_EQ(counts.first_malformed().size(), all.first_malformed().size());
  for (std::size_t i = 0; i < all.first_malformed().size(); ++i) {
    EXPECT_EQ(counts.first_malformed()[i].position, all.first_malformed()[i].position);
    EXPECT_EQ(counts.first_malformed()[i].reason, all.first_malformed()[i].reason);
  }
}

TEST_F(MergeOverRanks, SpreadsKeysEvenly) {
  constexpr std::uint64_t kKeys = 100'000;
  std::vector<std::uint64_t> of(static_cast<std::size_t>(ranks.size()));
  for (std::uint64_t i = 0; i < kKeys; ++i)
    ++of[static_cast<std::size_t>(owner_of(TextHash{}(std::to_string(i)), ranks.size()))];
  for (std::uint64_t const n : of)
    EXPECT_NEAR(static_cast<double>(n), static_cast<double>(kKeys) / ranks.size(), 2000);
}

TEST_F(MergeOverRanks, SaysWhenARankDoesNotCome) {
  if (ranks.size() == 1) GTEST_SKIP() << "there is nobody to wait for";
  Communicator const others = Communicator::world();
  if (ranks.rank() == 0) {
    Patience patience = Patience::for_at_most(50ms);
    patience.answer_within = 100ms;
    try {
      others.barrier(patience, "waiting");
      ADD_FAILURE() << "nobody is there";
    } catch (PeersLate const& late) {
      EXPECT_STREQ(late.what(), "waiting");
      EXPECT_EQ(late.missing.size(), static_cast<std::size_t>(ranks.size() - 1));
      std::vector<std::string> const hosts(static_cast<std::size_t>(ranks.size()), "here");
      EXPECT_NE(describe_late(late, hosts).find("rank 1 (host here)"), std::string::npos);
    }
  }
  ranks.barrier(patience(), "the others wait for rank 0 here");
  if (ranks.rank() != 0) others.barrier(patience(), "coming late");
  ranks.barrier(patience(), "until all have come");
}

}  // namespace
}  // namespace tally
