#include "bench/machine/reference_figures.hpp"

#include <algorithm>
#include <chrono>

namespace tally {

std::optional<Interval> noise_floor(std::vector<ReferenceSample> const& samples) {
  if (samples.empty()) return std::nullopt;
  std::vector<double> times_s;
  for (auto const& s : samples) times_s.push_back(std::chrono::duration<double>(s.elapsed).count());
  return median_interval(times_s);
}

std::optional<double> reference_links_per_ns(std::vector<ReferenceSample> const& samples,
                                             double ReferenceSample::*rate) {
  if (samples.empty()) return std::nullopt;
  std::vector<double> rates;
  for (auto const& s : samples) rates.push_back(s.*rate);
  return median_interval(rates).median;
}

namespace {

/// The median over those rounds in which it was measured.
std::optional<Interval> median_of_measured(std::vector<ReferenceSample> const& samples,
                                           double ReferenceSample::*figure) {
  std::vector<double> values;
  for (auto const& s : samples)
    if (s.*figure > 0) values.push_back(s.*figure);
  if (values.empty()) return std::nullopt;
  return median_interval(values);
}

}  // namespace

std::optional<Interval> reference_read_bytes_per_s(std::vector<ReferenceSample> const& samples) {
  return median_of_measured(samples, &ReferenceSample::read_bytes_per_s);
}

std::optional<Interval> reference_hand_off_s(std::vector<ReferenceSample> const& samples) {
  return median_of_measured(samples, &ReferenceSample::hand_off_s);
}

double spread(std::vector<ReferenceSample> const& samples) {
  auto const floor = noise_floor(samples);
  if (!floor || floor->median == 0) return 0;
  auto const [least, greatest] = std::minmax_element(
      samples.begin(), samples.end(), [](auto const& a, auto const& b) { return a.elapsed < b.elapsed; });
  return std::chrono::duration<double>(greatest->elapsed - least->elapsed).count() / floor->median;
}

double calibrate_links_per_ns(std::vector<int> const& cpus, StopSignals const& stop,
                              ReferenceWork const& work) {
  constexpr int kRuns = 9;
  std::vector<ReferenceSample> samples;
  for (int i = 0; i < kRuns; ++i) {
    auto const sample = run_reference(cpus, stop, work);
    if (!sample) throw Interrupted("interrupted");
    samples.push_back(*sample);
  }
  return *reference_links_per_ns(samples, &ReferenceSample::links_per_ns_alone);
}

}  // namespace tally
