// A campaign: rounds over the open cells of a plan, each sample in a process of its own, every count
// verified.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "bench/analysis/campaign_result.hpp"
#include "bench/output/progress.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/process/stop_signals.hpp"
#include "bench/sampling/sampler.hpp"

namespace tally {

/// Runs the campaign. Call single-threaded; single-threaded on return, no process left behind. SIGINT and
/// SIGTERM end it early with `interrupted`. After every round the results so far are written to options.out
/// (whole or not at all). Throws UsageError for what can be known to be impossible before measuring.
CampaignResult run_campaign(RunOptions const& options, Plan const& plan);

/// What a campaign is to go on with.
struct More {
  Plan plan{};                       ///< cells and groups that are new, their indices counted from 0
  std::vector<std::size_t> again{};  ///< cells that there are, which are to have as many rounds once more
};

/// What to measure next, after all rounds of what there is; if that is nothing, the campaign ends.
using Grow = std::function<More(CampaignResult const&)>;

/// The same, and then rounds of what `grow` asks for, again and again, until it asks for nothing or the time
/// budget is spent. No round is begun that the budget has no room for. Not with --against or --slo.
CampaignResult run_campaign(RunOptions const& options, Plan const& plan, Grow const& grow);

/// The same, with samples from `sampler`, which must stop on `stop` too. SamplerLost ends the campaign; the
/// samples before it are kept.
CampaignResult run_campaign(RunOptions const& options, Plan const& plan, Sampler& sampler,
                            StopSignals const& stop, Progress& progress);

}  // namespace tally
