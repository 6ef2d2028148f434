#include "bench/output/latency_files.hpp"

#include <algorithm>
#include <string>

#include "bench/analysis/campaign_result.hpp"
#include "bench/base/atomic_file.hpp"

namespace tally {

void write_latency_files(CampaignResult const& result, std::filesystem::path const& folder) {
  for (CellResult const& cell : result.cells) {
    if (!cell.failure.empty() || !cell.corrected || !cell.uncorrected || is_saturated(cell)) continue;
    std::string name = cell.cell.name();
    std::replace(name.begin(), name.end(), '/', '_');
    std::replace(name.begin(), name.end(), ':', '-');
    write_whole(folder / (name + ".hgrm"), cell.corrected->percentile_text());
    write_whole(folder / (name + ".uncorrected.hgrm"), cell.uncorrected->percentile_text());
  }
}

}  // namespace tally
