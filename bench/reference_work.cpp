#include "bench/reference_work.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <latch>
#include <stdexcept>
#include <string>
#include <thread>

#include "bench/child_watch.hpp"
#include "workloads/grain.hpp"

namespace tally {
namespace {

using Clock = std::chrono::steady_clock;

/// What the process sends.
struct Report {
  std::int64_t elapsed_ns;
  std::uint64_t ctx_involuntary;
  double links_per_ns;
};

std::string compute(std::vector<int> const& cpus) {
  std::size_t const threads = std::max<std::size_t>(1, cpus.size());
  std::latch ready(static_cast<std::ptrdiff_t>(threads) + 1), done(static_cast<std::ptrdiff_t>(threads));
  std::vector<double> rates(threads);  // links per ns
  std::vector<std::jthread> running;
  for (std::size_t t = 0; t < threads; ++t) {
    running.emplace_back([&, t] {
      try {
        if (!cpus.empty()) pin_process({cpus[t]});
      } catch (std::exception const&) {
        // A CPU was taken from this process meanwhile: it runs where it may, and its time shows it.
      }
      ready.arrive_and_wait();
      auto const began = Clock::now();
      std::uint64_t volatile sink = grind(t, kReferenceLinks);
      (void)sink;
      std::chrono::duration<double, std::nano> const took = Clock::now() - began;
      rates[t] = static_cast<double>(kReferenceLinks) / took.count();
      done.count_down();
    });
  }
  ready.arrive_and_wait();
  auto const began = Clock::now();
  done.wait();
  Report report{(Clock::now() - began).count(), 0, 0};
  running.clear();
  report.links_per_ns = mean(rates);
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  report.ctx_involuntary = static_cast<std::uint64_t>(usage.ru_nivcsw);
  return {reinterpret_cast<char const*>(&report), sizeof report};
}

}  // namespace

std::optional<ReferenceSample> run_reference(std::vector<int> const& cpus, StopSignals const& stop) {
  if (stop.requested()) return std::nullopt;
  constexpr std::chrono::seconds kTimeout{30};
  ChildWatch child([&]() -> std::string {
    try {
      return compute(cpus);
    } catch (std::exception const&) {
      return {};  // no thread to be had
    }
  });
  auto const outcome = child.wait({kTimeout, stop});
  if (outcome.ending == Ending::interrupted) return std::nullopt;
  if (outcome.ending != Ending::finished || !outcome.report || outcome.report->size() != sizeof(Report))
    throw std::runtime_error("the reference computation did not end: " +
                             describe_wait_status(outcome.status));
  Report report;
  std::memcpy(&report, outcome.report->data(), sizeof report);
  ReferenceSample sample;
  sample.elapsed = std::chrono::nanoseconds(report.elapsed_ns);
  sample.ctx_involuntary = report.ctx_involuntary;
  sample.links_per_ns = report.links_per_ns;
  return sample;
}

std::optional<Interval> noise_floor(std::vector<ReferenceSample> const& samples) {
  if (samples.empty()) return std::nullopt;
  std::vector<double> times_s;
  for (auto const& s : samples) times_s.push_back(std::chrono::duration<double>(s.elapsed).count());
  return median_interval(times_s);
}

std::optional<double> reference_links_per_ns(std::vector<ReferenceSample> const& samples) {
  if (samples.empty()) return std::nullopt;
  std::vector<double> rates;
  for (auto const& s : samples) rates.push_back(s.links_per_ns);
  return median_interval(rates).median;
}

double spread(std::vector<ReferenceSample> const& samples) {
  auto const floor = noise_floor(samples);
  if (!floor || floor->median == 0) return 0;
  auto const [least, greatest] = std::minmax_element(
      samples.begin(), samples.end(), [](auto const& a, auto const& b) { return a.elapsed < b.elapsed; });
  return std::chrono::duration<double>(greatest->elapsed - least->elapsed).count() / floor->median;
}

}  // namespace tally
