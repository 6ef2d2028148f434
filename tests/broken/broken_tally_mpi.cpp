// `tally-mpi` with models that go wrong, of which some do so in the last rank alone: what
// tests/program/test_mpi.py expects to be told of.
#include <mpi.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "mpi/commands/tally_mpi_main.hpp"
#include "tests/broken/broken_models.hpp"

namespace {

using namespace tally;

/// As MPI's launcher has it.
bool in_rank_1() {
  char const* const rank = std::getenv("OMPI_COMM_WORLD_RANK");
  return rank != nullptr && std::string_view(rank) == "1";
}

template <auto kBroken>
Counts only_in_rank_1(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  return in_rank_1() ? kBroken(stream, setup, watch) : broken::right(stream, setup, watch);
}

bool stuck_in_merging = false;

Counts counts_but_never_merges(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  stuck_in_merging = in_rank_1();
  return broken::right(stream, setup, watch);
}

}  // namespace

/// In place of MPI's, by its profiling interface (MPI 3.1, section 14.2): what merging of integer keys calls.
extern "C" int MPI_Ireduce(void const* mine, void* sums, int count, MPI_Datatype type, MPI_Op op, int root,
                           MPI_Comm comm, MPI_Request* request) {
  while (stuck_in_merging) pause();
  // As many events as there were, but one of them another key's: only who looks at every key can tell.
  static std::vector<std::uint64_t> misfiled;  // it is sent when this is over
  if (in_rank_1() && std::getenv("TALLY_MISFILED_MERGE") != nullptr) {
    auto const* const counts = static_cast<std::uint64_t const*>(mine);
    misfiled.assign(counts, counts + count);
    --misfiled[0];
    ++misfiled[1];
    mine = misfiled.data();
  }
  return PMPI_Ireduce(mine, sums, count, type, op, root, comm, request);
}

int main(int argc, char** argv) {
  static constexpr std::array<Model, 11> kModels{{
      {.name = "right", .summary = "counts right", .cpu = broken::right},
      {.name = "lost", .summary = "loses an event", .cpu = broken::loses_an_event},
      {.name = "doubled", .summary = "counts an event twice", .cpu = broken::doubles_an_event},
      {.name = "misfiled",
       .summary = "counts an event for another key, in one rank",
       .cpu = only_in_rank_1<broken::misfiles_by_key>},
      {.name = "late",
       .summary = "counts an event in a window that is not",
       .cpu = only_in_rank_1<broken::misfiles_by_window>},
      {.name = "stale",
       .summary = "an event comes after the result, in one rank",
       .cpu = only_in_rank_1<broken::counts_an_event_too_late>},
      {.name = "throws", .summary = "throws in one rank", .cpu = only_in_rank_1<broken::throws>},
      {.name = "unstarted",
       .summary = "never starts its watch, in one rank",
       .cpu = only_in_rank_1<broken::never_starts_its_watch>},
      {.name = "segfaults", .summary = "dies in one rank", .cpu = only_in_rank_1<broken::segfaults>},
      {.name = "unmerged",
       .summary = "counts, and hangs in merging, in one rank",
       .cpu = counts_but_never_merges},
      {.name = "hangs", .summary = "hangs in one rank", .cpu = only_in_rank_1<broken::hangs>},
  }};
  return tally_mpi_main(argc, argv, kModels);
}
