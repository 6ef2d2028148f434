#include "bench/analysis/campaign_result.hpp"
#include "bench/base/console.hpp"
#include "bench/campaign/campaign.hpp"
#include "bench/cli/options.hpp"
#include "bench/commands/commands.hpp"
#include "bench/commands/run_report.hpp"
#include "bench/plan/limits.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"

namespace tally {

int run_command(Arguments const& arguments, std::span<Model const> models) {
  RunOptions const options = parse_run_options(arguments, models);
  Plan const plan = make_plan(options);
  if (options.benchmark.list_tests) {
    list_cells(plan);
    return 0;
  }
  check_run_files(options);
  check_limits(plan, options);
  CampaignResult const result = run_campaign(options, plan);
  write_output(run_report(result, options.benchmark));
  return run_status(result);
}

}  // namespace tally
