// The table that a person sees after a campaign.
#pragma once

#include <cstddef>
#include <string>

#include "bench/analysis/campaign_result.hpp"

namespace tally {

/// The result as text: notes first, then a block per group with the models ranked by throughput, each with
/// its interval, its ratio to sequential, efficiency, CPU time per event, peak memory, what limited it, and
/// marks; failed cells with their reason and no figure; `limit` last, without a rank; the legend of the marks
/// that occur; where the results lie.
///
/// `limited by` is what was measured to be in use for over 90%: the service, the wait, the model's CPU; blank
/// if none was. Two neighbours share a rank unless the interval of the ratio between them excludes 1. Lines
/// keep to `width` columns, wherever the names allow it.
std::string render_table(CampaignResult const& result, std::size_t width = 110);

}  // namespace tally
