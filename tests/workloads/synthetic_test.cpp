#include "workloads/events/synthetic.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "workloads/base/portable_math.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

TEST(PortableMath, AgreesWithTheLibraryToTheLastPlaces) {
  for (double x = 1e-300; x < 1e300; x *= 1.7) {
    EXPECT_NEAR(portable_log(x), std::log(x), 2e-15 * std::max(1.0, std::abs(std::log(x)))) << x;
  }
  for (double x = -700; x < 700; x += 0.37) EXPECT_NEAR(portable_exp(x) / std::exp(x), 1, 2e-15) << x;
  for (double x = 1e-18; x < 1; x *= 3.1) {
    EXPECT_NEAR(portable_log1p(x) / std::log1p(x), 1, 4e-15) << x;
    EXPECT_NEAR(portable_log1p(-x) / std::log1p(-x), 1, 4e-15) << x;
    EXPECT_NEAR(portable_expm1(x) / std::expm1(x), 1, 4e-15) << x;
    EXPECT_NEAR(portable_expm1(-x) / std::expm1(-x), 1, 4e-15) << x;
  }
  EXPECT_EQ(portable_log(1), 0);
  EXPECT_EQ(portable_exp(0), 1);
  EXPECT_EQ(portable_exp(-800), 0);
}

std::uint64_t digest(KeySpec const& spec, std::uint64_t from, std::uint64_t to) {
  KeyGenerator const generator(spec);
  std::uint64_t sum = 0;
  for (std::uint64_t i = from; i < to; ++i) sum = mix64(sum ^ generator.key(i));
  return sum;
}

