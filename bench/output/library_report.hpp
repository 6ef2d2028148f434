// A campaign in Google Benchmark's formats.
#pragma once

#include <benchmark/benchmark.h>

#include <iosfwd>
#include <string>
#include <vector>

#include "bench/analysis/campaign_result.hpp"

namespace tally {

/// The campaign as the library's runs, cell by cell: samples in order of time, then median, mean, stddev and
/// cv. Without samples if `aggregates_only`, as far as a cell has aggregates.
std::vector<benchmark::BenchmarkReporter::Run> library_runs(CampaignResult const& result,
                                                            bool aggregates_only);

/// Writes the campaign in a format of the library: "console" and "csv" by its own reporters, "json" as the
/// result file. Throws std::runtime_error when not all could be written.
void print_in_library_format(CampaignResult const& result, std::string const& format, bool aggregates_only,
                             std::ostream& out);

/// --benchmark_out: print_in_library_format() to a file, whole or not at all. Does nothing if no such file
/// was asked for.
void write_library_file(CampaignResult const& result);

}  // namespace tally
