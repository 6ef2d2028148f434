#include "workloads/counting/counts.hpp"

#include <gtest/gtest.h>

namespace tally {
namespace {

Counts dense_example() {
  Counts counts = Counts::dense(4);
  ++counts.dense_row(0)[1];
  counts.dense_row(2)[3] += 5;
  counts.events = 6;
  counts.cover(0, 6);
  return counts;
}

Counts text_example() {
  Counts counts = Counts::text();
  counts.text_window(60)["b"] = 2;
  counts.text_window(60)["a"] = 2;
  counts.text_window(0)["c"] = 7;
  counts.events = 11;
  counts.add_malformed({100, "no key"});
  counts.cover(0, 11);
  return counts;
}

TEST(Counts, TotalsAreGreatestFirstThenByKeyBytes) {
  auto const totals = text_example().totals();
  ASSERT_EQ(totals.size(), 3U);
  EXPECT_EQ(totals[0].key, "c");
  EXPECT_EQ(totals[1].key, "a");
  EXPECT_EQ(totals[2].key, "b");
  EXPECT_EQ(text_example().totals(1).size(), 1U);
}

TEST(Counts, WindowsTellEventsAndDistinctKeysInOrderOfTime) {
  auto const windows = text_example().windows();
  ASSERT_EQ(windows.size(), 2U);
  EXPECT_EQ(windows[0].window, 0);
  EXPECT_EQ(windows[0].events, 7U);
  EXPECT_EQ(windows[1].events, 4U);
  EXPECT_EQ(windows[1].distinct_keys, 2U);
  auto const dense = dense_example().windows();
  ASSERT_EQ(dense.size(), 2U);
  EXPECT_EQ(dense[1].window, 2);
  EXPECT_EQ(dense[1].events, 5U);
}

TEST(Counts, EqualCountsDoNotDiffer) {
  EXPECT_EQ(dense_example().difference(dense_example()), "");
  EXPECT_EQ(text_example().difference(text_example()), "");
}

TEST(Counts, ARowNeverCountedInEqualsNoRow) {
  Counts with_row = dense_example();
  with_row.dense_row(7);
  EXPECT_EQ(dense_example().difference(with_row), "");
  EXPECT_EQ(with_row.difference(dense_example()), "");
}

TEST(Counts, ADifferenceNamesWindowKeyExpectedAndGot) {
  Counts got = dense_example();
  ++got.dense_row(2)[3];
  EXPECT_EQ(dense_example().difference(got), "window 2, key 3: expected 5, got 6");
  Counts text = text_example();
  text.text_window(60)["d"] = 1;
  EXPECT_EQ(text_example().difference(text), "window 60, key d: expected 0, got 1");
}

TEST(Counts, ALongDifferenceIsCutShortAndCounted) {
  Counts got = Counts::dense(100), expected = Counts::dense(100);
  for (int k = 0; k < 10; ++k) got.dense_row(0)[k] = 1;
  EXPECT_NE(expected.difference(got).find("and 6 more differences"), std::string::npos);
}

TEST(Counts, EachTotalIsCompared) {
  for (auto const member : {&Counts::events, &Counts::malformed, &Counts::replies, &Counts::checksum,
                            &Counts::coverage, &Counts::pairs}) {
    Counts got = dense_example();
    ++(got.*member);
    EXPECT_NE(dense_example().difference(got), "");
  }
}

TEST(Counts, MergingIsAsCountingInOne) {
  Counts half = dense_example(), other = dense_example();
  half.merge(std::move(other));
  EXPECT_EQ(half.dense_row(2)[3], 10U);
  EXPECT_EQ(half.events, 12U);
  Counts text = text_example(), more = text_example();
  text.merge(std::move(more));
  EXPECT_EQ(text.totals()[0].count, 14U);
  EXPECT_EQ(text.malformed, 2U);
  EXPECT_EQ(text.first_malformed().size(), 2U);
}

TEST(Counts, CountsOfDifferentKindsDoNotMerge) {
  Counts dense = dense_example();
  EXPECT_THROW(dense.merge(text_example()), std::logic_error);
}

TEST(Counts, CoverageIsTheSameForEveryPartitionAndForNothingElse) {
  auto const covered = [](std::initializer_list<std::pair<int, int>> ranges) {
    Counts counts = Counts::dense(1);
    for (auto const& [begin, end] : ranges)
      counts.cover(static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(end));
    return counts.coverage;
  };
  std::uint64_t const whole = covered({{0, 10}});
  EXPECT_EQ(covered({{3, 10}, {0, 3}}), whole);
  EXPECT_EQ(covered({{5, 6}, {0, 5}, {6, 10}}), whole);
  EXPECT_NE(covered({{0, 9}}), whole);
  EXPECT_NE(covered({{0, 10}, {4, 5}}), whole);
  EXPECT_NE(covered({{0, 4}, {5, 10}, {6, 7}}), whole);  // one lost, another doubled
}

TEST(Counts, AreTheSameAfterAJourneyAsBytes) {
  EXPECT_EQ(dense_example().difference(Counts::read(dense_example().write())), "");
  Counts const text = Counts::read(text_example().write());
  EXPECT_EQ(text_example().difference(text), "");
  ASSERT_EQ(text.first_malformed().size(), 1U);
  EXPECT_EQ(text.first_malformed()[0].reason, "no key");
}

TEST(Counts, RowsThatLieInSharedMemoryAreFoundThereAndNotSent) {
  std::vector<std::uint64_t> room(2 * 1000);
  Counts counts = Counts::dense(1000);
  counts.place_rows(room);
  for (std::uint64_t const window : {0, 1, 2}) counts.dense_row(window)[7] = window + 5;
  EXPECT_EQ(room[1007], 6u);
  auto const bytes = counts.write();
  EXPECT_LT(bytes.size(), 2 * 1000 * sizeof(std::uint64_t)) << "of three rows, one";
  EXPECT_EQ(counts.difference(Counts::read(bytes, room)), "");
  EXPECT_THROW(Counts::read(bytes), std::runtime_error) << "they are not here";
}

TEST(Counts, BytesCutOffAreRefused) {
  auto bytes = text_example().write();
  bytes.resize(bytes.size() - 1);
  EXPECT_THROW(Counts::read(bytes), std::runtime_error);
  EXPECT_THROW(Counts::read({}), std::runtime_error);
}

TEST(Counts, KeepTheFirstMalformedLinesByPosition) {
  Counts counts = Counts::text();
  for (std::uint64_t position = 20; position > 0; --position) counts.add_malformed({position, "bad"});
  EXPECT_EQ(counts.malformed, 20U);
  ASSERT_EQ(counts.first_malformed().size(), Counts::kMalformedKept);
  EXPECT_EQ(counts.first_malformed()[0].position, 1U);
  EXPECT_EQ(counts.first_malformed()[4].position, 5U);
}

}  // namespace
}  // namespace tally
