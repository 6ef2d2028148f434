// Merging what ranks counted into one result.
#pragma once

#include <cstdint>
#include <vector>

#include "mpi/communicator.hpp"
#include "workloads/counting/counts.hpp"

namespace tally {

/// What merging over ranks leaves beside the counts.
struct MergeFigures {
  std::uint64_t sent_bytes = 0;  ///< by this rank
  /// Every window's totals, at rank 0 alone; of text keys, which no rank has all of.
  std::vector<Counts::WindowTotal> windows;
  /// Of dense counts, windows that ranks counted in beyond those that there are; at rank 0 alone. They are
  /// not merged.
  std::uint64_t windows_beyond = 0;
};

/// Merges every rank's counts. Dense ones, which have `windows` windows at most, are summed to rank 0, window
/// by window; the other ranks have none left. (To ask all ranks how many windows they met would take a tree
/// of messages up and one down, before any could be summed.) Text keys are shuffled: each key goes to the
/// rank that owner_of() names, which then has its counts in every window, and no rank has all, so that
/// distinct keys of a window are a sum over ranks. Events, checksums and the like are summed to rank 0, and
/// are 0 elsewhere; the first malformed lines of all are rank 0's.
///
/// Keys that came are views into memory that the counts keep. Collective; all ranks' counts must be of the
/// same kind and number of keys. Throws as Communicator does, and std::bad_alloc.
MergeFigures merge_over_ranks(Counts& counts, std::uint64_t windows, Communicator const& ranks,
                              Patience const& patience);

/// The rank that has the key of this TextHash after merging. Mixed once more: were it a few bits of the hash
/// itself, each rank's keys would crowd in a few places of its map.
int owner_of(std::uint64_t hash, int ranks) noexcept;

}  // namespace tally
