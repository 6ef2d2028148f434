// The interface through which a campaign takes its samples.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/analysis/drawn_waits.hpp"
#include "bench/base/json.hpp"
#include "bench/plan/cell.hpp"
#include "bench/plan/plan.hpp"
#include "bench/sampling/cell_sample.hpp"

namespace tally {

class LocalSampler;

/// No sample can be taken any more. what() is one line that names what was lost.
struct SamplerLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What is known of a cell once its stream is made.
struct PreparedCell {
  std::uint64_t events = 0;  ///< of the stream; of all processes that count it together
  /// The mean wait that bounds the cell, in seconds: of the waits that the embedded service draws for these
  /// events. 0 where no event waits, or it is not known how long.
  double wait_s = 0;
  /// Of the lookups of one sample, where the embedded service draws how long they wait.
  std::optional<DrawnWaits> drawn_waits{};
};

/// Takes samples, each verified against a reference. LocalSampler takes them in child processes, TwoBuilds in
/// child processes of two builds, MpiTeam in the ranks of an MPI job.
class Sampler {
 public:
  virtual ~Sampler() = default;

  /// Takes what every campaign measures in this process: pilots, the probes of --slo, the reference work.
  virtual LocalSampler& local() noexcept = 0;
  /// `own` with the cells that this sampler adds to it. Throws UsageError.
  virtual Plan complete(Plan own) { return own; }
  /// Events of a sample of `cell`, if pilots in this process found that `events` are enough for one process.
  virtual std::uint64_t events_of([[maybe_unused]] Cell const& cell, std::uint64_t events) const {
    return events;
  }
  /// Makes the streams of `cells`, whose numbers of events are set, and the references; one PreparedCell for
  /// each, in their order. Throws SamplerLost, Interrupted, and what an implementation documents.
  virtual std::vector<PreparedCell> prepare(std::vector<Cell> const& cells) = 0;
  /// Bytes of the file whose events are counted; 0 if there is none.
  virtual std::uint64_t input_bytes() const = 0;
  /// One sample of a prepared cell. What a model does wrong is the sample's failure. Throws SamplerLost,
  /// Interrupted.
  virtual CellSample sample(Cell const& cell) = 0;

  /// Whether processes that count together share CPUs: then no figure may be cited.
  virtual bool shares_cpus() const noexcept { return false; }
  /// Further keys for the context of the result file.
  virtual Json describe() const { return Json::object(); }
  /// Sentences that a reader of the results must know.
  virtual std::vector<std::string> notes() const = 0;
};

}  // namespace tally
