#include "bench/sampling/streams.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <stdexcept>

#include "bench/base/usage_error.hpp"
#include "bench/plan/run_options.hpp"
#include "workloads/lookup/lookup_stream.hpp"
#include "workloads/text/text_stream.hpp"

namespace tally {
namespace {

/// Work above which a person is told what takes so long.
constexpr std::chrono::seconds kWorthSaying{1};
constexpr std::uint64_t kManyEvents = 50'000'000;

bool takes_long(std::uint64_t events, std::chrono::nanoseconds grain) {
  return events >= kManyEvents || static_cast<double>(events) * std::chrono::duration<double>(grain).count() >
                                      std::chrono::duration<double>(kWorthSaying).count();
}

}  // namespace

Streams::Streams(RunOptions const& options, StopSignals const& stop, Progress& progress)
    : options_(options), stop_(stop), progress_(progress) {
  StopSignals::ExitAtOnce const at_once(stop_);
  if (options_.input) {
    progress_.say("reading " + options_.input->string());
    input_.emplace(*options_.input);
    try {
      Records(options_.text, {}).begin(input_->text(), true);
    } catch (std::invalid_argument const& error) {
      throw UsageError(options_.input->string() + ": " + error.what());
    }
  }
}

void Streams::reserve(std::uint64_t events) {
  if (events_ && events_->size() >= events) return;
  StopSignals::ExitAtOnce const at_once(stop_);
  if (takes_long(events, {})) progress_.say("drawing " + std::to_string(events) + " events");
  workloads_.clear();  // they view the events that go
  events_.reset();
  events_.emplace(options_.keys, events);
}

Workload const& Streams::workload(Cell const& cell) {
  Workload& workload = made(cell);
  if (cell.model != nullptr && cell.model->external != nullptr && cell.stream == StreamKind::cpu &&
      !workload.file) {
    StopSignals::ExitAtOnce const at_once(stop_);
    workload.file = std::make_unique<EventsFile>(*events_, cell.events, options_.window);
  }
  return workload;
}

Workload& Streams::made(Cell const& cell) {
  bool const text = cell.stream == StreamKind::cpu && input_;
  bool const ingest = cell.stream == StreamKind::ingest;
  Key const key{cell.stream,
                text ? 0 : cell.events,
                cell.grain,
                ingest ? cell.connections : 0,
                ingest ? cell.rate_per_s : 0,
                ingest && cell.lookup};
  if (auto const found = workloads_.find(key); found != workloads_.end()) return found->second;
  if (cell.stream != StreamKind::lookup && !text) reserve(cell.events);

  StopSignals::ExitAtOnce const at_once(stop_);
  if (takes_long(cell.events, cell.grain))
    progress_.say("counting " + std::to_string(cell.events) + " events sequentially, for reference");
  Grain const grain = cell.grain.count() > 0 ? make_grain(cell.grain, links_per_ns_) : Grain{};
  std::unique_ptr<CpuStream> cpu;
  std::unique_ptr<LookupStream> lookup;
  if (cell.stream == StreamKind::lookup) {
    lookup = make_lookup_stream(options_.keys, cell.events, grain, options_.window, service_);
    Counts expected = lookup->reference();
    return workloads_.emplace(key, Workload{nullptr, std::move(lookup), nullptr, grain, std::move(expected)})
        .first->second;
  }
  if (ingest) {
    LoadSpec spec;
    spec.events = cell.events;
    spec.rate_per_s = cell.rate_per_s;
    spec.arrivals = options_.arrivals;
    spec.connections = cell.connections;
    spec.coalesce = options_.coalesce;
    spec.disorder = options_.disorder;
    // As fast as possible, a line is what a window needs of it and no more.
    spec.stamped = cell.rate_per_s > 0;
    spec.timed = spec.stamped || options_.window.count() > 0;
    spec.numbered = cell.lookup;
    if (cell.lookup) spec.slots = service_.slots;
    spec.seed = options_.keys.seed;
    if (cell.lookup)
      lookup = make_lookup_stream(options_.keys, cell.events, grain, options_.window, service_);
    auto load = std::make_unique<LoadSchedule>(spec, *events_);
    load->share_with_children(false);
    Counts expected = load->reference(grain, options_.window);
    return workloads_
        .emplace(key, Workload{nullptr, std::move(lookup), std::move(load), grain, std::move(expected)})
        .first->second;
  }
  if (text) {
    TextSpec spec = options_.text;
    if (spec.window.count() == 0)
      spec.window = std::chrono::duration_cast<std::chrono::seconds>(options_.window);
    cpu = make_text_stream(input_->text(), spec, grain);
  } else {
    cpu = make_synthetic_stream(*events_, cell.events, grain, options_.window);
  }
  Counts expected = cpu->empty_tally();
  cpu->count({0, cpu->size()}, expected);
  return workloads_.emplace(key, Workload{std::move(cpu), nullptr, nullptr, grain, std::move(expected)})
      .first->second;
}

void Streams::share_load(Workload const& workload, bool shared) noexcept {
  share_events(shared ? workload.load->events() : 0);
  workload.load->share_with_children(shared);
}

void Streams::share_events(std::uint64_t events) noexcept {
  if (!events_ || events_->size() == 0) return;
  // Whole huge pages: a boundary inside one would break it up.
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  auto const pages_of = [this](std::uint64_t n) {
    return (n * SyntheticEvents::key_bytes(options_.keys.keys) + kHugePage - 1) / kHugePage * kHugePage;
  };
  std::size_t const all = pages_of(events_->size());
  std::size_t const shared = std::min(pages_of(events), all);
  auto* const begin = const_cast<std::byte*>(events_->keys<std::byte>());
  // Refused by a kernel that cannot: then samples are charged with memory that they do not read, and nothing
  // else changes.
  if (shared > 0) ::madvise(begin, shared, MADV_DOFORK);
  if (shared < all) ::madvise(begin + shared, all - shared, MADV_DONTFORK);
}

}  // namespace tally
