#include "bench/campaign/rounds.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "bench/analysis/campaign_result.hpp"
#include "bench/analysis/sample.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "workloads/base/random.hpp"

namespace tally {
namespace {

constexpr double kLooksGrowBy = 1.4;

bool has_converged(CampaignResult const& result, std::size_t index) {
  return static_cast<int>(result.cells[index].samples.size()) >= result.options.min_rounds &&
         result.converged(index);
}

bool is_base(CellResult const& cell) { return cell.cell.model->sequential || !cell.cell.model->candidate; }

/// Whether an open cell of one of its groups rests on the base `index`. What is measured for its ratio to
/// another build's cell does not.
bool is_rested_on(CampaignResult const& result, std::size_t index) {
  for (Group const& group : result.plan.groups) {
    if (std::find(group.cells.begin(), group.cells.end(), index) == group.cells.end()) continue;
    for (std::size_t const other : group.cells)
      if (result.cells[other].closed == Closed::open && !is_base(result.cells[other]) &&
          !result.plan.pair_of(other))
        return true;
  }
  return false;
}

}  // namespace

std::vector<std::size_t> shuffled(std::vector<std::size_t> cells, std::uint64_t seed, int round) {
  IndexedRandom random(seed, static_cast<std::uint64_t>(round));
  for (std::size_t i = cells.size(); i > 1; --i) std::swap(cells[i - 1], cells[random.below(i)]);
  return cells;
}

std::vector<std::size_t> with_twins(std::vector<std::size_t> const& order, Plan const& plan,
                                    std::uint64_t seed, int round) {
  std::vector<std::size_t> all;
  for (std::size_t const i : order) {
    Pair const* const pair = plan.pair_of(i);
    auto const is_there = [&](std::size_t cell) {
      return std::find(order.begin(), order.end(), cell) != order.end();
    };
    if (!pair || !is_there(pair->here) || !is_there(pair->there)) {
      all.push_back(i);
      continue;
    }
    if (i == pair->there) continue;
    IndexedRandom random(mix64(seed ^ i), static_cast<std::uint64_t>(round / 2));
    bool const here_first = (random.below(2) + static_cast<std::uint64_t>(round)) % 2 == 0;
    all.push_back(here_first ? pair->here : pair->there);
    all.push_back(here_first ? pair->there : pair->here);
  }
  return all;
}

bool is_look(int rounds_done, RunOptions const& options) {
  if (rounds_done >= options.max_rounds) return true;
  int look = std::max(options.min_rounds, kLeastValues);
  while (look < rounds_done) look = static_cast<int>(std::ceil(look * kLooksGrowBy));
  return look == rounds_done;
}

std::vector<std::size_t> open_cells(CampaignResult const& result) {
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < result.cells.size(); ++i)
    if (result.cells[i].closed == Closed::open) open.push_back(i);
  return open;
}

void close_cells(CampaignResult& result, int rounds_done) {
  if (!is_look(rounds_done, result.options)) return;
  auto const close = [&](std::size_t index) {
    if (has_converged(result, index))
      result.cells[index].closed = Closed::converged;
    else if (rounds_done >= result.options.max_rounds)
      result.cells[index].closed = Closed::rounds;
  };
  for (std::size_t const i : open_cells(result))
    if (!is_base(result.cells[i])) close(i);
  for (std::size_t const i : open_cells(result))
    if (!is_rested_on(result, i)) close(i);
}

void close_outrun(CampaignResult& result) {
  if (!result.options.outrun_by) return;
  auto const outruns = [&](CellResult const& fast, CellResult const& slow) {
    std::size_t rounds = 0;
    for (Sample const& one : fast.samples) {
      for (Sample const& other : slow.samples) {
        if (one.round != other.round) continue;
        if (one.items_per_second() < other.items_per_second() * *result.options.outrun_by) return false;
        ++rounds;
      }
    }
    return rounds >= kRoundsToOutrun;
  };
  for (Group const& group : result.plan.groups) {
    for (std::size_t const i : group.cells) {
      CellResult& cell = result.cells[i];
      if (cell.closed != Closed::open || is_base(cell)) continue;
      if (std::any_of(group.cells.begin(), group.cells.end(), [&](std::size_t other) {
            CellResult const& fast = result.cells[other];
            return fast.failure.empty() && fast.cell.model->candidate && outruns(fast, cell);
          }))
        cell.closed = Closed::outrun;
    }
  }
}

void close_all(CampaignResult& result, Closed reason) {
  for (std::size_t const i : open_cells(result))
    result.cells[i].closed = has_converged(result, i) ? Closed::converged : reason;
}

}  // namespace tally
