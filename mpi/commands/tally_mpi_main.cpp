#include "mpi/commands/tally_mpi_main.hpp"

#include <mpi.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include "bench/base/console.hpp"
#include "bench/base/version.hpp"
#include "bench/cli/benchmark_flags.hpp"
#include "bench/commands/commands.hpp"
#include "mpi/agreement.hpp"
#include "mpi/commands/merge_command.hpp"
#include "mpi/commands/mpi_run_command.hpp"
#include "mpi/rank_deadline.hpp"
#include "mpi/supervisor.hpp"

namespace tally {
namespace {

constexpr std::string_view kHelp =
    R"(tally-mpi: tally run, in every rank of an MPI job, and what merging over ranks costs

  mpirun -n R tally-mpi run [options]   measure; the options, table and results of tally run
  tally-mpi run [options]               the same with one rank
  mpirun -n R tally-mpi merge [options] what merging alone takes, over ranks and in one process

  tally-mpi COMMAND --help
  tally-mpi --version

Exit status: 0 all measured and verified, 1 a cell failed or a rank was lost, 2 wrong command line, 130 interrupted.
)";

/// The other ranks may wait for this one: it says who it is, and ends them all.
void give_up(RankWatch const& watch, std::string const& why) {
  int const rank = watch.rank.load();
  complain((rank > 0 ? describe_rank(rank - 1, watch.host) + ": " : "") + why);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

/// Within which all ranks must start, and end, MPI, which waits without end for those that do not: then rank
/// 0's watcher ends the job.
constexpr std::chrono::minutes kAllWithin{2};

int run_rank(int argc, char** argv, std::span<Model const> models, RankWatch& watch) {
  // Models make threads of their own, none of which calls MPI.
  int provided = 0;
  std::string const by_launcher = rank_by_launcher();
  RankWatch* const leader = by_launcher.empty() || by_launcher == "0" ? &watch : nullptr;
  auto starting =
      std::make_unique<RankDeadline>(leader, "waiting for all ranks to initialize MPI", kAllWithin);
  if (MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) {
    complain("MPI cannot be initialized");
    return 1;
  }
  starting.reset();
  int status = 1;
  try {
    Arguments const arguments(argv + 2, argv + argc);
    status = std::string_view(argv[1]) == "merge" ? merge_command(arguments, watch)
                                                  : mpi_run_command(arguments, models, watch);
  } catch (std::bad_alloc const&) {
    give_up(watch, "out of memory");
  } catch (std::exception const& error) {
    give_up(watch, error.what());
  }
  RankDeadline const ending(leader, "waiting for all ranks to finalize MPI", kAllWithin);
  MPI_Finalize();
  return status;
}

}  // namespace

int tally_mpi_main(int argc, char** argv, std::span<Model const> models) {
  std::signal(SIGPIPE, SIG_IGN);
  std::string_view const command = argc > 1 ? argv[1] : "--help";
  try {
    if (command == "--help" || command == "-h" || command == "help") {
      write_output(kHelp);
      return 0;
    }
    if (command == "--version") {
      write_output("tally-mpi " + std::string(kVersion) + "\n");
      return 0;
    }
    if (command != "run" && command != "merge") {
      complain("no command '" + std::string(command) + "'; write run or merge ('tally-mpi --help')");
      return 2;
    }
    ignore_benchmark_environment();
    return supervise([&](RankWatch& watch) { return run_rank(argc, argv, models, watch); });
  } catch (std::exception const& error) {
    complain(error.what());
    return 1;
  }
}

}  // namespace tally
