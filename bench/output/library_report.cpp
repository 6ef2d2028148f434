// The campaign in the formats of Google Benchmark.
#include "bench/output/library_report.hpp"

#include <fstream>
#include <iostream>
#include <optional>
#include <sstream>
#include <stdexcept>

#include "bench/analysis/sample.hpp"
#include "bench/base/atomic_file.hpp"
#include "bench/output/record.hpp"
#include "bench/plan/run_options.hpp"

namespace tally {
namespace {

using benchmark::BenchmarkReporter;
using Run = BenchmarkReporter::Run;

Run run_of(CampaignResult const& result, std::size_t index) {
  CellResult const& cell = result.cells[index];
  Run run;
  run.run_name.function_name = cell.cell.name();
  run.family_index = static_cast<std::int64_t>(index);
  run.per_family_instance_index = 0;
  run.repetitions = static_cast<std::int64_t>(cell.samples.size());
  run.repetition_index = Run::no_repetition_index;
  run.threads = cell.cell.workers;
  run.statistics = nullptr;
  return run;
}

Run run_of(CampaignResult const& result, std::size_t index, std::size_t repetition) {
  Sample const& sample = result.cells[index].samples[repetition];
  Run run = run_of(result, index);
  run.repetition_index = static_cast<std::int64_t>(repetition);
  if (!sample.failure.empty()) {
    run.error_occurred = true;
    run.error_message = sample.failure;
    return run;
  }
  run.real_accumulated_time = std::chrono::duration<double>(sample.elapsed).count();
  run.cpu_accumulated_time = sample.user_s + sample.sys_s;
  run.counters["items_per_second"] = sample.items_per_second();
  run.counters["peak_rss_bytes"] = static_cast<double>(sample.peak_rss_bytes);
  return run;
}

void add_aggregates(CampaignResult const& result, std::size_t index, std::vector<Run>& runs) {
  for (Aggregate const& aggregate : aggregates(result.cells[index])) {
    Run run = run_of(result, index);
    run.run_type = Run::RT_Aggregate;
    run.aggregate_name = aggregate.name;
    run.aggregate_unit = aggregate.relative ? benchmark::kPercentage : benchmark::kTime;
    run.iterations = run.repetitions;
    // The library divides times, but not percentages, by the iterations.
    double const scale = aggregate.relative ? 1 : static_cast<double>(run.iterations);
    run.real_accumulated_time = aggregate.real_s * scale;
    run.cpu_accumulated_time = aggregate.cpu_s * scale;
    run.counters["items_per_second"] = aggregate.items_per_second;
    run.counters["peak_rss_bytes"] = aggregate.peak_rss_bytes;
    runs.push_back(std::move(run));
  }
}

/// The library's context for a person, without its remark on how the library was built: it times nothing
/// here.
void print_context(BenchmarkReporter& reporter, BenchmarkReporter::Context const& context) {
  std::ostringstream text;
  std::ostream& errors = reporter.GetErrorStream();
  reporter.SetErrorStream(&text);
  reporter.ReportContext(context);
  reporter.SetErrorStream(&errors);
  std::istringstream lines(text.str());
  for (std::string line; std::getline(lines, line);)
    if (line.find("Library was built as DEBUG") == std::string::npos) errors << line << '\n';
}

void print_with(BenchmarkReporter& reporter, std::vector<Run> const& runs, std::ostream& out) {
  BenchmarkReporter::Context context;
  context.name_field_width = 0;
  for (Run const& run : runs)
    context.name_field_width = std::max(context.name_field_width, run.benchmark_name().size());
  std::ostream& before = reporter.GetOutputStream();
  reporter.SetOutputStream(&out);
  print_context(reporter, context);
  reporter.ReportRuns(runs);
  reporter.Finalize();
  out.flush();
  reporter.SetOutputStream(&before);
}

}  // namespace

std::vector<Run> library_runs(CampaignResult const& result, bool aggregates_only) {
  std::vector<Run> runs;
  for (std::size_t i = 0; i < result.cells.size(); ++i) {
    bool const skip_samples = aggregates_only && result.cells[i].throughput();
    for (std::size_t r = 0; r < result.cells[i].samples.size() && !skip_samples; ++r)
      runs.push_back(run_of(result, i, r));
    add_aggregates(result, i, runs);
  }
  return runs;
}

void print_in_library_format(CampaignResult const& result, std::string const& format, bool aggregates_only,
                             std::ostream& out) {
  if (format == "json") {
    out << record_text(result);
  } else if (format == "csv") {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    benchmark::CSVReporter reporter;
#pragma GCC diagnostic pop
    print_with(reporter, library_runs(result, aggregates_only), out);
  } else if (format == "console" && &out == &std::cout) {
    // Knows from the library's flags whether to colour, and whether counters get columns.
    print_with(*benchmark::CreateDefaultDisplayReporter(), library_runs(result, aggregates_only), out);
  } else if (format == "console") {
    benchmark::ConsoleReporter reporter(benchmark::ConsoleReporter::OO_None);
    print_with(reporter, library_runs(result, aggregates_only), out);
  } else {
    throw std::logic_error("no format '" + format + "' of Google Benchmark");
  }
  out.flush();
  if (!out) throw std::runtime_error("could not write all of the " + format + " output");
}

void write_library_file(CampaignResult const& result) {
  BenchmarkFlags const& flags = result.options.benchmark;
  if (flags.out.empty()) return;
  std::ostringstream text;
  print_in_library_format(result, flags.out_format, flags.report_aggregates_only, text);
  write_whole(flags.out, text.str());
}

}  // namespace tally
