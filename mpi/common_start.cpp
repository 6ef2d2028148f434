#include "mpi/common_start.hpp"

#include <algorithm>
#include <cstdint>

#include "bench/services/ping.hpp"
#include "workloads/base/clock.hpp"

namespace tally {
namespace {

constexpr char kWhatClocks[] = "measuring the clocks of other hosts";
constexpr int kTag = 78;
constexpr int kPings = 12;
/// Within which a message on one host comes, even if the CPU is another's for a while.
constexpr std::chrono::microseconds kOnOneHost{200};

}  // namespace

CommonStart::CommonStart(Communicator const& ranks, std::vector<std::string> const& hosts,
                         Patience const& given) {
  Patience patience = given;
  patience.sleeping = false;
  auto const me = static_cast<std::size_t>(ranks.rank());
  if (me == 0) {
    for (std::size_t r = 1; r < static_cast<std::size_t>(ranks.size()); ++r) {
      if (hosts[r] == hosts[0]) continue;
      std::int64_t shortest = INT64_MAX, offset = 0;
      for (int ping = 0; ping < kPings; ++ping) {
        std::int64_t const sent = steady_ns();
        std::int64_t theirs = 0;
        ranks.send(&sent, sizeof sent, static_cast<int>(r), kTag, patience, kWhatClocks);
        ranks.receive(&theirs, sizeof theirs, static_cast<int>(r), kTag, patience, kWhatClocks);
        std::int64_t const back = steady_ns();
        if (back - sent >= shortest) continue;
        shortest = back - sent;
        offset = theirs - (sent + shortest / 2);
      }
      round_trip_ = std::max(round_trip_, std::chrono::nanoseconds(shortest));
      ranks.send(&offset, sizeof offset, static_cast<int>(r), kTag, patience, kWhatClocks);
    }
    return;
  }
  if (hosts[me] == hosts[0]) return;
  for (int ping = 0; ping < kPings; ++ping) {
    std::int64_t theirs = 0;
    ranks.receive(&theirs, sizeof theirs, 0, kTag, patience, kWhatClocks);
    std::int64_t const mine = steady_ns();
    ranks.send(&mine, sizeof mine, 0, kTag, patience, kWhatClocks);
  }
  std::int64_t offset = 0;
  ranks.receive(&offset, sizeof offset, 0, kTag, patience, kWhatClocks);
  offset_ = std::chrono::nanoseconds(offset);
}

std::chrono::nanoseconds CommonStart::wait(Communicator const& ranks, Patience const& given) const {
  if (ranks.size() == 1) return std::chrono::nanoseconds(0);
  Patience patience = given;
  patience.sleeping = false;
  ranks.barrier(patience, "waiting for all ranks to be ready");
  // A broadcast is a tree: as many messages one after the other as there are levels.
  int levels = 1;
  while ((1 << levels) < ranks.size()) ++levels;
  std::int64_t start = steady_ns() + levels * (round_trip_ + std::chrono::nanoseconds(kOnOneHost)).count();
  ranks.broadcast(start, 0, patience, "naming the time to start at");
  std::int64_t const mine = start + offset_.count();
  std::int64_t const named = steady_ns();
  while (steady_ns() < mine) {
  }
  return std::chrono::nanoseconds(std::max<std::int64_t>(0, named - mine));
}

}  // namespace tally
