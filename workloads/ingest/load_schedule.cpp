#include "workloads/ingest/load_schedule.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>
#include <string>

#include "workloads/base/portable_math.hpp"
#include "workloads/base/random.hpp"
#include "workloads/text/event_lines.hpp"

namespace tally {
namespace {

// Sequences of their own: a time must say nothing about the event's key, which comes from the same seed.
constexpr std::uint64_t kGaps = 0x67617073ULL;
constexpr std::uint64_t kDisorder = 0x6469736f72646572ULL;

// Bursts: of every period, the first part has all the events.
constexpr double kBurstPeriod_ns = 10e6;
constexpr double kBurst_ns = 1e6;

/// Exponential with mean 1.
double exponential(std::uint64_t seed, std::uint64_t i) noexcept {
  return -portable_log(1.0 - IndexedRandom(mix64(seed + kGaps), i).uniform());
}

/// When the schedule's clock reads `busy_ns`, if it ran within bursts alone.
double in_bursts(double busy_ns) noexcept {
  double const bursts = std::floor(busy_ns / kBurst_ns);
  return bursts * kBurstPeriod_ns + (busy_ns - bursts * kBurst_ns);
}

}  // namespace

LoadSchedule::LoadSchedule(LoadSpec const& spec, SyntheticEvents const& keys) : spec_(spec), keys_(&keys) {
  if (spec.events > keys.size())
    throw std::invalid_argument("a load of " + std::to_string(spec.events) + " events, and keys of " +
                                std::to_string(keys.size()));
  if (spec.connections < 1)
    throw std::invalid_argument("a load over " + std::to_string(spec.connections) +
                                " connections: at least 1");
  if (!(spec.rate_per_s >= 0 && std::isfinite(spec.rate_per_s)))
    throw std::invalid_argument("a rate is 0, for as fast as possible, or more events a second");
  if (spec.coalesce.count() < 0 || spec.disorder.count() < 0)
    throw std::invalid_argument("senders cannot keep events, or disorder them, for less than no time");
  if (spec.numbered && spec.events > UINT32_MAX)
    throw std::invalid_argument("a load of " + std::to_string(spec.events) + " events cannot be numbered");
  if (spec.stamped && (!spec.timed || spec.rate_per_s == 0))
    throw std::invalid_argument(
        "a stamp follows an event time, and is of a rate: as fast as possible, nothing is due");
  if (SyntheticEvents::key_bytes(keys.spec().keys) == sizeof(std::uint16_t))
    narrow_keys_ = keys.keys<std::uint16_t>();
  else
    wide_keys_ = keys.keys<std::uint32_t>();
  if (spec.rate_per_s == 0) {
    write_text();
  } else {
    draw_times();
    cut_runs();
  }
}

void LoadSchedule::draw_times() {
  LoadSpec const& spec = spec_;
  double const per_ns = spec.rate_per_s * 1e-9;
  memory_ = SharedPages(spec.events * sizeof(std::int64_t));
  times_ = static_cast<std::int64_t*>(memory_.data());
  double const whole_ns = static_cast<double>(spec.events) / per_ns;
  if (spec.arrivals == Arrivals::uniform) {
    for (std::uint64_t i = 0; i < spec.events; ++i)
      times_[i] = static_cast<std::int64_t>(static_cast<double>(i) / per_ns);
    return;
  }
  // Given how many arrivals of a Poisson process fall into a time, and that one is at its end, the others are
  // where n uniform numbers, sorted, are: partial sums of exponentials over the whole (Devroye, Non-Uniform
  // Random Variate Generation, 1986, V.2).
  double sum = 0;
  for (std::uint64_t i = 0; i <= spec.events; ++i) sum += exponential(spec.seed, i);
  double const scale = whole_ns / sum * (spec.arrivals == Arrivals::bursts ? kBurst_ns / kBurstPeriod_ns : 1);
  double at = 0;
  for (std::uint64_t i = 0; i < spec.events; ++i) {
    at += exponential(spec.seed, i) * scale;
    times_[i] = static_cast<std::int64_t>(spec.arrivals == Arrivals::bursts ? in_bursts(at) : at);
  }
}

void LoadSchedule::cut_runs() {
  runs_memory_ = SharedPages((spec_.events + 1) * sizeof(std::uint64_t));
  auto* const begins = static_cast<std::uint64_t*>(runs_memory_.data());
  for (std::uint64_t i = 0; i < spec_.events; ++i)
    if (i == 0 || spec_.coalesce.count() == 0 ||
        times_[i] - times_[begins[runs_ - 1]] > spec_.coalesce.count())
      begins[runs_++] = i;
  begins[runs_] = spec_.events;
  run_begins_ = begins;
}

void LoadSchedule::write_text() {
  // Some 64 KiB of keys at once, but some turns for every connection.
  constexpr std::uint64_t kMostTogether = 16'384, kTurns = 4;
  auto const each = spec_.events / (static_cast<std::uint64_t>(spec_.connections) * kTurns);
  std::uint64_t const length = std::clamp<std::uint64_t>(each, 1, kMostTogether);
  runs_ = (spec_.events + length - 1) / length;
  runs_memory_ = SharedPages((runs_ + 1) * sizeof(std::uint64_t));
  auto* const begins = static_cast<std::uint64_t*>(runs_memory_.data());
  for (std::uint64_t run = 0; run <= runs_; ++run) begins[run] = std::min(run * length, spec_.events);
  run_begins_ = begins;
  std::size_t used = 0;
  for (std::uint64_t run = 0; run < runs_; ++run) {
    text_begins_.push_back(used);
    std::size_t const room = used + (end_of_run(run) - first_of_run(run)) * kMaxEventLineBytes;
    // By half as much again: resizing moves pages and copies nothing, but it is a system call.
    if (room > memory_.bytes()) memory_.resize(std::max(room, memory_.bytes() + memory_.bytes() / 2));
    auto* const text = static_cast<char*>(memory_.data());
    for (std::uint64_t i = first_of_run(run); i < end_of_run(run); ++i) {
      std::span<char, kMaxEventLineBytes> const out(text + used, kMaxEventLineBytes);
      used += spec_.timed ? write_event_line(out, said(i), event_time(i)) : write_event_line(out, said(i));
    }
  }
  text_begins_.push_back(used);
  memory_.resize(used);
}

std::chrono::nanoseconds LoadSchedule::event_time(std::uint64_t event) const noexcept {
  if (!spec_.timed) return {};
  auto time = times_ != nullptr ? send_time(event) : kEventSpacing * static_cast<std::int64_t>(event);
  if (spec_.disorder.count() == 0) return time;
  auto const most = static_cast<std::uint64_t>(spec_.disorder.count());
  auto const earlier = IndexedRandom(mix64(spec_.seed + kDisorder), event).below(most + 1);
  return time + std::chrono::nanoseconds(static_cast<std::int64_t>(most - earlier));
}

Counts LoadSchedule::reference(Grain grain, std::chrono::nanoseconds window) const {
  // Of integer keys first, which is fast; then by the keys' texts, as servers count them.
  Counts by_number = Counts::dense(keys());
  std::vector<std::uint64_t> words;  // what stands for each key in event_number()
  for (std::uint32_t k = 0; k < keys(); ++k) {
    char text[kMaxEventLineBytes] = {};
    auto const length = static_cast<std::size_t>(std::to_chars(text, text + sizeof text, k).ptr - text);
    words.push_back(length <= kShortKeyBytes ? short_key(text, length) : long_key_hash({text, length}));
  }
  Counts counts = Counts::text();
  for (std::uint64_t event = 0; event < events(); ++event) {
    auto const time = event_time(event);
    auto const w = window.count() == 0 ? 0 : static_cast<std::uint64_t>(time / window);
    std::uint32_t const k = key(event);
    ++by_number.dense_row(w)[k];
    counts.pairs += Counts::pair_mark(static_cast<std::uint64_t>(time.count()), words[k]);
    if (grain.iterations > 0) counts.checksum += grind(event_number(words[k], time), grain.iterations);
  }
  auto names = std::make_shared<std::string>();
  std::vector<std::size_t> begins{0};
  for (std::uint32_t k = 0; k < keys(); ++k) {
    *names += std::to_string(k);
    begins.push_back(names->size());
  }
  for (auto const& total : by_number.windows()) {
    std::uint64_t const* const row = by_number.dense_row(static_cast<std::uint64_t>(total.window));
    TextMap& map = counts.text_window(total.window * window.count());
    map.reserve(total.distinct_keys);
    for (std::uint32_t k = 0; k < keys(); ++k)
      if (row[k] != 0) map[std::string_view(*names).substr(begins[k], begins[k + 1] - begins[k])] = row[k];
  }
  counts.keep(std::move(names));
  counts.events = events();
  if (spec_.numbered) counts.replies = events();
  return counts;
}

}  // namespace tally
