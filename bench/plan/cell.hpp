// A cell: one model x stream x parameters.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/model.hpp"

namespace tally {

enum class StreamKind { cpu, lookup, ingest };

/// `cpu`, `lookup` or `ingest`, as on the command line.
std::string_view name_of(StreamKind stream);

inline constexpr std::array kAllStreams{StreamKind::cpu, StreamKind::lookup, StreamKind::ingest};

/// kAutoBatch, as it is written.
inline constexpr std::string_view kAutoBatchWord = "auto";
/// `256`, or `auto`.
std::string spell_batch(std::uint64_t batch);

/// Whether the model runs such a stream.
bool runs(Model const& model, StreamKind stream) noexcept;

/// Whether events of the cell, or group, wait for the lookup service.
template <class Parameters>
bool looks_up(Parameters const& p) noexcept {
  return p.stream == StreamKind::lookup || (p.stream == StreamKind::ingest && p.lookup);
}

/// One model x stream x parameters. What does not apply to the stream keeps its default and is not in the
/// name.
struct Cell {
  Model const* model = nullptr;
  StreamKind stream = StreamKind::cpu;
  int workers = 1;  ///< what the model is given; 1 for sequential
  std::chrono::nanoseconds grain{0};
  std::uint64_t batch = 1;           ///< cpu: events of one task; kAutoBatch: as the model likes
  std::chrono::nanoseconds wait{0};  ///< lookup; ingest with `lookup`
  int in_flight = 1;                 ///< lookup; 1 for sequential
  int connections = 1;               ///< ingest
  Io io = Io::epoll;                 ///< lookup and ingest, of models that wait as they are told
  bool lookup = false;               ///< ingest: each event waits for the lookup service
  double rate_per_s = 0;  ///< ingest: events a second, of all connections together; 0: as many as are taken
  int ranks = 0;          ///< of an MPI job, that count together; 0: this process alone
  int hosts = 0;          ///< on which these are
  std::uint64_t events = 0;  ///< of all ranks together; 0: not yet known (auto)
  bool against = false;      ///< of the other build, that of --against

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
struct Group {
  StreamKind stream = StreamKind::cpu;
  int workers = 1;
  std::chrono::nanoseconds grain{0};
  std::uint64_t batch = 1;
  std::chrono::nanoseconds wait{0};
  int in_flight = 1;
  int connections = 1;
  Io io = Io::epoll;
  bool lookup = false;
  double rate_per_s = 0;
  int ranks = 0;
  int hosts = 0;
  bool slo = false;                ///< each cell has a rate of its own, found with --slo
  bool against = false;            ///< its cells are those of the other build
  std::vector<std::size_t> cells;  ///< indices into the plan's cells, in the order of the registry

  /// The cell's name without the model: `cpu/workers:2/grain_ns:1000/batch:256`.
  std::string name() const;
};

/// How many processes count a cell, or those of a group: its ranks, or one.
template <class Parameters>
int ranks_of(Parameters const& p) noexcept {
  return p.ranks > 0 ? p.ranks : 1;
}

/// Whether what `limit` reaches in the group bounds a cell of it: sequential has one worker and one event in
/// flight, and waits in one way, whatever its group has.
bool bounded_by_limit(Group const& group, Cell const& cell) noexcept;

}  // namespace tally
