// When each event of the `ingest` stream is to be sent, over which connection, and what it says: fixed in
// advance.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "workloads/counting/counts.hpp"
#include "workloads/counting/grain.hpp"
#include "workloads/events/synthetic.hpp"
#include "workloads/base/memory.hpp"

namespace tally {

/// How the times between events are distributed. All are scaled so that the events of a schedule take exactly
/// their number over the rate: the offered rate is then no random number itself.
enum class Arrivals : int {
  poisson,  ///< independent events: exponential times between them
  uniform,  ///< all times between events alike
  bursts,   ///< Poisson at ten times the rate in the first millisecond of every ten, and nothing in the other
            ///< nine
};

/// As many connections as a load may have.
inline constexpr std::uint64_t kMostConnections = 1'000'000;

/// A load, but for its keys.
struct LoadSpec {
  std::uint64_t events = 0;
  double rate_per_s = 0;  ///< of all connections together; 0: as fast as they take it
  Arrivals arrivals = Arrivals::poisson;
  int connections = 1;
  /// A sender keeps its events for so long and sends them in one piece: events that are due within this time
  /// of the first of them go over one connection, before the next has its turn.
  std::chrono::nanoseconds coalesce{20'000};
  /// The event time of each is up to so much before it is sent, drawn uniformly: events are out of order by
  /// as much.
  std::chrono::nanoseconds disorder{0};
  bool timed = true;    ///< lines carry the event time
  bool stamped = true;  ///< lines carry when they were to be sent, and how late they were; needs `timed`
  /// Lines carry an event's number in place of its key, for a server that looks up the key. Fewer than 2^32
  /// events.
  bool numbered = false;
  /// Event i has the key of event i modulo this; 0: its own. For a server that asks whoever knows the keys of
  /// so many events and no more (LookupTarget::slots).
  std::uint64_t slots = 0;
  std::uint64_t seed = 1;
};

/// The schedule of a load: immutable, made once, and read by forked processes without being copied. Times are
/// from the schedule's beginning.
class LoadSchedule {
 public:
  /// Draws the times. `keys` are those of the events, of which there must be as many, and outlive this.
  /// Throws std::invalid_argument for a spec that cannot be.
  LoadSchedule(LoadSpec const& spec, SyntheticEvents const& keys);

  LoadSpec const& spec() const noexcept { return spec_; }
  std::uint64_t events() const noexcept { return spec_.events; }
  std::uint32_t keys() const noexcept { return keys_->spec().keys; }
  std::uint32_t key(std::uint64_t event) const noexcept {
    if (spec_.slots != 0) event %= spec_.slots;
    return wide_keys_ != nullptr ? wide_keys_[event] : narrow_keys_[event];
  }

  /// What the event's line says in the place of the key: the key, or the event's number.
  std::uint32_t said(std::uint64_t event) const noexcept {
    return spec_.numbered ? static_cast<std::uint32_t>(event) : key(event);
  }

  /// Runs: events that go over one connection together, all within the time that a sender keeps them.
  std::uint64_t runs() const noexcept { return runs_; }
  /// The events of a run: from its first up to, and not with, its end.
  std::uint64_t first_of_run(std::uint64_t run) const noexcept { return run_begins_[run]; }
  std::uint64_t end_of_run(std::uint64_t run) const noexcept { return run_begins_[run + 1]; }
  /// The lines of a run as they are sent, at no rate; then nothing in them depends on when that is.
  std::string_view text_of_run(std::uint64_t run) const noexcept {
    return {static_cast<char const*>(memory_.data()) + text_begins_[run],
            text_begins_[run + 1] - text_begins_[run]};
  }
  /// Run r goes over connection r modulo the number of connections: they take turns.
  int connection_of_run(std::uint64_t run) const noexcept {
    return static_cast<int>(run % static_cast<std::uint64_t>(spec_.connections));
  }

  /// When the event is to be sent; 0 at no rate.
  std::chrono::nanoseconds send_time(std::uint64_t event) const noexcept {
    return std::chrono::nanoseconds(times_ == nullptr ? 0 : times_[event]);
  }
  /// When the event happened, as its line says, never below 0; 0 if lines do not say.
  std::chrono::nanoseconds event_time(std::uint64_t event) const noexcept;

  /// Whether processes forked from now on have the times, or the lines, in their memory.
  void share_with_children(bool shared) noexcept {
    memory_.share_with_children(shared);
    runs_memory_.share_with_children(shared);
  }

  /// What counting the events by their keys, one by one, gives, with the grain's work for each, in windows of
  /// event time, each called by its start in nanoseconds; one window from 0 over everything if `window` is 0.
  Counts reference(Grain grain, std::chrono::nanoseconds window) const;

 private:
  LoadSpec spec_;
  SyntheticEvents const* keys_;
  std::uint16_t const* narrow_keys_ = nullptr;
  std::uint32_t const* wide_keys_ = nullptr;
  std::uint64_t runs_ = 0;
  SharedPages runs_memory_;
  std::uint64_t const* run_begins_ = nullptr;  // one more than there are runs
  SharedPages memory_;                         // times, or lines
  std::int64_t* times_ = nullptr;              // at a rate
  std::vector<std::uint64_t> text_begins_;     // by run, at no rate; one more than there are runs

  void draw_times();
  void cut_runs();
  void write_text();
};

}  // namespace tally
