// Which cells run in a round, in which order, and when a cell is closed.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/analysis/campaign_result.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"

namespace tally {

/// `cells`, shuffled by `seed` and `round` alone (Fisher & Yates), the same on every machine.
std::vector<std::size_t> shuffled(std::vector<std::size_t> cells, std::uint64_t seed, int round);

/// `order`, in which the other build's cells stand right beside those of this build that they are compared
/// with: of a pair, each build's comes first in one of every two rounds, in which one is drawn from the seed.
std::vector<std::size_t> with_twins(std::vector<std::size_t> const& order, Plan const& plan,
                                    std::uint64_t seed, int round);

/// Whether the cells are looked at after `rounds_done` rounds: after min_rounds (or the least that an
/// interval needs), then whenever there are two fifths more, and after max_rounds. Whoever looks after every
/// round stops where chance has made an interval narrow: it then holds the median less often than it says
/// (tests/bench/coverage_test.cpp measures it).
bool is_look(int rounds_done, RunOptions const& options);

/// Indices of the cells that are open, in the order of the plan.
std::vector<std::size_t> open_cells(CampaignResult const& result);

/// After `rounds_done` rounds, if is_look(): closes what has converged or has had the most rounds.
/// `sequential` and `limit`, on which the ratios and efficiencies of their groups rest, stay open as long as
/// any cell that is compared with them, but for cells that are measured for their ratio to another build's:
/// those two are closed together, when the interval of their ratio is within `ci`.
void close_cells(CampaignResult& result, int rounds_done);

/// The least rounds after which a cell may be called outrun.
inline constexpr std::size_t kRoundsToOutrun = 3;

/// Closes cells that another of their group outran, by options.outrun_by, in every round that both had, of
/// which there are at least kRoundsToOutrun. What is left is for those that may be the fastest.
void close_outrun(CampaignResult& result);

/// Closes all that is open, for the reason given.
void close_all(CampaignResult& result, Closed reason);

}  // namespace tally
