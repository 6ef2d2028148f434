#include "bench/base/statistics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <stdexcept>

#include "bench/base/sha256.hpp"

namespace tally {
namespace {

std::vector<double> one_to(int n) {
  std::vector<double> values(static_cast<std::size_t>(n));
  std::iota(values.begin(), values.end(), 1.0);
  return values;
}

struct KnownRanks {
  int n, low, high;
  double coverage;
};

// Sums of binomial(n, 1/2); the pairs are those of published tables of the median's 95% interval.
TEST(MedianRanks, AreThoseOfTheBinomialDistribution) {
  for (KnownRanks const known : {KnownRanks{1, 1, 1, 0},
                                 {2, 1, 2, 0.5},
                                 {5, 1, 5, 0.9375},
                                 {6, 1, 6, 0.96875},
                                 {7, 1, 7, 0.984375},
                                 {8, 1, 8, 0.9921875},
                                 {9, 2, 8, 0.9609375},
                                 {10, 2, 9, 0.978515625},
                                 {17, 5, 13, 0.950958},
                                 {20, 6, 15, 0.958611},
                                 {30, 10, 21, 0.957226}}) {
    Ranks const ranks = median_ranks(known.n);
    EXPECT_EQ(ranks.low, known.low) << "n = " << known.n;
    EXPECT_EQ(ranks.high, known.high) << "n = " << known.n;
    EXPECT_NEAR(ranks.coverage, known.coverage, 1e-6) << "n = " << known.n;
  }
}

TEST(MedianRanks, CoverAtLeastWhatTheyClaimAndNoNarrowerPairDoes) {
  for (int n = 6; n <= 300; ++n) {
    Ranks const ranks = median_ranks(n);
    EXPECT_EQ(ranks.low + ranks.high, n + 1);
    EXPECT_GE(ranks.coverage, kConfidence) << "n = " << n;
    double const log_p =
        std::lgamma(n + 1.0) - std::lgamma(ranks.low + 1.0) - std::lgamma(n - ranks.low + 1.0);
    EXPECT_LT(ranks.coverage - 2 * std::exp(log_p - n * std::log(2.0)), kConfidence) << "n = " << n;
  }
}

TEST(MedianInterval, HoldsTheMedianAndTheOrderStatistics) {
  auto values = one_to(10);
  std::swap(values[0], values[7]);
  Interval const interval = median_interval(values);
  EXPECT_DOUBLE_EQ(interval.median, 5.5);
  EXPECT_DOUBLE_EQ(interval.low, 2);
  EXPECT_DOUBLE_EQ(interval.high, 9);
  EXPECT_EQ(interval.n, 10);
  EXPECT_DOUBLE_EQ(interval.relative_half_width(), 3.5 / 5.5);
  EXPECT_DOUBLE_EQ(median_interval(one_to(7)).median, 4);
}

TEST(MedianInterval, OfTooFewValuesIsTheirWholeRangeAndSaysWhatItCovers) {
  Interval const interval = median_interval(one_to(3));
  EXPECT_DOUBLE_EQ(interval.low, 1);
  EXPECT_DOUBLE_EQ(interval.high, 3);
  EXPECT_DOUBLE_EQ(interval.coverage, 0.75);
  Interval const single = median_interval(one_to(1));
  EXPECT_DOUBLE_EQ(single.relative_half_width(), 0);
  EXPECT_DOUBLE_EQ(single.coverage, 0);
}

TEST(MedianInterval, OfNothingIsRefused) {
  EXPECT_THROW(median_interval({}), std::invalid_argument);
  EXPECT_THROW(median_ranks(0), std::invalid_argument);
  EXPECT_THROW(mean({}), std::invalid_argument);
}

TEST(RelativeHalfWidth, IsTheLargerSideAndInfiniteAroundZero) {
  EXPECT_DOUBLE_EQ((Interval{10, 9, 13, 0.95, 9}.relative_half_width()), 0.3);
  EXPECT_DOUBLE_EQ((Interval{10, 6, 11, 0.95, 9}.relative_half_width()), 0.4);
  EXPECT_TRUE(std::isinf(Interval{0, -1, 1, 0.95, 9}.relative_half_width()));
}

TEST(NoNarrowerThan, WidensEachSideThatIsNarrower) {
  Interval const narrow{.median = 100, .low = 99, .high = 120, .coverage = 0.96, .n = 9};
  Interval const wide = narrow.no_narrower_than(0.1);
  EXPECT_DOUBLE_EQ(wide.low, 90);
  EXPECT_DOUBLE_EQ(wide.high, 120) << "what was wider stays";
  EXPECT_DOUBLE_EQ(wide.median, 100);
  EXPECT_EQ(wide.n, 9);
  EXPECT_DOUBLE_EQ(wide.coverage, 0.96);
  EXPECT_DOUBLE_EQ(narrow.no_narrower_than(3).low, 0) << "no rate is below 0";
  EXPECT_DOUBLE_EQ(narrow.no_narrower_than(3).high, 400);
  EXPECT_DOUBLE_EQ(narrow.no_narrower_than(0).low, 99);
}

TEST(Outliers, AreThoseBeyondTukeysFences) {
  EXPECT_EQ(count_outliers({}), 0);
  EXPECT_EQ(count_outliers(one_to(20)), 0);
  auto values = one_to(9);  // quartiles 3.25 and 7.75 of the ten below: fences -3.5 and 14.5
  values.push_back(14.4);
  EXPECT_EQ(count_outliers(values), 0);
  values.back() = 14.6;
  EXPECT_EQ(count_outliers(values), 1);
}

TEST(StandardDeviation, DividesByOneLessThanTheNumber) {
  std::vector<double> const values{2, 4, 4, 4, 5, 5, 7, 9};
  EXPECT_DOUBLE_EQ(mean(values), 5);
  EXPECT_NEAR(*standard_deviation(values), std::sqrt(32.0 / 7), 1e-12);
  EXPECT_FALSE(standard_deviation(one_to(1)));
}

// FIPS 180-4's examples.
TEST(Sha256, GivesTheKnownAnswers) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, DoesNotDependOnHowTheBytesCame) {
  std::string const bytes(1000, 'x');
  Sha256 digest;
  for (std::size_t i = 0; i < bytes.size(); i += 7) digest.add(std::string_view(bytes).substr(i, 7));
  EXPECT_EQ(digest.hex(), sha256(bytes));
}

}  // namespace
}  // namespace tally
