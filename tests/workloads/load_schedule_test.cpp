#include "workloads/ingest/load_schedule.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "workloads/ingest/live_tally.hpp"
#include "workloads/text/event_lines.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kScheduled = 40'000;
constexpr double kRate_per_s = 100'000;

SyntheticEvents const& keys() {
  static SyntheticEvents const keys({.seed = 3, .keys = 500, .skew = 1}, kScheduled);
  return keys;
}

LoadSpec spec_of(Arrivals arrivals) {
  return {.events = kScheduled, .rate_per_s = kRate_per_s, .arrivals = arrivals, .connections = 10};
}

std::vector<double> gaps_us(LoadSchedule const& schedule) {
  std::vector<double> gaps;
  for (std::uint64_t i = 1; i < schedule.events(); ++i)
    gaps.push_back(static_cast<double>((schedule.send_time(i) - schedule.send_time(i - 1)).count()) * 1e-3);
  return gaps;
}

double mean_of(std::vector<double> const& values) {
  double sum = 0;
  for (double const v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

TEST(LoadSchedule, TakesItsNumberOverItsRateWhateverTheArrivals) {
  for (Arrivals const arrivals : {Arrivals::poisson, Arrivals::uniform, Arrivals::bursts}) {
    LoadSchedule const schedule(spec_of(arrivals), keys());
    auto const last = std::chrono::duration<double>(schedule.send_time(kScheduled - 1)).count();
    double const whole = kScheduled / kRate_per_s;
    EXPECT_LE(last, whole);
    EXPECT_GT(last, whole - (arrivals == Arrivals::bursts ? 10e-3 : 0.5e-3));
    for (std::uint64_t i = 1; i < kScheduled; ++i)
      ASSERT_GE(schedule.send_time(i), schedule.send_time(i - 1));
  }
}

TEST(LoadSchedule, HasTheKeysOfSoManyEventsAgainAndAgainWhereNoMoreAreKnown) {
  LoadSpec spec = spec_of(Arrivals::uniform);
  spec.numbered = true;
  spec.slots = 300;
  LoadSchedule const schedule(spec, keys());
  Counts::KeyCount const greatest = schedule.reference({}, 0ns).totals(1).front();
  std::uint64_t times = 0;
  for (std::uint64_t i = 0; i < kScheduled; ++i) {
    ASSERT_EQ(schedule.key(i), keys().keys<std::uint16_t>()[i % 300]);
    ASSERT_EQ(schedule.said(i), i);
    times += std::to_string(schedule.key(i)) == greatest.key ? 1 : 0;
  }
  EXPECT_EQ(greatest.count, times);
}

TEST(LoadSchedule, UniformTimesAreAlikeAndPoissonTimesAreExponential) {
  for (double const gap : gaps_us(LoadSchedule(spec_of(Arrivals::uniform), keys())))
    EXPECT_NEAR(gap, 10, 0.0011);
  auto const gaps = gaps_us(LoadSchedule(spec_of(Arrivals::poisson), keys()));
  EXPECT_NEAR(mean_of(gaps), 10, 0.01);
  // Exponential: the share above k times the mean is e^-k (Kolmogorov's distance below that of 1% at this
  // many).
  for (double const k : {0.25, 0.5, 1.0, 2.0, 4.0}) {
    double above = 0;
    for (double const gap : gaps) above += gap > k * 10 ? 1 : 0;
    EXPECT_NEAR(above / static_cast<double>(gaps.size()), std::exp(-k), 1.63 / std::sqrt(kScheduled)) << k;
  }
}

TEST(LoadSchedule, BurstsComeInAMillisecondOfEveryTen) {
  LoadSchedule const schedule(spec_of(Arrivals::bursts), keys());
  std::vector<int> of_period(41);
  for (std::uint64_t i = 0; i < kScheduled; ++i) {
    EXPECT_LE(schedule.send_time(i) % 10ms, 1ms);
    ++of_period.at(static_cast<std::size_t>(schedule.send_time(i) / 10ms));
  }
  for (std::size_t p = 0; p < 40; ++p) EXPECT_NEAR(of_period[p], 1000, 200) << p;
}

TEST(LoadSchedule, IsFixedByItsSeed) {
  LoadSchedule const one(spec_of(Arrivals::poisson), keys()), same(spec_of(Arrivals::poisson), keys());
  auto spec = spec_of(Arrivals::poisson);
  spec.seed = 2;
  LoadSchedule const other(spec, keys());
  std::uint64_t alike = 0;
  for (std::uint64_t i = 0; i < kScheduled; ++i) {
    ASSERT_EQ(one.send_time(i), same.send_time(i));
    alike += one.send_time(i) == other.send_time(i) ? 1 : 0;
  }
  EXPECT_LT(alike, kScheduled / 100);
}

TEST(LoadSchedule, SendersKeepEventsTogetherForAsLongAsTheyAreTold) {
  auto spec = spec_of(Arrivals::poisson);
  for (Arrivals const arrivals : {Arrivals::poisson, Arrivals::bursts}) {
    spec.arrivals = arrivals;
    spec.coalesce = 100us;
    LoadSchedule const schedule(spec, keys());
    EXPECT_LT(schedule.runs(), kScheduled / 5);
    EXPECT_EQ(schedule.first_of_run(0), 0u);
    EXPECT_EQ(schedule.end_of_run(schedule.runs() - 1), kScheduled);
    for (std::uint64_t run = 0; run < schedule.runs(); ++run) {
      auto const first = schedule.first_of_run(run), end = schedule.end_of_run(run);
      ASSERT_LT(first, end);
      ASSERT_LE(schedule.send_time(end - 1) - schedule.send_time(first), 100us);
      if (end < kScheduled) {
        ASSERT_GT(schedule.send_time(end) - schedule.send_time(first), 100us) << "no shorter than it must be";
        ASSERT_EQ(schedule.first_of_run(run + 1), end);
      }
    }
    EXPECT_EQ(schedule.connection_of_run(13), 3);
  }
  spec.coalesce = 0ns;
  EXPECT_EQ(LoadSchedule(spec, keys()).runs(), kScheduled);
}

TEST(LoadSchedule, EventTimesAreOutOfOrderByNoMoreThanTheDisorder) {
  auto spec = spec_of(Arrivals::uniform);
  spec.disorder = 5ms;
  LoadSchedule const schedule(spec, keys());
  std::uint64_t out_of_order = 0;
  for (std::uint64_t i = 0; i < kScheduled; ++i) {
    EXPECT_GE(schedule.event_time(i), schedule.send_time(i));
    EXPECT_LE(schedule.event_time(i), schedule.send_time(i) + 5ms);
    if (i > 0 && schedule.event_time(i) < schedule.event_time(i - 1)) ++out_of_order;
  }
  EXPECT_GT(out_of_order, kScheduled / 3);
  spec.disorder = 0ns;
  EXPECT_EQ(LoadSchedule(spec, keys()).event_time(9), LoadSchedule(spec, keys()).send_time(9));
}

TEST(LoadSchedule, AtNoRateTheLinesStandReady) {
  for (bool const timed : {false, true}) {
    LoadSpec const spec{.events = 1'003, .connections = 3, .timed = timed, .stamped = false};
    LoadSchedule const schedule(spec, keys());
    std::string text;
    for (std::uint64_t run = 0; run < schedule.runs(); ++run) text += schedule.text_of_run(run);
    std::string expected;
    for (std::uint64_t i = 0; i < spec.events; ++i) {
      std::array<char, kMaxEventLineBytes> line;
      std::size_t const size =
          timed ? write_event_line(line, keys().keys<std::uint16_t>()[i], i * kEventSpacing)
                : write_event_line(line, keys().keys<std::uint16_t>()[i]);
      expected.append(line.data(), size);
    }
    EXPECT_EQ(text, expected);
    EXPECT_GE(schedule.runs(), 3u) << "every connection has something to send";
  }
  LoadSchedule const nothing({.connections = 3, .timed = false, .stamped = false}, keys());
  EXPECT_EQ(nothing.runs(), 0u);
}

TEST(LoadSchedule, TheReferenceIsWhatCountingTheLinesGives) {
  Grain const grain{1ns, 4};
  auto spec = spec_of(Arrivals::poisson);
  spec.disorder = 20ms;
  for (auto const window : {0ns, 7ms + 0ns}) {
    // Keys of up to eight digits, but where each window has a row of them.
    SyntheticEvents const many({.seed = 5, .keys = window.count() == 0 ? 12'000'000u : 3'000u}, kScheduled);
    LoadSchedule const schedule(spec, many);
    auto const tally = LiveTally::make();
    LineRules const rules{.window = window, .grain = grain};
    LineRest rest;
    for (std::uint64_t i = 0; i < kScheduled; ++i) {
      std::array<char, kMaxEventLineBytes + kReadAheadBytes> line{};
      std::size_t const size =
          write_event_line(std::span<char, kMaxEventLineBytes>(line.data(), kMaxEventLineBytes),
                           schedule.key(i), schedule.event_time(i));
      tally->count({line.data(), size}, rest, rules);
    }
    Counts got = Counts::text();
    tally->take_windows(std::chrono::nanoseconds::max(), got);
    got.events = tally->totals().events;
    got.checksum = tally->totals().checksum;
    got.pairs = tally->totals().pairs;
    EXPECT_EQ(schedule.reference(grain, window).difference(got), "") << window.count();
  }
}

TEST(LoadSchedule, RefusesWhatCannotBe) {
  auto const refused = [](auto change) {
    LoadSpec spec{.events = 10, .rate_per_s = 1};
    change(spec);
    EXPECT_THROW(LoadSchedule(spec, keys()), std::invalid_argument);
  };
  refused([](LoadSpec& s) { s.events = kScheduled + 1; });
  refused([](LoadSpec& s) { s.connections = 0; });
  refused([](LoadSpec& s) { s.rate_per_s = -1; });
  refused([](LoadSpec& s) { s.rate_per_s = INFINITY; });
  refused([](LoadSpec& s) { s.disorder = -1ns; });
  refused([](LoadSpec& s) { s.coalesce = -1ns; });
  refused([](LoadSpec& s) { s.timed = false; });
  refused([](LoadSpec& s) { s.rate_per_s = 0; });
}

}  // namespace
}  // namespace tally
