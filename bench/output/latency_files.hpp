// Latencies as files that HdrHistogram's plotters read.
#pragma once

#include <filesystem>

#include "bench/analysis/campaign_result.hpp"

namespace tally {

/// Writes, for every cell at a rate that did not fall behind it, two files into `folder`: the percentiles of
/// its latencies as HdrHistogram's outputPercentileDistribution() writes them, in milliseconds, corrected
/// (NAME.hgrm) and uncorrected (NAME.uncorrected.hgrm); NAME is the cell's, with `_` for `/` and `-` for `:`.
/// Each is there whole or not at all. Throws std::system_error that names the path.
void write_latency_files(CampaignResult const& result, std::filesystem::path const& folder);

}  // namespace tally
