#include "bench/campaign/engine.hpp"

#include <exception>
#include <stdexcept>

#include "bench/base/usage_error.hpp"
#include "bench/plan/run_options.hpp"

namespace tally {
namespace {

using benchmark::BenchmarkReporter;

/// Takes the one run of a sample instead of printing it.
class OneRun : public BenchmarkReporter {
 public:
  bool ReportContext(Context const&) override { return true; }
  void ReportRuns(std::vector<Run> const& runs) override { reported_ += runs.size(); }
  std::size_t reported() const noexcept { return reported_; }

 private:
  std::size_t reported_ = 0;
};

std::string escaped(std::string const& text) {
  std::string pattern;
  for (char const c : text) {
    if (std::string_view(R"(.[]{}()\*+?^$|)").find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

}  // namespace

Engine::Engine(BenchmarkFlags const& flags, Plan const& plan) {
  // What the campaign does itself is said explicitly: the environment could have changed the library's
  // defaults.
  static std::string const kProgram = "tally";  // the library keeps a pointer to it
  std::vector<std::string> arguments{"--benchmark_repetitions=1",
                                     "--benchmark_min_warmup_time=0",
                                     "--benchmark_enable_random_interleaving=false",
                                     "--benchmark_list_tests=false",
                                     "--benchmark_out=",
                                     "--benchmark_format=console"};
  arguments.insert(arguments.end(), flags.passed_on.begin(), flags.passed_on.end());
  std::vector<char*> argv{const_cast<char*>(kProgram.c_str())};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  int argc = static_cast<int>(arguments.size()) + 1;
  benchmark::Initialize(&argc, argv.data());
  if (argc > 1) throw UsageError(std::string("Google Benchmark does not take ") + argv[1] + ": leave it out");

  benchmark::ClearRegisteredBenchmarks();
  add(plan.cells);
}

void Engine::add(std::vector<Cell> const& cells) {
  for (Cell const& cell : cells) {
    std::string const name = cell.name();
    benchmark::RegisterBenchmark(name.c_str(), [this](benchmark::State& state) { run(state); })
        ->UseManualTime()
        ->Iterations(1)
        ->Repetitions(1);
    // The library appends "/iterations:1/repeats:1/manual_time" to the name.
    patterns_.push_back("^" + escaped(name) + "/iterations:1/repeats:1/manual_time$");
  }
}

Engine::~Engine() { benchmark::ClearRegisteredBenchmarks(); }

void Engine::run(benchmark::State& state) {
  for ([[maybe_unused]] auto const iteration : state) {
    try {
      taken_ = measure_();
      if (!taken_.failure.empty()) {
        state.SkipWithError(taken_.failure.c_str());
        break;
      }
      state.SetIterationTime(std::chrono::duration<double>(taken_.elapsed).count());
    } catch (...) {  // would end the process in the library
      thrown_ = std::current_exception();
      state.SkipWithError("not measured");
      break;
    }
  }
}

Sample Engine::sample(std::size_t cell, std::function<Sample()> measure) {
  measure_ = std::move(measure);
  thrown_ = nullptr;
  OneRun reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter, patterns_.at(cell));
  if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  if (reporter.reported() != 1)
    throw std::logic_error("Google Benchmark reported " + std::to_string(reporter.reported()) + " runs of " +
                           patterns_[cell] + " instead of one");
  return std::move(taken_);
}

}  // namespace tally
