// The result file: JSON in Google Benchmark's layout, with more keys.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "bench/analysis/campaign_result.hpp"

namespace tally {

/// A statistic over the verified samples of a cell.
struct Aggregate {
  std::string name;       ///< median, mean, stddev, cv
  bool relative = false;  ///< cv: shares, not units
  double real_s = 0;
  double cpu_s = 0;
  double items_per_second = 0;
  double peak_rss_bytes = 0;
};

/// Median and mean of a cell that has figures; with two samples or more also stddev and cv (stddev over
/// mean).
std::vector<Aggregate> aggregates(CellResult const& cell);

/// The whole result file. Every number in it is finite: one that is not is absent, and "<key>_absent" says
/// why. A failed cell has error_occurred, its reason and no figure. Context's result_id is the first 16
/// digits of the SHA-256 of this text with "" in its place.
std::string record_text(CampaignResult const& result);

/// Writes record_text() to `path`, whole or not at all. Throws std::system_error.
void write_record(CampaignResult const& result, std::filesystem::path const& path);

}  // namespace tally
