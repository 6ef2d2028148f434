// A build of Tally in a process of its own, which takes samples for this one's campaign.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/base/json.hpp"
#include "bench/process/stop_signals.hpp"
#include "bench/sampling/cell_sample.hpp"
#include "bench/sampling/sampler_protocol.hpp"

namespace tally {

/// A sampler ended, or said what cannot be understood. what() is one line that names its program.
struct SamplerFailed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// `PROGRAM sampler ARGUMENTS`, talked to as bench/sampling/sampler_protocol.hpp says. Started by the
/// constructor, gone after destruction, and gone with this process however it ends. Between samples it
/// sleeps.
class SamplerProcess {
 public:
  /// `arguments` are those of `tally run`, without --against; no sample may take longer than
  /// `sample_timeout`, which the sampler sees to itself. Waits until the sampler is ready. Throws
  /// SamplerFailed, also where the program is no Tally or too old a one, Interrupted, std::system_error. Call
  /// single-threaded.
  SamplerProcess(std::filesystem::path program, std::vector<std::string> arguments,
                 std::chrono::nanoseconds sample_timeout, StopSignals const& stop);
  ~SamplerProcess();
  SamplerProcess(SamplerProcess const&) = delete;
  SamplerProcess& operator=(SamplerProcess const&) = delete;

  /// Names of the cells that it can measure.
  std::vector<std::string> const& cells() const noexcept { return cells_; }
  /// As the context of a result file of its own would have it.
  Json const& manifest() const noexcept { return manifest_; }

  /// Makes the streams of the cells named, with these numbers of events, and returns the digest of each one's
  /// reference. Throws as the constructor does.
  std::map<std::string, std::string> prepare(double links_per_ns,
                                             std::map<std::string, std::uint64_t> const& events);
  /// One sample of a prepared cell. A sampler that ends over it, or does not answer, is the sample's failure;
  /// it is started again, once. Throws Interrupted.
  CellSample sample(std::string const& cell);
  /// What its reader must know, as the sampler said it.
  std::vector<std::string> const& notes() const noexcept { return notes_; }

 private:
  void start();
  void greet();
  int end() noexcept;
  void tell(Json const& line);
  Json answer(char const* key, std::chrono::nanoseconds within);
  std::string last_words();
  [[noreturn]] void fail(std::string const& what) const;
  void restart_after(std::string const& failure);

  std::filesystem::path program_;
  std::vector<std::string> arguments_;
  std::chrono::nanoseconds sample_timeout_;
  StopSignals const& stop_;
  Json prepared_for_;  ///< the line that prepare() said, for a restart
  bool restarted_ = false;
  std::string lost_;  ///< why there is no sampler any more
  std::vector<std::string> notes_;
  pid_t pid_ = -1;
  int requests_ = -1;  ///< the sampler's standard input
  int answers_ = -1;   ///< its standard output
  int errors_ = -1;    ///< a file that is its standard error
  LineBuffer buffer_;
  std::vector<std::string> cells_;
  Json manifest_;
};

}  // namespace tally
