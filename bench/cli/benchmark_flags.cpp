#include "bench/cli/benchmark_flags.hpp"

#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "bench/base/lists.hpp"
#include "bench/base/name_pattern.hpp"
#include "bench/base/units.hpp"
#include "bench/cli/argument_parser.hpp"
#include "bench/plan/run_options.hpp"

namespace tally {
namespace {

using Text = std::string const&;

bool read_bool(std::string_view flag, std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, bool>, 8> kWords{{{"true", true},
                                                                            {"false", false},
                                                                            {"1", true},
                                                                            {"0", false},
                                                                            {"yes", true},
                                                                            {"no", false},
                                                                            {"on", true},
                                                                            {"off", false}}};
  return choose(flag, text, kWords);
}

std::string read_console_format(std::string_view flag, std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kFormats{
      {{"console", "console"}, {"json", "json"}, {"csv", "csv"}}};
  return std::string(choose(flag, text, kFormats));
}

/// Seconds, as Google Benchmark writes them: `0.5`, and `0.5s` as its later versions do.
std::chrono::nanoseconds read_seconds(std::string_view flag, std::string_view text) {
  if (!text.empty() && text.back() == 's') text.remove_suffix(1);
  double const seconds = parse_number(flag, text, 0, 1e6);
  return std::chrono::nanoseconds{std::llround(seconds * 1e9)};
}

void read_context(std::string_view flag, Text text, RunOptions& options) {
  for (auto const& item : split_list(flag, text)) {
    auto const equals = item.find('=');
    if (equals == 0 || equals == std::string::npos) {
      throw UsageError(std::string(flag) + " '" + text + "': write key=value, with commas between several");
    }
    options.benchmark.context[item.substr(0, equals)] = item.substr(equals + 1);
  }
}

void read_filter(std::string_view flag, Text text, RunOptions& options) {
  try {
    NamePattern{text.substr(text.starts_with('-') ? 1 : 0)};
  } catch (std::invalid_argument const& error) {
    throw UsageError(std::string(flag) + " '" + text + "': not a POSIX extended regular expression (" +
                     error.what() + ")");
  }
  options.benchmark.filter = text;
}

void read_repetitions(std::string_view flag, Text text, RunOptions& options) {
  auto const rounds = parse_count(flag, text, 1, std::numeric_limits<int>::max());
  options.min_rounds = options.max_rounds = static_cast<int>(rounds);
}

void read_min_time(std::string_view flag, Text text, RunOptions& options) {
  options.sample_length = read_seconds(flag, text);
  if (options.sample_length.count() == 0) {
    throw UsageError(std::string(flag) + " '" + text + "': write a time above 0, in seconds");
  }
}

/// A flag that the library itself obeys; it is passed on whole.
void pass_on(std::string_view flag, Text text, RunOptions& options) {
  options.benchmark.passed_on.push_back(std::string(flag) + "=" + text);
}

void read_time_unit(std::string_view flag, Text text, RunOptions& options) {
  static constexpr std::array<std::pair<std::string_view, int>, 4> kUnits{
      {{"ns", 0}, {"us", 0}, {"ms", 0}, {"s", 0}}};
  choose(flag, text, kUnits);
  pass_on(flag, text, options);
}

void read_color(std::string_view flag, Text text, RunOptions& options) {
  if (text != "auto") read_bool(flag, text);
  pass_on(flag, text, options);
}

void read_verbosity(std::string_view, Text text, RunOptions& options) {
  parse_count("--benchmark_v", text, 0, 100);
  options.benchmark.passed_on.push_back("--v=" + text);
}

void read_out(std::string_view flag, Text text, RunOptions& options) {
  if (text.empty()) throw UsageError(std::string(flag) + ": write the name of a file");
  options.benchmark.out = text;
}

struct Flag {
  std::string_view name;
  void (*read)(std::string_view flag, Text text, RunOptions& options);
};

constexpr std::array<Flag, 17> kFlags{{
    {"--benchmark_list_tests",
     [](std::string_view f, Text t, RunOptions& o) { o.benchmark.list_tests = read_bool(f, t); }},
    {"--benchmark_filter", read_filter},
    {"--benchmark_format",
     [](std::string_view f, Text t, RunOptions& o) { o.benchmark.format = read_console_format(f, t); }},
    {"--benchmark_out", read_out},
    {"--benchmark_out_format",
     [](std::string_view f, Text t, RunOptions& o) { o.benchmark.out_format = read_console_format(f, t); }},
    {"--benchmark_repetitions", read_repetitions},
    {"--benchmark_min_time", read_min_time},
    {"--benchmark_min_warmup_time",
     [](std::string_view f, Text t, RunOptions& o) { o.benchmark.min_warmup = read_seconds(f, t); }},
    {"--benchmark_enable_random_interleaving",
     [](std::string_view f, Text t, RunOptions& o) { o.shuffle = read_bool(f, t); }},
    {"--benchmark_report_aggregates_only",
     [](std::string_view f, Text t, RunOptions& o) { o.benchmark.report_aggregates_only = read_bool(f, t); }},
    {"--benchmark_display_aggregates_only",
     [](std::string_view f, Text t, RunOptions& o) {
       o.benchmark.display_aggregates_only = read_bool(f, t);
     }},
    {"--benchmark_context", read_context},
    {"--benchmark_time_unit", read_time_unit},
    {"--benchmark_color", read_color},
    {"--benchmark_counters_tabular",
     [](std::string_view f, Text t, RunOptions& o) { read_bool(f, t), pass_on(f, t, o); }},
    {"--benchmark_perf_counters", pass_on},
    {"--benchmark_v", read_verbosity},
}};

}  // namespace

void read_benchmark_flags(std::vector<std::string> const& flags, RunOptions& options) {
  for (auto const& given : flags) {
    auto const equals = given.find('=');
    std::string const spelled = given.substr(0, equals);
    // The one flag of the library without the prefix.
    std::string const name = spelled == "--v" ? "--benchmark_v" : spelled;
    std::string const value = equals == std::string::npos ? "true" : given.substr(equals + 1);
    auto const flag =
        std::find_if(kFlags.begin(), kFlags.end(), [&](Flag const& f) { return f.name == name; });
    if (flag == kFlags.end()) {
      std::vector<std::string> names;
      for (auto const& known : kFlags) names.emplace_back(known.name);
      throw UsageError("unknown option '" + name + "'; those of Google Benchmark are " + join(names));
    }
    flag->read(flag->name, value, options);
  }
}

void ignore_benchmark_environment() {
  std::vector<std::string> names;
  for (char** entry = environ; entry && *entry; ++entry) {
    std::string_view const text = *entry;
    if (text.starts_with("BENCHMARK_")) names.emplace_back(text.substr(0, text.find('=')));
  }
  for (auto const& name : names) unsetenv(name.c_str());
}

}  // namespace tally
