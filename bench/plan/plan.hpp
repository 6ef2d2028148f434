// The cells of a campaign, and how they are compared.
#pragma once

#include <string>
#include <vector>

#include "bench/plan/cell.hpp"
#include "bench/plan/run_options.hpp"

namespace tally {

/// The same cell of this build and of the other, which are measured one right after the other.
struct Pair {
  std::size_t here = 0;   ///< index of this build's cell in the plan's cells
  std::size_t there = 0;  ///< and of the other's
};

/// The cells of a campaign, each once, and the groups in which they are compared.
struct Plan {
  std::vector<Cell> cells;
  std::vector<Group> groups;
  std::vector<Pair> pairs;           ///< with --against alone
  std::vector<std::string> notes{};  ///< what there are no cells of, and why, a sentence each

  /// The pair that the cell belongs to, if any.
  Pair const* pair_of(std::size_t cell) const;
};

/// Every combination of the options' lists as cells, filtered by --benchmark_filter, each cell once.
/// Sequential has one worker and one event in flight, so it stands once per set of the other parameters.
/// `limit` and sequential, on which efficiency and ratio rest, are in the plan only if asked for or by
/// default. Throws UsageError if nothing is left.
Plan make_plan(RunOptions const& options);

/// `plan` with a cell of the other build beside each of its cells that is among `others`, the names of the
/// cells that the other build can measure; and their groups.
Plan with_other_build(Plan plan, std::vector<std::string> const& others);

}  // namespace tally
