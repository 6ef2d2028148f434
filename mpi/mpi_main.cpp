#include <mpi.h>

#include <csignal>
#include <new>
#include <string>
#include <string_view>

#include "bench/benchmark_flags.hpp"
#include "bench/commands.hpp"
#include "bench/tally_main.hpp"
#include "bench/version.hpp"
#include "mpi/agreement.hpp"
#include "mpi/merge_command.hpp"
#include "mpi/mpi_run_command.hpp"
#include "mpi/supervisor.hpp"

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
void give_up(tally::RankWatch const& watch, std::string const& why) {
  int const rank = watch.rank.load();
  tally::complain((rank > 0 ? tally::describe_rank(rank - 1, watch.host) + ": " : "") + why);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

int run_rank(int argc, char** argv, tally::RankWatch& watch) {
  // Models make threads of their own, none of which calls MPI.
  int provided = 0;
  if (MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) {
    tally::complain("MPI cannot be initialized");
    return 1;
  }
  int status = 1;
  try {
    tally::Arguments const arguments(argv + 2, argv + argc);
    status = std::string_view(argv[1]) == "merge"
                 ? tally::merge_command(arguments, watch)
                 : tally::mpi_run_command(arguments, tally::all_models(), watch);
  } catch (std::bad_alloc const&) {
    give_up(watch, "out of memory");
  } catch (std::exception const& error) {
    give_up(watch, error.what());
  }
  MPI_Finalize();
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  std::string_view const command = argc > 1 ? argv[1] : "--help";
  try {
    if (command == "--help" || command == "-h" || command == "help") {
      tally::write_output(kHelp);
      return 0;
    }
    if (command == "--version") {
      tally::write_output("tally-mpi " + std::string(tally::kVersion) + "\n");
      return 0;
    }
    if (command != "run" && command != "merge") {
      tally::complain("no command '" + std::string(command) + "'; write run or merge ('tally-mpi --help')");
      return 2;
    }
    tally::ignore_benchmark_environment();
    return tally::supervise([&](tally::RankWatch& watch) { return run_rank(argc, argv, watch); });
  } catch (std::exception const& error) {
    tally::complain(error.what());
    return 1;
  }
}
