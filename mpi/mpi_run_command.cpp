#include "mpi/mpi_run_command.hpp"

#include <mpi.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "bench/campaign.hpp"
#include "bench/run_report.hpp"
#include "bench/sha256.hpp"
#include "mpi/agreement.hpp"
#include "mpi/mpi_team.hpp"

namespace tally {
namespace {

constexpr int kInterrupted = 130;
constexpr int kFailed = 1;
constexpr std::chrono::minutes kJoinWithin{2};
constexpr timespec kTimeToWrite{2, 0};

/// Ends all ranks: they cannot go on, and waiting for those that hang would be for ever.
[[noreturn]] void abort_job(int status) {
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, status);
  ::_exit(status);
}

/// Throws UsageError, at rank 0, if ranks run other programs, or were asked for something else.
void check_alike(Communicator const& world, std::vector<std::string> const& hosts, Arguments const& arguments,
                 Patience const& patience) {
  std::string told;
  for (std::string const& argument : arguments) told += argument + '\0';
  auto const programs =
      world.gather_texts(sha256_of_file("/proc/self/exe"), 0, patience, "comparing programs");
  auto const orders = world.gather_texts(sha256(told), 0, patience, "comparing arguments");
  all_or_none(world, hosts, patience, [&] {
    for (std::size_t r = 1; r < programs.size(); ++r) {
      std::string const who = describe_rank(static_cast<int>(r), hosts[r]);
      if (programs[r] != programs[0])
        throw UsageError("the program of " + who + " is another build than this one (SHA-256 " +
                         programs[r].substr(0, 12) + ", not " + programs[0].substr(0, 12) +
                         "): install the same on every host");
      if (orders[r] != orders[0])
        throw UsageError("the arguments of " + who + " differ from these: give every rank the same");
    }
  });
}

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
  auto const world = Communicator::world();
  bool const leads = world.rank() == 0;
  StopSignals stop;
  auto const joining = Patience::for_at_most(kJoinWithin, &stop);
  try {
    // All ranks read the same arguments: what is wrong with them, rank 0 says.
    RunOptions options;
    Job job;
    Plan plan;
    try {
      options = parse_mpi_run_options(arguments, models, world.size());
      job = join_job(world, watch, joining);
      check_alike(world, job.hosts, arguments, joining);
      settle(options, job);
      plan = plan_of(options, job);
      if (options.benchmark.list_tests) {
        if (leads) list_cells(plan);
        return 0;
      }
      all_or_none(world, job.hosts, joining, [&] {
        if (leads) check_run_files(options);
        check_limits(plan, options);
      });
    } catch (HelpRequested const& help) {
      if (leads) write_output(help.text);
      return 0;
    }
    Rank rank(options, plan, job, world, stop, &watch);
    if (!leads) {
      follow(rank, plan, world, stop);
      return 0;
    }
    MpiTeam team(rank, job, plan, world, stop);
    CampaignResult const result = run_campaign(options, plan, team);
    write_output(run_report(result, options.benchmark));
    int const status = run_status(result);
    if (team.lost()) abort_job(status);
    return status;
  } catch (RankFailed const& failed) {
    if (leads) complain(failed.what());
    return failed.usage ? 2 : kFailed;
  } catch (UsageError const& wrong) {
    if (leads) complain(wrong.what());
    return 2;
  } catch (PeersLate const& late) {
    if (leads) complain(std::string("ranks do not come together: ") + late.what());
    abort_job(kFailed);
  } catch (Interrupted const&) {
    // Rank 0 was interrupted too, and writes what was finished.
    if (!leads) ::nanosleep(&kTimeToWrite, nullptr);
    abort_job(kInterrupted);
  }
}

}  // namespace tally
