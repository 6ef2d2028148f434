// Ranks that go on together or not at all.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "mpi/communicator.hpp"

namespace tally {

/// One or more ranks could not do what all were to do. what() says why the first of them could not, and names
/// it and its host unless it is rank 0; it is empty on other ranks than that.
struct RankFailed : std::runtime_error {
  RankFailed(std::string const& text, bool is_usage) : std::runtime_error(text), usage(is_usage) {}
  bool usage;  ///< every reason is one that the user can mend: UsageError, InputFailed
};

/// Runs `act` on every rank. If it throws on any, throws RankFailed on all; what was thrown by Communicator's
/// collectives goes through as it is. `hosts`, by rank, at rank 0 alone. Collective.
void all_or_none(Communicator const& ranks, std::vector<std::string> const& hosts, Patience const& patience,
                 std::function<void()> const& act);

/// "rank 2 (host h3) has not been heard of in time, merging: hanging, or off the network". At rank 0; `hosts`
/// may be empty, where they are not known yet.
std::string describe_late(PeersLate const& late, std::vector<std::string> const& hosts);

/// "rank 2 (host h3)"
std::string describe_rank(int rank, std::string const& host);

}  // namespace tally
