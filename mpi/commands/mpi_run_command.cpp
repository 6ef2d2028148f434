#include "mpi/commands/mpi_run_command.hpp"

#include <algorithm>
#include <set>

#include "bench/analysis/campaign_result.hpp"
#include "bench/base/console.hpp"
#include "bench/campaign/campaign.hpp"
#include "bench/cli/options.hpp"
#include "bench/commands/run_report.hpp"
#include "bench/plan/limits.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "mpi/agreement.hpp"
#include "mpi/commands/in_job.hpp"
#include "mpi/mpi_team.hpp"

namespace tally {
namespace {

/// Fills in what depends on how the job was launched, alike on every rank.
void settle(RunOptions& options, Job const& job) {
  std::set<std::string> seen;
  for (std::string const& host : job.hosts) {
    seen.insert(host);
    options.hosts_of_ranks.push_back(static_cast<int>(seen.size()));
  }
}

/// The plan of all ranks. Each stream's own default of workers is what the rank with the fewest CPUs has.
Plan plan_of(RunOptions options, Job const& job) {
  if (!options.workers.empty()) return make_plan(options);
  std::vector<StreamKind> const streams = options.streams;
  Plan all;
  for (StreamKind const stream : streams) {
    options.streams = {stream};
    options.workers = {stream == StreamKind::cpu ? job.least_cpus : std::max(1, job.least_cpus - 1)};
    Plan part = make_plan(options);
    for (Group& group : part.groups) {
      for (std::size_t& cell : group.cells) cell += all.cells.size();
      all.groups.push_back(std::move(group));
    }
    all.cells.insert(all.cells.end(), part.cells.begin(), part.cells.end());
    all.notes.insert(all.notes.end(), part.notes.begin(), part.notes.end());
  }
  return all;
}

}  // namespace

int mpi_run_command(Arguments const& arguments, std::span<Model const> models, RankWatch& watch) {
  return in_job(arguments, watch, [&](InJob const& in) {
    RunOptions options;
    Plan plan;
    all_or_none(in.world, in.job.hosts, in.joining, [&] {
      options = parse_mpi_run_options(arguments, models, in.world.size());
      settle(options, in.job);
      plan = plan_of(options, in.job);
    });
    if (options.benchmark.list_tests) {
      if (in.leads) list_cells(plan);
      return 0;
    }
    all_or_none(in.world, in.job.hosts, in.joining, [&] {
      if (in.leads) check_run_files(options);
      check_limits(plan, options);
    });
    Rank rank(options, plan, in.job, in.world, in.stop, &watch);
    if (!in.leads) {
      follow(rank, plan, in.world, in.stop);
      return 0;
    }
    Progress progress(Progress::style(options.progress));
    MpiTeam team(options, rank, in.job, plan, in.world, in.stop, progress);
    CampaignResult const result = run_campaign(options, plan, team, in.stop, progress);
    write_output(run_report(result, options.benchmark));
    int const status = run_status(result);
    if (team.lost()) throw JobEnds{status};
    return status;
  });
}

}  // namespace tally
