// What a short sample of lookups says of the long run.
#include "bench/analysis/drawn_waits.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <queue>

namespace tally {
namespace {

using namespace std::chrono_literals;

/// Events/s of a sample in which nothing takes time but the waits.
double waits_alone(WaitSpec const& wait, std::uint64_t seed, std::uint64_t events, int in_flight) {
  std::priority_queue<double, std::vector<double>, std::greater<>> ends;
  double last = 0;
  for (std::uint64_t i = 0; i < events; ++i) {
    double begin = 0;
    if (ends.size() == static_cast<std::size_t>(in_flight)) {
      begin = ends.top();
      ends.pop();
    }
    ends.push(begin + std::chrono::duration<double>(draw_wait(wait, seed, i)).count());
    last = std::max(last, begin + std::chrono::duration<double>(draw_wait(wait, seed, i)).count());
  }
  return static_cast<double>(events) / last;
}

TEST(DrawnWaits, OfASampleOfWaitsAloneTheLongRunIsInFlightOverWait) {
  for (auto const distribution : {WaitDistribution::exponential, WaitDistribution::lognormal}) {
    for (int const in_flight : {1, 7, 32, 1000}) {
      for (std::uint64_t const waits_each : {5u, 30u}) {
        WaitSpec const wait{20ms, distribution};
        std::uint64_t const events = waits_each * static_cast<std::uint64_t>(in_flight);
        double const sample = waits_alone(wait, 3, events, in_flight);
        double const truth = in_flight / 20e-3;
        if (3 * sample < truth) continue;  // nothing but end, which is the test below
        EXPECT_GT(std::abs(sample / truth - 1), 1e-4) << "there is something to set right";
        EXPECT_NEAR(DrawnWaits(wait, 3, events, in_flight).in_long_run(sample), truth, truth * 1e-3)
            << in_flight << " in flight, " << waits_each << " waits each";
      }
    }
  }
}

TEST(DrawnWaits, AddWhatTheyTakeOff) {
  DrawnWaits const waits({1ms, WaitDistribution::exponential}, 1, 500, 50);
  double const in_long_run = 40e3;
  double const sample = 500 / (500 / in_long_run + waits.added_s(in_long_run));
  EXPECT_NEAR(waits.in_long_run(sample), in_long_run, 1);
}

TEST(DrawnWaits, AddNothingWhereACpuIsFull) {
  // Of 1024 in flight two wait at a time: whatever those waits are, the others keep the CPU busy meanwhile.
  DrawnWaits const waits({1ms, WaitDistribution::exponential}, 1, 2000, 1024);
  EXPECT_NEAR(waits.added_s(2000), 0, 2e-3);
  EXPECT_NEAR(waits.in_long_run(2000), 2000, 5);
}

TEST(DrawnWaits, SayLittleOfWhatIsNothingButEnd) {
  // Each once: the sample is its longest wait.
  DrawnWaits const waits({1s, WaitDistribution::lognormal}, 1, 1000, 1000);
  double const sample = waits_alone({1s, WaitDistribution::lognormal}, 1, 1000, 1000);
  EXPECT_LE(waits.in_long_run(sample), 3 * sample * (1 + 1e-9));
}

TEST(DrainInWaits, IsWhatTheLastOfManyWaitsTakesLonger) {
  EXPECT_EQ(drain_in_waits(WaitDistribution::exponential, 1), 0);
  EXPECT_EQ(drain_in_waits(WaitDistribution::fixed, 100), 0);
  double harmonic = 0;
  for (int k = 1; k <= 100; ++k) harmonic += 1.0 / k;
  EXPECT_NEAR(drain_in_waits(WaitDistribution::exponential, 100), harmonic - 1, 0.02);
  EXPECT_GT(drain_in_waits(WaitDistribution::lognormal, 100),
            drain_in_waits(WaitDistribution::exponential, 100));
}

}  // namespace
}  // namespace tally
