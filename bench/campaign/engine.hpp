// Google Benchmark: it takes the samples, knows its flags, and prints its formats.
#pragma once

#include <benchmark/benchmark.h>

#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "bench/analysis/sample.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"

namespace tally {

/// The cells of a plan, registered with Google Benchmark, each sample one run of one repetition with manual
/// time. The library's registry and flags are the process's: one engine at a time.
class Engine {
 public:
  /// Gives the library its flags and registers the cells. Throws UsageError for a flag that it does not take.
  Engine(BenchmarkFlags const& flags, Plan const& plan);
  /// Registers further cells, after those that there are.
  void add(std::vector<Cell> const& cells);
  ~Engine();
  Engine(Engine const&) = delete;
  Engine& operator=(Engine const&) = delete;

  /// Takes one sample of cell `cell` of the plan: the library calls `measure`, and its time becomes the
  /// run's. What `measure` throws comes through. Throws std::logic_error if the library did not run it
  /// exactly once.
  Sample sample(std::size_t cell, std::function<Sample()> measure);

 private:
  std::vector<std::string> patterns_;  // one for each cell, that matches it alone
  std::function<Sample()> measure_;
  Sample taken_;
  std::exception_ptr thrown_;

  void run(benchmark::State& state);
};

}  // namespace tally
