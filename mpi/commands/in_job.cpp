#include "mpi/commands/in_job.hpp"

#include <mpi.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "bench/base/console.hpp"
#include "bench/base/exit_status.hpp"
#include "bench/base/sha256.hpp"
#include "bench/base/usage_error.hpp"
#include "bench/commands/commands.hpp"
#include "mpi/agreement.hpp"

namespace tally {
namespace {

constexpr std::chrono::minutes kJoinWithin{2};
constexpr timespec kTimeToWrite{3, 0};

/// Ends all ranks: they cannot go on, and waiting for those that hang would be for ever. Rank 0 is given the
/// time to say why, and to write what was finished.
[[noreturn]] void abort_job(int status, bool leads) {
  if (!leads) ::nanosleep(&kTimeToWrite, nullptr);
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, status);
  ::_exit(status);
}

/// Throws RankFailed if ranks run other programs, or were asked for something else.
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

}  // namespace

int in_job(Arguments const& arguments, RankWatch& watch, std::function<int(InJob const&)> const& act) {
  StopSignals stop;
  auto const joining = Patience::for_at_most(kJoinWithin, &stop);
  int leads = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &leads);
  leads = leads == 0;
  Job job;
  try {
    auto const world = Communicator::world(joining);
    job = join_job(world, watch, joining);
    check_alike(world, job.hosts, arguments, joining);
    return act({world, job, stop, leads != 0, joining});
  } catch (HelpRequested const& help) {
    // All ranks have the same arguments, and so all come here.
    if (leads) write_output(help.text);
    return 0;
  } catch (RankFailed const& failed) {
    if (leads) complain(failed.what());
    return failed.usage ? 2 : kFailedStatus;
  } catch (UsageError const& wrong) {
    if (leads) complain(wrong.what());
    return 2;
  } catch (PeersLate const& late) {
    if (leads) complain(describe_late(late, job.hosts));
    abort_job(kFailedStatus, leads);
  } catch (Interrupted const&) {
    abort_job(kInterruptedStatus, leads);
  } catch (JobEnds const& ends) {
    abort_job(ends.status, leads);
  }
}

}  // namespace tally