// What these seeds stand for, for ever and everywhere: a change here makes old results incomparable.
TEST(SyntheticKeys, AreTheSameOnEveryMachine) {
  EXPECT_EQ(digest({.seed = 1, .keys = 1000}, 0, 100'000), 8413512308426261469ULL);
  EXPECT_EQ(digest({.seed = 1, .keys = 1000, .skew = 1}, 0, 100'000), 9510520271323049625ULL);
  EXPECT_EQ(digest({.seed = 42, .keys = kMaxKeys, .skew = 0.99}, 0, 100'000), 8727097957741226982ULL);
  EXPECT_EQ(digest({.seed = 3, .keys = 77, .skew = 3.5}, 1'000'000'000'000, 1'000'000'100'000),
            16145283095358921608ULL);
}

TEST(SyntheticKeys, OfARangeAreThoseOfTheWhole) {
  SyntheticEvents const events({.seed = 5, .keys = 500, .skew = 1.2}, 10'007);
  KeyGenerator const generator(events.spec());
  for (std::uint64_t i = 10'007; i-- > 0;) ASSERT_EQ(events.keys<std::uint16_t>()[i], generator.key(i)) << i;
}

TEST(SyntheticKeys, AreKeptWholeHoweverManyThereAre) {
  for (std::uint32_t const keys : {65'536U, 65'537U, kMaxKeys}) {
    SyntheticEvents const events({.keys = keys}, 100'003);
    KeyGenerator const generator(events.spec());
    Counts expected = Counts::dense(keys), got = Counts::dense(keys);
    for (std::uint64_t i = 0; i < events.size(); ++i) ++expected.dense_row(0)[generator.key(i)];
    expected.events = events.size();
    expected.cover(0, events.size());
    make_synthetic_stream(events, events.size(), {}, {})->count({0, events.size()}, got);
    expected.pairs = got.pairs;  // which the next tests are of
    EXPECT_EQ(expected.difference(got), "") << keys;
  }
}

/// The bytes of `range` as a message.
std::vector<std::byte> message_of(CpuStream const& stream, Range range) {
  std::vector<std::byte> message(stream.message_bytes(range));
  stream.write_message(range, message.data());
  return message;
}

TEST(SyntheticStream, KeysThatChangePlacesInAMessageAreADifferenceWhereverTheyStand) {
  constexpr std::uint64_t kEvents = 300'000;
  for (std::uint32_t const keys : {2U, 1000U, 70'000U}) {
    SyntheticEvents const events({.keys = keys}, kEvents, 5);
    auto const stream = make_synthetic_stream(events, kEvents, {}, {});
    Range const range{3, kEvents};
    std::size_t const key_bytes = SyntheticEvents::key_bytes(keys);
    Counts expected = stream->empty_tally();
    stream->count(range, expected);
    IndexedRandom random(keys, 0);
    for (int i = 0; i < 40; ++i) {
      auto message = message_of(*stream, range);
      // Near each other, where one word may hold both, and at distances of powers of two.
      std::uint64_t const one = random.below(kEvents - 3), distance = std::uint64_t{1} << (i % 18);
      std::uint64_t const other = (one + distance) % (kEvents - 3);
      auto *const a = &message[one * key_bytes], *const b = &message[other * key_bytes];
      if (std::equal(a, a + key_bytes, b)) continue;
      std::swap_ranges(a, a + key_bytes, b);
      Counts got = stream->empty_tally();
      stream->count_message(range, message, got);
      EXPECT_TRUE(expected.difference(got).starts_with("checksum of events with their keys"))
          << keys << " keys, " << one << " and " << other << ": " << expected.difference(got);
    }
  }
}

TEST(SyntheticKeys, UniformKeysAreUniform) {
  KeyGenerator const generator({.seed = 1, .keys = 10});
  std::vector<double> seen(10);
  for (int i = 0; i < 100'000; ++i) ++seen[generator.key(static_cast<std::uint64_t>(i))];
  double chi_squared = 0;
  for (double const n : seen) chi_squared += (n - 10'000) * (n - 10'000) / 10'000;
  EXPECT_LT(chi_squared, 21.7);  // 99% point at 9 degrees of freedom
}

TEST(SyntheticKeys, ZipfKeysFollowZipf) {
  for (double const skew : {0.5, 1.0, 1.5, 3.0}) {
    constexpr int kDraws = 200'000;
    constexpr std::uint32_t kZipfKeys = 50;
    KeyGenerator const generator({.seed = 9, .keys = kZipfKeys, .skew = skew});
    std::vector<double> seen(kZipfKeys);
    for (int i = 0; i < kDraws; ++i) ++seen[generator.key(static_cast<std::uint64_t>(i))];
    double total = 0;
    for (std::uint32_t k = 1; k <= kZipfKeys; ++k) total += std::pow(k, -skew);
    double chi_squared = 0;
    int cells = 0;
    for (std::uint32_t k = 1; k <= kZipfKeys; ++k) {
      double const expected = kDraws * std::pow(k, -skew) / total;
      if (expected < 5) continue;
      ++cells;
      chi_squared += (seen[k - 1] - expected) * (seen[k - 1] - expected) / expected;
    }
    EXPECT_LT(chi_squared, cells - 1 + 3.5 * std::sqrt(2.0 * cells)) << "skew " << skew;
  }
}

TEST(SyntheticKeys, OneKeyIsAlwaysKeyZero) {
  for (double const skew : {0.0, 1.0, 10.0}) {
    KeyGenerator const generator({.keys = 1, .skew = skew});
    for (std::uint64_t i = 0; i < 100; ++i) EXPECT_EQ(generator.key(i), 0U);
  }
}

TEST(SyntheticKeys, OutsideTheirLimitsAreRefused) {
  EXPECT_THROW(KeyGenerator({.keys = 0}), std::invalid_argument);
  EXPECT_THROW(KeyGenerator({.keys = kMaxKeys + 1}), std::invalid_argument);
  EXPECT_THROW(KeyGenerator({.skew = -1}), std::invalid_argument);
  EXPECT_THROW(KeyGenerator({.skew = std::nan("")}), std::invalid_argument);
}

TEST(SyntheticStream, FillsWindowsOfEventTime) {
  SyntheticEvents const events({.keys = 8}, 2'500);
  auto const stream = make_synthetic_stream(events, 2'500, {}, 1ms);  // an event each microsecond
  Counts counts = stream->empty_tally();
  stream->count({0, 2'500}, counts);
  auto const windows = counts.windows();
  ASSERT_EQ(windows.size(), 3U);
  EXPECT_EQ(windows[0].events, 1'000U);
  EXPECT_EQ(windows[2].events, 500U);
  EXPECT_EQ(windows[0].distinct_keys, 8U);
  EXPECT_EQ(synthetic_windows(2'500, 1ms), 3U);
  EXPECT_EQ(synthetic_windows(0, 1ms), 0U);
}

TEST(SyntheticStream, AWindowThatIsNoMultipleOfTheSpacingIsCutWhereItsTimeEnds) {
  SyntheticEvents const events({.keys = 8}, 10);
  auto const stream = make_synthetic_stream(events, 10, {}, 2500ns);
  Counts counts = stream->empty_tally();
  stream->count({0, 10}, counts);
  auto const windows = counts.windows();  // events at 0, 1, 2 us; 3, 4; 5, 6, 7; 8, 9
  ASSERT_EQ(windows.size(), 4U);
  EXPECT_EQ(windows[0].events, 3U);
  EXPECT_EQ(windows[1].events, 2U);
  EXPECT_EQ(windows[2].events, 3U);
  EXPECT_EQ(windows[3].events, 2U);
}

TEST(Grain, DoesItsWorkForEachEventInAnyOrder) {
  SyntheticEvents const events({}, 1'000);
  auto const stream = make_synthetic_stream(events, 1'000, {100ns, 10}, 0ns);
  Counts whole = stream->empty_tally(), parts = stream->empty_tally();
  stream->count({0, 1'000}, whole);
  stream->count({400, 1'000}, parts);
  stream->count({0, 400}, parts);
  EXPECT_NE(whole.checksum, 0U);
  EXPECT_EQ(whole.difference(parts), "");
}

TEST(Grain, HasAtLeastOneLinkIfItLastsAtAll) {
  EXPECT_EQ(make_grain(0ns, 0.5).iterations, 0U);
  EXPECT_EQ(make_grain(1ns, 0.01).iterations, 1U);
  EXPECT_EQ(make_grain(1us, 0.5).iterations, 499U) << "and what lies between two chains";
  EXPECT_NEAR(event_ns(make_grain(1us, 0.5), 0.5), 1000, 1);
  EXPECT_NEAR(event_ns(make_grain(30ns, 0.6), 0.6), 30, 0.5 / 0.6) << "half a link";
  EXPECT_EQ(grind(1, 0), 0U);
  EXPECT_NE(grind(1, 5), grind(2, 5));
}

TEST(Grain, TheResultOfAnEventDependsOnNoneBeforeIt) {
  std::uint64_t chain = 77;  // whatever was before
  {
    Grinder chained(5, chain);
    for (std::uint64_t event = 0; event < 10; ++event) EXPECT_EQ(chained(event), grind(event, 5));
  }
  EXPECT_EQ(chain, grind(9, 5)) << "where the next task's chain begins";
}

TEST(BatchReader, BatchesThatGrowAreASmallPartOfWhatWasRead) {
  SyntheticEvents const all({}, 1'000'000);
  auto const stream = make_synthetic_stream(all, all.size(), {}, 0ns);
  BatchReader reader(*stream, kAutoBatch, 2);
  std::uint64_t position = 0, batches = 0;
  for (Range batch; !(batch = reader.next()).empty(); ++batches) {
    ASSERT_EQ(batch.begin, position);
    EXPECT_LE(batch.end - batch.begin, std::max<std::uint64_t>(1, position / 128));
    position = batch.end;
  }
  EXPECT_EQ(position, all.size());
  EXPECT_LT(batches, 2'000u);
}

TEST(SplitAtBatches, GivesWholeBatchesOfAboutEqualNumber) {
  SyntheticEvents const all({}, 100);
  auto const stream = make_synthetic_stream(all, all.size(), {}, 0ns);
  EXPECT_EQ(split_at_batches(*stream, 7, 3), (std::vector<Range>{{0, 35}, {35, 70}, {70, 100}}));
  EXPECT_EQ(split_at_batches(*stream, 1'000, 2), (std::vector<Range>{{0, 100}, {100, 100}}));
  EXPECT_EQ(split_at_batches(*stream, kAutoBatch, 2), stream->split(2));
  std::uint64_t batches = 0;
  for (Range const part : split_at_batches(*stream, 7, 3))
    for (BatchReader reader(*stream, part, 7, 1); !reader.next().empty();) ++batches;
  EXPECT_EQ(batches, batches_in(*stream, 7));
}

}  // namespace
}  // namespace tally
