#include "mpi/common_start.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "mpi/communicator.hpp"
#include "mpi/rank_deadline.hpp"
#include "tests/mpi/patience.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;
using Clock = CommonStart::Clock;

class CommonStartTest : public testing::Test {
 protected:
  /// As if so many ranks, one after the other, were on each host.
  std::vector<std::string> hosts_of(int ranks_each) const {
    std::vector<std::string> hosts;
    for (int r = 0; r < ranks.size(); ++r) hosts.push_back("h" + std::to_string(r / ranks_each));
    return hosts;
  }
  /// What each rank's clock shows now, all the ranks' being one here.
  std::uint64_t now_ns() const {
    return static_cast<std::uint64_t>(std::chrono::nanoseconds(Clock::now().time_since_epoch()).count());
  }

  Communicator ranks = Communicator::world();
};

TEST(RankSlack, IsThreeTimesAsLongAndFiveSecondsAtMost) {
  EXPECT_EQ(rank_slack(400ms), 1200ms);
  EXPECT_EQ(rank_slack(300s), 5s);
  EXPECT_EQ(rank_slack(std::chrono::nanoseconds::max()), 5s);
}

TEST_F(CommonStartTest, TakesOneHostsClockForOne) {
  CommonStart const common(ranks, hosts_of(ranks.size()), patience());
  EXPECT_EQ(common.offset(), 0ns);
  EXPECT_EQ(common.round_trip(), 0ns);
}

TEST_F(CommonStartTest, MeasuresAnOffsetWithinHalfOfTheRoundTrip) {
  // The ranks' clocks are one, whatever the hosts are called.
  CommonStart const common(ranks, hosts_of(1), patience());
  auto const round_trip =
      ranks.all_max(static_cast<std::uint64_t>(common.round_trip().count()), patience(), "test");
  if (ranks.size() > 1) {
    EXPECT_GT(round_trip, 0u);
  }
  EXPECT_LE(static_cast<std::uint64_t>(std::abs(common.offset().count())), round_trip / 2 + 1);
}

TEST_F(CommonStartTest, NobodyStartsBeforeAllHaveCome) {
  for (int const ranks_each : {ranks.size(), 1}) {
    CommonStart const common(ranks, hosts_of(ranks_each), patience());
    for (int last = 0; last < ranks.size(); ++last) {
      if (ranks.rank() == last) std::this_thread::sleep_for(20ms);
      std::uint64_t const came = now_ns();
      auto const late = common.wait(ranks, patience());
      std::uint64_t const started = now_ns();
      auto const last_came = ranks.all_max(came, patience(), "test");
      // A clock that is thought to be another may be off by half of a round trip.
      auto const round_trip =
          ranks.all_max(static_cast<std::uint64_t>(common.round_trip().count()), patience(), "test");
      EXPECT_GE(started + round_trip / 2 + 1, last_came) << "the last to come was rank " << last;
      EXPECT_GE(late, 0ns);
    }
  }
}

}  // namespace
}  // namespace tally
