// A rank's own part of a campaign's streams.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/plan/cell.hpp"
#include "bench/plan/run_options.hpp"
#include "mpi/communicator.hpp"
#include "workloads/base/memory.hpp"
#include "workloads/events/synthetic.hpp"
#include "workloads/stream.hpp"
#include "workloads/text/records.hpp"

namespace tally {

/// The events that one rank counts: those from number N * rank / ranks on, of N; of a file, the records that
/// begin in its share of the bytes. What backs the stream lies in here.
struct RankPart {
  std::unique_ptr<CpuStream> cpu;
  std::unique_ptr<LookupStream> lookup;
  Grain grain;
  std::uint64_t input_bytes = 0;  ///< of the whole file

  std::unique_ptr<SyntheticEvents> events;
  SharedPages text;
  std::string text_sha256;  ///< of this rank's bytes

  Counts empty_tally() const { return cpu ? cpu->empty_tally() : lookup->empty_tally(); }
  /// What this part must count, found by one loop over it.
  Counts reference() const;
};

/// Makes parts of streams.
class RankStreams {
 public:
  /// `hosts`, by rank; all of them at rank 0 alone.
  RankStreams(RunOptions const& options, LookupTarget service, std::vector<std::string> hosts)
      : options_(options), service_(std::move(service)), hosts_(std::move(hosts)) {}

  /// Part of the whole stream, or of the first `1 / one_in` of it. `events`: of the whole stream; of a file,
  /// as many as there are. Of a file on several hosts, every rank's bytes are compared, by size and hash,
  /// with those that rank 0 has in their place. Collective over `ranks`. Throws RankFailed where any rank
  /// cannot: a file that it cannot read, that differs, that is compressed and so cannot be cut, or memory.
  RankPart make(Cell const& cell, std::uint64_t events, double links_per_ns, Communicator const& ranks,
                Patience const& patience, std::uint64_t one_in = 1) const;

  /// The counts of the same, found by one loop over all of it, in memory that does not grow with it but for
  /// the counts; of a file, without the checksums of work and of positions. Throws InputFailed.
  Counts sequential(Cell const& cell, std::uint64_t events, double links_per_ns, int ranks,
                    std::uint64_t one_in = 1) const;

 private:
  void read_part(RankPart& part, Cell const& cell, double links_per_ns, Communicator const& ranks,
                 Patience const& patience, std::uint64_t one_in) const;
  TextSpec text_spec() const;

  RunOptions const& options_;
  LookupTarget service_;
  std::vector<std::string> hosts_;
};

/// The share of `all` of rank `rank` of `ranks` begins there; that of the next is its end.
std::uint64_t share_begin(std::uint64_t all, int rank, int ranks) noexcept;

}  // namespace tally
