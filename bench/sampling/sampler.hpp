// Who takes the samples of a campaign.
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

/// Takes samples, each verified against a reference. An implementation says where: in this process's
/// children (LocalSampler), in those of two builds (TwoBuilds), or in the ranks of an MPI job (MpiTeam).
class Sampler {
 public:
  virtual ~Sampler() = default;

  /// What this process measures by itself, whoever takes the samples: pilots, rates that are searched for,
  /// and the reference work.
  virtual LocalSampler& local() noexcept = 0;
  /// The cells that are measured where those of `own` are asked for. Throws UsageError.
  virtual Plan complete(Plan own) { return own; }
  /// Events of a sample of `cell`, for which pilots in this process found `events`.
  virtual std::uint64_t events_of([[maybe_unused]] Cell const& cell, std::uint64_t events) const {
    return events;
  }
  /// Makes the streams of `cells`, which have their numbers of events, and the references. Returns what is
  /// known of each. Throws SamplerLost, Interrupted, and what an implementation has for a part that cannot.
  virtual std::vector<PreparedCell> prepare(std::vector<Cell> const& cells) = 0;
  /// Bytes of the file whose events are counted; 0 if there is none.
  virtual std::uint64_t input_bytes() const = 0;
  /// One sample of a prepared cell. What a model does wrong is the sample's failure. Throws SamplerLost,
  /// Interrupted.
  virtual CellSample sample(Cell const& cell) = 0;

  /// Samples shared CPUs, so that no figure is a claim.
  virtual bool shares_cpus() const noexcept { return false; }
  /// Keys for the result file's context, beside the manifest.
  virtual Json describe() const { return Json::object(); }
  /// What a reader of the figures must know, a sentence each.
  virtual std::vector<std::string> notes() const = 0;
};

}  // namespace tally
