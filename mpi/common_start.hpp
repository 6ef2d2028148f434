// A start at the same moment on every rank.
#pragma once

#include <chrono>
#include <vector>

#include "mpi/communicator.hpp"

namespace tally {

/// How each rank's clock stands to rank 0's, and how far away it is.
class CommonStart {
 public:
  using Clock = std::chrono::steady_clock;

  /// Measures it by messages to and fro between rank 0 and each rank that is on another host: half of the
  /// shortest round trip is taken for the way there (Hoefler & Belli, "Scientific Benchmarking of Parallel
  /// Computing Systems", SC 2015, 4.2.1; after Cristian 1989). On one host there is one clock. `hosts` names
  /// each rank's, by rank. Collective.
  CommonStart(Communicator const& ranks, std::vector<std::string> const& hosts, Patience const& patience);

  /// Returns on every rank at the same moment, as far as the clocks' differences are known: after a barrier,
  /// rank 0 names a time that all can be told of before it comes, and each spins until its own clock shows
  /// it. A barrier alone lets ranks go at moments that lie up to a message's way apart, which is what is
  /// measured between distant hosts. Returns by how much this rank was late. Collective.
  std::chrono::nanoseconds wait(Communicator const& ranks, Patience const& patience) const;

  /// This clock's time when rank 0's shows what it shows now, less now.
  std::chrono::nanoseconds offset() const noexcept { return offset_; }
  /// The longest of the shortest round trips to any rank; 0 on one host. At rank 0 alone.
  std::chrono::nanoseconds round_trip() const noexcept { return round_trip_; }

 private:
  std::chrono::nanoseconds offset_{0};
  std::chrono::nanoseconds round_trip_{0};
};

}  // namespace tally
