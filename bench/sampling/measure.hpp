// One sample: a model's run, timed and verified in a process of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/analysis/sample.hpp"
#include "bench/process/child_watch.hpp"
#include "models/model.hpp"
#include "workloads/stream.hpp"

namespace tally {

struct Measured {
  Sample sample;
  Ending ending = Ending::finished;
};

/// Runs `model` over `stream` in a process of its own, and compares its counts with `expected`, which is the
/// sequential reference, after the watch has stopped and the accounts are closed.
///
/// The process, forked from this one, is its own process group, dies with its parent, and may use exactly
/// `setup.cpus` (all of this process's, if empty). CPU time and context switches are getrusage(2)'s of the
/// process and its reaped children over the model's call; peak memory is the process's high-water mark
/// (VmHWM, which begins at what it shares with its parent) plus what the model reports of its children's own.
///
/// Every way to go wrong is named in Sample::failure: a wrong count, an exception, a signal, an exit without
/// a result, a watch never started, no worker reported, the time-out. On `cpu` and `ingest` the workers
/// reported must be those that `setup` asks for, and on `cpu` the tasks, and the objects that were scheduled
/// for them, as many as the stream has batches, unless --batch is auto. On return no process of the sample is
/// left, nor a zombie. Call single-threaded. Throws std::system_error when no process can be made,
/// std::logic_error if the model cannot run such a stream.
Measured measure(Model const& model, CpuStream const& stream, Setup const& setup, Counts const& expected,
                 SampleWatch const& watch);
Measured measure(Model const& model, LookupStream const& stream, Setup const& setup, Counts const& expected,
                 SampleWatch const& watch);
Measured measure(Model const& model, IngestStream const& stream, Setup const& setup, Counts const& expected,
                 SampleWatch const& watch);

/// What a run must have done beside counting right.
struct Required {
  int workers = 0;  ///< that stood ready; 0: as many as the model finds right
  /// Tasks that were run, and, of a model that schedules, objects that were made for them; none: any number.
  std::optional<std::uint64_t> tasks{};
  bool schedules = false;  ///< the model makes an object for each task
};

/// What the model must do on the stream. Reads the stream through where its tasks are to be counted.
Required required_of(Model const& model, CpuStream const& stream, Setup const& setup);
Required required_of(Model const& model, LookupStream const& stream, Setup const& setup);
Required required_of(Model const& model, IngestStream const& stream, Setup const& setup);

/// What is wrong with a run that returned `counts`, which differ from those expected in `difference` (empty
/// if in nothing); empty if nothing is.
std::string verdict(std::string const& difference, Counts const& counts, Stopwatch const& watch,
                    Required const& required);

/// What a failed run is said to have thrown. In a handler alone.
std::string describe_current_exception();

}  // namespace tally
