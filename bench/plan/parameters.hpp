// The parameters of a cell.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "models/io.hpp"

namespace tally {

enum class StreamKind { cpu, lookup, ingest };

/// `cpu`, `lookup` or `ingest`, as on the command line.
std::string_view name_of(StreamKind stream);

inline constexpr std::array kAllStreams{StreamKind::cpu, StreamKind::lookup, StreamKind::ingest};

/// kAutoBatch, as it is written.
inline constexpr std::string_view kAutoBatchWord = "auto";
/// `256`, or `auto`.
std::string spell_batch(std::uint64_t batch);

/// What cells of a group have in common. What does not apply to the stream keeps its default.
struct Parameters {
  StreamKind stream = StreamKind::cpu;
  int workers = 1;  ///< what a model is given; 1 for sequential
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
  bool against = false;   ///< of the other build, that of --against
};

/// Whether events with these parameters wait for the lookup service.
inline bool looks_up(Parameters const& p) noexcept {
  return p.stream == StreamKind::lookup || (p.stream == StreamKind::ingest && p.lookup);
}

/// How many processes count together: the ranks, or one.
inline int ranks_of(Parameters const& p) noexcept { return p.ranks > 0 ? p.ranks : 1; }

}  // namespace tally
