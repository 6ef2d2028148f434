// A cell: one model x stream x parameters.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/plan/parameters.hpp"
#include "models/model.hpp"

namespace tally {

/// Whether the model runs such a stream.
bool runs(Model const& model, StreamKind stream) noexcept;

/// One model x stream x parameters.
struct Cell : Parameters {
  Model const* model = nullptr;
  std::uint64_t events = 0;  ///< of all ranks together; 0: not yet known (auto)

  /// `cpu/thread_pool/workers:2/grain_ns:1000/batch:256` or
  /// `lookup/fibers/workers:2/wait_us:1000/in_flight:100[/grain_ns:…]`; a wait that is not whole microseconds
  /// is spelled `wait_ns`.
  /// `ingest/event_loop/workers:1/connections:100/rate:max[/wait_us:1000][/grain_ns:…]`, or a rate in events
  /// a second; the wait is that of its lookups. A cell that waits on io_uring has `/io_uring:1` behind all
  /// that, and then one that ranks count `/ranks:2/hosts:1`; one of the other build ends in `/against:1`.
  std::string name() const;
};

/// Cells of one group are compared with each other: the same stream and parameters, as asked for on the
/// command line (sequential belongs to every group whose other parameters it shares).
struct Group : Parameters {
  bool slo = false;                ///< each cell has a rate of its own, found with --slo
  std::vector<std::size_t> cells;  ///< indices into the plan's cells, in the order of the registry

  /// The cell's name without the model: `cpu/workers:2/grain_ns:1000/batch:256`.
  std::string name() const;
};

/// The model's cell in a group, whose number of events is not known yet. Sequential has one worker and one
/// event in flight, and models that wait in one way alone wait in that.
Cell cell_in(Parameters const& group, Model const& model);

/// Whether what `limit` reaches in the group bounds a cell of it: sequential has one worker and one event in
/// flight, and waits in one way, whatever its group has.
bool bounded_by_limit(Group const& group, Cell const& cell) noexcept;

}  // namespace tally
