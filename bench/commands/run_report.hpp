// What comes before and after a campaign, of `tally run`, however it was run.
#pragma once

#include <string>

#include "bench/analysis/campaign_result.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"

namespace tally {

/// What can be known to go wrong with the files of `options` before anything is measured. Throws UsageError.
void check_run_files(RunOptions const& options);

/// --benchmark_list_tests: the names of all cells, on standard output.
void list_cells(Plan const& plan);

/// What stands on standard output: Tally's own table, or the format of Google Benchmark that was asked for.
std::string run_report(CampaignResult const& result, BenchmarkFlags const& flags);

/// The exit status of a campaign: 0, 1 or 130.
int run_status(CampaignResult const& result);

}  // namespace tally
