#include "bench/commands/run_report.hpp"

#include <sstream>

#include "bench/analysis/campaign_result.hpp"
#include "bench/base/atomic_file.hpp"
#include "bench/base/console.hpp"
#include "bench/base/exit_status.hpp"
#include "bench/cli/event_options.hpp"
#include "bench/commands/commands.hpp"
#include "bench/output/library_report.hpp"
#include "bench/output/table.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"

namespace tally {
namespace {}  // namespace

void check_run_files(RunOptions const& options) {
  if (options.input) check_input_file(options.input->string());
  if (!options.out.empty()) check_output_file("--out", options.out);
  if (!options.hgrm.empty()) {
    std::error_code error;
    std::filesystem::create_directories(options.hgrm, error);  // a folder that is there is no error
    check_output_file("--hgrm", options.hgrm / "latencies.hgrm");
  }
  if (!options.benchmark.out.empty()) check_output_file("--benchmark_out", options.benchmark.out);
}

void list_cells(Plan const& plan) {
  std::string names;
  for (Cell const& cell : plan.cells) names += cell.name() + "\n";
  write_output(names);
}

std::string run_report(CampaignResult const& result, BenchmarkFlags const& flags) {
  if (flags.format.empty()) return render_table(result);
  std::ostringstream out;
  print_in_library_format(result, flags.format, flags.display_aggregates_only || flags.report_aggregates_only,
                          out);
  return out.str();
}

int run_status(CampaignResult const& result) {
  if (result.interrupted) return kInterruptedStatus;
  return result.any_failed() ? kFailedStatus : 0;
}

}  // namespace tally
