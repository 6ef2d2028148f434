#include <sstream>

#include "bench/campaign.hpp"
#include "bench/commands.hpp"
#include "bench/engine.hpp"
#include "bench/event_options.hpp"
#include "bench/limits.hpp"
#include "bench/table.hpp"

namespace tally {
namespace {

constexpr int kCellFailed = 1;
constexpr int kInterrupted = 130;

/// What can be known to go wrong before anything is measured.
void check_files(RunOptions const& options) {
  if (options.input) check_input_file(options.input->string());
  if (!options.out.empty()) check_output_file("--out", options.out);
  if (!options.hgrm.empty()) {
    std::error_code error;
    std::filesystem::create_directories(options.hgrm, error);  // a folder that is there is no error
    check_output_file("--hgrm", options.hgrm / "latencies.hgrm");
  }
  if (!options.benchmark.out.empty()) check_output_file("--benchmark_out", options.benchmark.out);
}

/// What stands on standard output: Tally's own table, or the format of Google Benchmark that was asked for.
std::string report(CampaignResult const& result, BenchmarkFlags const& flags) {
  if (flags.format.empty()) return render_table(result);
  std::ostringstream out;
  print_in_library_format(result, flags.format, flags.display_aggregates_only || flags.report_aggregates_only,
                          out);
  return out.str();
}

}  // namespace

int run_command(Arguments const& arguments, std::span<Model const> models) {
  RunOptions const options = parse_run_options(arguments, models);
  Plan const plan = make_plan(options);
  if (options.benchmark.list_tests) {
    std::string names;
    for (Cell const& cell : plan.cells) names += cell.name() + "\n";
    write_output(names);
    return 0;
  }
  check_files(options);
  check_limits(plan, options);
  CampaignResult const result = run_campaign(options, plan);
  write_output(report(result, options.benchmark));
  if (result.interrupted) return kInterrupted;
  return result.any_failed() ? kCellFailed : 0;
}

}  // namespace tally
