#include "mpi/reference_check.hpp"

#include <gtest/gtest.h>

#include <string>

namespace tally {
namespace {

Counts counts_of(std::initializer_list<std::pair<std::string_view, std::uint64_t>> keys) {
  Counts counts = Counts::text();
  for (auto const& [key, count] : keys)
    counts.count_of_copied(counts.text_window(0), key, TextHash{}(key)) += count;
  return counts;
}

KeyDigest digest_of(std::initializer_list<std::pair<std::string_view, std::uint64_t>> keys) {
  Counts counts = counts_of(keys);
  return KeyDigest::of(counts, 1);
}

TEST(KeyDigest, IsTheSameInWhateverOrderAndPartsKeysAre) {
  KeyDigest const all = digest_of({{"a", 1}, {"b", 2}, {"c", 3}});
  EXPECT_EQ(all, digest_of({{"c", 3}, {"a", 1}, {"b", 2}}));
  KeyDigest const one = digest_of({{"b", 2}}), other = digest_of({{"c", 3}, {"a", 1}});
  EXPECT_EQ(all, (KeyDigest{one.one + other.one, one.other + other.other, one.keys + other.keys}));
}

TEST(KeyDigest, DiffersWhereAKeyOrACountDoes) {
  KeyDigest const all = digest_of({{"a", 1}, {"b", 2}});
  EXPECT_FALSE(all == digest_of({{"a", 2}, {"b", 1}}));  // which adds up to as many events
  EXPECT_FALSE(all == digest_of({{"a", 1}, {"c", 2}}));
  EXPECT_FALSE(all == digest_of({{"a", 1}, {"b", 2}, {"c", 1}}));
  Counts once = counts_of({{"a", 1}}), thrice = counts_of({{"a", 3}});
  EXPECT_EQ(KeyDigest::of(once, 3), KeyDigest::of(thrice, 1));
}

TEST(PartToCheck, IsAllOfItWhereThereIsTimeAndMemory) {
  EXPECT_EQ(part_to_check({.seconds = 10,
                           .most_seconds = 10,
                           .keys = 1000,
                           .events = 5000,
                           .key_bytes = 100,
                           .most_bytes = 100'000}),
            1u);
}

TEST(PartToCheck, IsAsMuchAsThereIsTimeFor) {
  EXPECT_EQ(part_to_check({.seconds = 41, .most_seconds = 10, .most_bytes = 1}), 8u);
}

TEST(PartToCheck, HasNoMoreKeysThanThereIsMemoryFor) {
  WholeStream whole{.seconds = 1,
                    .most_seconds = 10,
                    .keys = 1'000'000,
                    .events = 1'000'000,
                    .key_bytes = 100,
                    .most_bytes = 30e6};
  EXPECT_EQ(part_to_check(whole), 4u);
  // Of keys that come again and again, a part has them all until it has few events.
  whole.events = 16'000'000;
  EXPECT_EQ(part_to_check(whole), 64u);
}

TEST(PartToCheck, EndsWhereThereIsNoMemoryAtAll) {
  EXPECT_GT(part_to_check({.seconds = 1, .most_seconds = 10, .keys = 10, .events = 10, .key_bytes = 100}),
            1u);
}

}  // namespace
}  // namespace tally
