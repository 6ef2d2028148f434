#include "bench/sampling/measure.hpp"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <system_error>

#include "bench/analysis/sample.hpp"
#include "bench/base/units.hpp"
#include "bench/process/child_watch.hpp"
#include "bench/process/forked_process.hpp"
#include "bench/process/process_account.hpp"
#include "models/external/external.hpp"

namespace tally {
namespace {

using Clock = Stopwatch::Clock;

/// What the sample's process sends: this, then `text_bytes` of failure.
struct SampleReport {
  std::int64_t elapsed_ns, startup_ns, teardown_ns;
  double user_s, sys_s;
  std::uint64_t peak_rss_bytes, ctx_voluntary, ctx_involuntary;
  std::uint64_t events, tasks, replies, malformed;
  std::int64_t workers_ran;
};
static_assert(std::is_trivially_copyable_v<SampleReport>);

std::string encode(Sample const& s) {
  SampleReport const report{s.elapsed.count(), s.startup.count(), s.teardown.count(), s.user_s, s.sys_s,
                            s.peak_rss_bytes,  s.ctx_voluntary,   s.ctx_involuntary,  s.events, s.tasks,
                            s.replies,         s.malformed,       s.workers_ran};
  std::string bytes(sizeof report, '\0');
  std::memcpy(bytes.data(), &report, sizeof report);
  return bytes + s.failure;
}

Sample decode(std::string_view bytes) {
  if (bytes.size() < sizeof(SampleReport)) throw std::runtime_error("a sample's report is cut off");
  SampleReport report;
  std::memcpy(&report, bytes.data(), sizeof report);
  Sample s;
  s.failure = bytes.substr(sizeof report);
  if (!s.failure.empty()) return s;
  s.elapsed = std::chrono::nanoseconds(report.elapsed_ns);
  s.startup = std::chrono::nanoseconds(report.startup_ns);
  s.teardown = std::chrono::nanoseconds(report.teardown_ns);
  s.user_s = report.user_s;
  s.sys_s = report.sys_s;
  s.peak_rss_bytes = report.peak_rss_bytes;
  s.ctx_voluntary = report.ctx_voluntary;
  s.ctx_involuntary = report.ctx_involuntary;
  s.events = report.events;
  s.tasks = report.tasks;
  s.replies = report.replies;
  s.malformed = report.malformed;
  s.workers_ran = static_cast<int>(report.workers_ran);
  return s;
}

using RunModel = std::function<Counts(Stopwatch&)>;

/// The whole life of the sample's process, but for its way out. `required` is called when all is measured.
Sample run_here(RunModel const& run, Setup const& setup, Counts const& expected,
                std::function<Required()> const& required) {
  Sample s;
  try {
    pin_process(setup.cpus);
    // Of a program that is the model, this process is the harness.
    bool const of_children = setup.external != nullptr;
    ProcessAccount const before = ProcessAccount::now(of_children);
    Stopwatch watch;
    Counts const got = run(watch);
    auto const returned = Clock::now();
    ProcessAccount used = ProcessAccount::now(of_children);
    used -= before;
    s.peak_rss_bytes = watch.memory_bytes().value_or(peak_rss_bytes() + watch.child_memory_bytes());
    s.failure = verdict(expected.difference(got), got, watch, required());
    s.elapsed = watch.elapsed();
    s.startup = watch.startup();
    s.teardown = returned - watch.stopped();
    s.user_s = used.user_s;
    s.sys_s = used.sys_s;
    s.ctx_voluntary = used.voluntary;
    s.ctx_involuntary = used.involuntary;
    s.workers_ran = watch.workers();
    s.events = got.events;
    s.tasks = got.tasks;
    s.replies = got.replies;
    s.malformed = got.malformed;
  } catch (...) {
    s.failure = describe_current_exception();
  }
  return s;
}

/// Why a sample failed whose helper has ended: because of that, unless it had ended by itself just before.
std::string failure_beside(ChildWatch::Outcome const& outcome) {
  bool const killed_by_us = WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGKILL;
  if (outcome.report) {
    if (Sample const sample = decode(*outcome.report); !sample.failure.empty()) return sample.failure;
  } else if (!killed_by_us) {
    return describe_wait_status(outcome.status) + " without a result";
  }
  return "the process it depends on ended first";
}

Measured measure_run(RunModel const& run, Setup const& setup, Counts const& expected,
                     std::function<Required()> const& required, SampleWatch const& watch) {
  Measured measured;
  if (watch.stop.requested()) {
    measured.ending = Ending::interrupted;
    return measured;
  }
  ChildWatch child([&] { return encode(run_here(run, setup, expected, required)); });
  ChildWatch::Outcome const outcome = child.wait(watch);
  measured.ending = outcome.ending;
  if (outcome.ending == Ending::timed_out)
    measured.sample.failure = "no result within " +
                              format_seconds(std::chrono::duration<double>(watch.timeout).count()) +
                              ": killed";
  else if (outcome.ending == Ending::other_process)
    measured.sample.failure = failure_beside(outcome);
  else if (outcome.ending == Ending::finished && outcome.report)
    measured.sample = decode(*outcome.report);
  else if (outcome.ending == Ending::finished)
    measured.sample.failure = describe_wait_status(outcome.status) + " without a result";
  return measured;
}

}  // namespace

std::string verdict(std::string const& difference, Counts const& counts, Stopwatch const& watch,
                    Required const& required) {
  // The count first: it says most about what is wrong with the model.
  if (!difference.empty()) return "wrong count: " + difference;
  if (!watch.ran()) return "never started its watch, or never stopped it: nothing was timed";
  if (watch.workers() < 1) return "reported no worker that stood ready";
  if (required.workers > 0 && watch.workers() != required.workers)
    return "ran " + std::to_string(watch.workers()) + " workers where " + std::to_string(required.workers) +
           " were asked for";
  if (!required.tasks) return "";
  if (counts.tasks != *required.tasks)
    return "ran " + std::to_string(counts.tasks) + " tasks where the stream has " +
           std::to_string(*required.tasks) + " batches";
  if (required.schedules && watch.scheduled() != counts.tasks)
    return "made " + std::to_string(watch.scheduled()) + " scheduling objects for " +
           std::to_string(counts.tasks) + " tasks";
  return "";
}

std::string describe_current_exception() {
  try {
    throw;
  } catch (ExternalFailed const& e) {
    return e.what();
  } catch (std::exception const& e) {
    return std::string("threw: ") + e.what();
  } catch (...) {
    return "threw something that is no std::exception";
  }
}

Required required_of(Model const& model, CpuStream const& stream, Setup const& setup) {
  Required required{.workers = model.sequential ? 1 : setup.workers,
                    .schedules = !model.sequential && model.candidate};
  // A program of others does not say what it takes as a task.
  if (setup.batch != kAutoBatch && model.external == nullptr)
    required.tasks = batches_in(stream, setup.batch);
  return required;
}

Required required_of(Model const& model, LookupStream const& stream, Setup const&) {
  // A thread or a process per event in flight: there the workers are as many as the model finds right, and an
  // event is a call, for which nothing is made.
  bool const calls = model.lookup_needs.thread_per_event || model.lookup_needs.process_per_event;
  Required required{.schedules = !model.sequential && model.candidate && !calls};
  if (model.external == nullptr) required.tasks = stream.events();
  return required;
}

Required required_of(Model const& model, IngestStream const&, Setup const& setup) {
  return {.workers = model.sequential ? 1 : setup.workers};
}

Measured measure(Model const& model, CpuStream const& stream, Setup const& setup, Counts const& expected,
                 SampleWatch const& watch) {
  if (!model.cpu) throw std::logic_error(std::string(model.name) + " cannot run the cpu stream");
  return measure_run([&](Stopwatch& stopwatch) { return model.cpu(stream, setup, stopwatch); }, setup,
                     expected, [&] { return required_of(model, stream, setup); }, watch);
}

Measured measure(Model const& model, LookupStream const& stream, Setup const& setup, Counts const& expected,
                 SampleWatch const& watch) {
  if (!model.lookup) throw std::logic_error(std::string(model.name) + " cannot run the lookup stream");
  return measure_run([&](Stopwatch& stopwatch) { return model.lookup(stream, setup, stopwatch); }, setup,
                     expected, [&] { return required_of(model, stream, setup); }, watch);
}

Measured measure(Model const& model, IngestStream const& stream, Setup const& setup, Counts const& expected,
                 SampleWatch const& watch) {
  if (!model.ingest) throw std::logic_error(std::string(model.name) + " cannot run the ingest stream");
  return measure_run([&](Stopwatch& stopwatch) { return model.ingest(stream, setup, stopwatch); }, setup,
                     expected, [&] { return required_of(model, stream, setup); }, watch);
}

}  // namespace tally
