
#include "bench/base/console.hpp"
#include "bench/base/json.hpp"
#include "bench/base/units.hpp"
#include "bench/cli/event_options.hpp"
#include "bench/commands/commands.hpp"
#include "bench/commands/count_progress.hpp"
#include "bench/machine/system_limits.hpp"
#include "bench/output/counts_json.hpp"
#include "bench/plan/defaults.hpp"
#include "bench/process/stop_signals.hpp"
#include "workloads/input/block_reader.hpp"
#include "workloads/input/file_stream.hpp"
#include "workloads/text/text_stream.hpp"

namespace tally {
namespace {

/// Output goes out in pieces of about this many bytes, since there may be more of it than memory.
constexpr std::size_t kPiece = 1 << 20;

void flush_if_full(std::string& out) {
  if (out.size() < kPiece) return;
  write_output(out);
  out.clear();
}

/// Counting for use, not for comparison: the first of the table that is concurrent, on all CPUs.
Model const& default_model(std::span<Model const> models) {
  Model const* chosen = nullptr;
  for (Model const& model : models) {
    if (model.cpu == nullptr || !model.candidate || !model.by_default || !model.unavailable.empty()) continue;
    if (chosen == nullptr) chosen = &model;
    if (!model.sequential) return model;
  }
  if (chosen == nullptr) throw std::runtime_error("no model of this build counts files ('tally list')");
  return *chosen;
}

enum class Output { tabs, json, csv };

struct CountOptions {
  std::string path;
  TextSpec text;
  Model const* model = nullptr;
  int workers = 1;
  std::size_t top = SIZE_MAX;
  bool windows = false;
  Output output = Output::tabs;
  bool strict = false;
  bool progress = true;
};

CountOptions read_count_options(Arguments const& arguments, std::span<Model const> models) {
  ArgumentParser parser("tally count",
                        "Counts the events of a file, plain, gzip or zstd, by key or by window.");
  std::string const& file = parser.positional("FILE", "the file; - is standard input");
  auto const& model = parser.option(
      "--model", "M", "the model to count with (default: the first concurrent one of 'tally list')");
  auto const& workers =
      parser.option("--workers", "N", "threads or processes (default: the CPUs this process may use)");
  TextArguments const text(parser);
  auto const& top = parser.option("--top", "N", "the N greatest counts alone");
  bool const& json = parser.flag("--json", "as JSON");
  bool const& csv = parser.flag("--csv", "as CSV (RFC 4180), with a header");
  bool const& strict = parser.flag("--strict", "a malformed line is an error");
  bool const& no_progress = parser.flag("--no-progress", "do not say on a terminal how far it is");
  parser.footer(
      "Prints count<TAB>key lines, greatest first, equal counts by key bytes; with --window,\n"
      "window_start<TAB>events<TAB>distinct_keys lines (start in seconds since 1970, UTC).");
  parser.parse(arguments);

  CountOptions options{.path = file, .text = text.read(), .strict = strict, .progress = !no_progress};
  options.windows = text.window.has_value();
  options.model = model ? &find_model(*model, models) : &default_model(models);
  if (options.model->cpu == nullptr) {
    throw UsageError("--model '" + *model + "' does not run on the cpu stream; 'tally list' says which do");
  }
  options.workers = workers ? static_cast<int>(parse_count("--workers", *workers, 1, 65'536))
                            : static_cast<int>(usable_cpus().size());
  if (options.model->sequential) options.workers = 1;
  if (json && csv) throw UsageError("--json and --csv are two outputs: leave one out");
  if (json) options.output = Output::json;
  if (csv) options.output = Output::csv;
  if (top) options.top = parse_count("--top", *top, 1);
  if (top && options.windows && !json) {
    throw UsageError("--top is for keys, and --window prints windows: leave one out, or add --json for both");
  }
  if (options.path != ByteSource::kStandardInput) check_input_file(options.path);
  return options;
}

/// What was counted of a file.
struct Counted {
  Counts counts = Counts::text();
  struct BadLine {
    std::uint64_t number;  ///< from 1
    std::string_view reason;
  };
  std::vector<BadLine> bad_lines{};  ///< the first of them
};

Counts run_model(CountOptions const& options, CpuStream const& stream) {
  Setup const setup{.workers = options.workers, .batch = defaults::kCountBatch, .cpus = {}};
  Stopwatch watch;
  return options.model->cpu(stream, setup, watch);
}

/// A plain file: every worker reads what it counts.
Counted count_file(CountOptions const& options, ByteSource const& source, CountProgress& progress) {
  FileStream const stream(source, options.text, [&](std::uint64_t bytes) { progress.counted(bytes); });
  Counted counted{.counts = run_model(options, stream)};
  for (auto const& line : counted.counts.first_malformed())
    counted.bad_lines.push_back({stream.line_number(line.position), line.reason});
  return counted;
}

/// Anything else: a block is read while the one before is counted.
Counted count_blocks(CountOptions const& options, ByteSource& source, CountProgress& progress) {
  Records records(options.text, {});
  bool const forks = options.model->lookup_needs.process_per_event;
  BlockReader reader(source, records, !forks);
  Counted counted;
  for (Block block; reader.next(block);) {
    auto const stream = make_block_stream(block.records, block.position, block.lines, records);
    Counts counts = run_model(options, *stream);
    for (auto const& line : counts.first_malformed()) {
      if (counted.bad_lines.size() == Counts::kMalformedKept) break;
      auto const before = block.records.substr(0, line.position - block.position);
      counted.bad_lines.push_back({block.first_line + count_newlines(before), line.reason});
    }
    counted.counts.merge_copying(std::move(counts));
    progress.file_read(source.bytes_read());
    progress.counted(block.records.size());
  }
  return counted;
}

Counted count(CountOptions const& options, ByteSource& source) {
  CountProgress progress(options.progress, source.file_bytes());
  try {
    return source.plain_file() ? count_file(options, source, progress)
                               : count_blocks(options, source, progress);
  } catch (std::invalid_argument const& error) {  // of the file's header
    throw UsageError(source.name() + ": " + error.what());
  }
}

/// A field of CSV: in quotes where it has to be.
std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (char const c : text) {
    quoted += c;
    if (c == '"') quoted += c;
  }
  return quoted + '"';
}

void print_keys(Counts const& counts, CountOptions const& options) {
  bool const csv = options.output == Output::csv;
  std::string out = csv ? "key,count\r\n" : "";
  for (auto const& [key, number] : counts.totals(options.top)) {
    out += csv ? csv_field(key) + "," + std::to_string(number) + "\r\n"
               : std::to_string(number) + "\t" + key + "\n";
    flush_if_full(out);
  }
  write_output(out);
}

void print_windows(Counts const& counts, Output output) {
  bool const csv = output == Output::csv;
  char const separator = csv ? ',' : '\t';
  std::string out = csv ? "window_start,events,distinct_keys\r\n" : "";
  for (auto const& window : counts.windows()) {
    out += std::to_string(window.window) + separator + std::to_string(window.events) + separator +
           std::to_string(window.distinct_keys) + (csv ? "\r\n" : "\n");
    flush_if_full(out);
  }
  write_output(out);
}

void print_json(Counted const& counted, CountOptions const& options) {
  Counts const& counts = counted.counts;
  Json json{{"file", options.path},    {"model", options.model->name},  {"workers", options.workers},
            {"events", counts.events}, {"malformed", counts.malformed}, {"malformed_lines", Json::array()},
            {"counts", Json::array()}};
  for (auto const& [number, reason] : counted.bad_lines)
    json["malformed_lines"].push_back({{"line", number}, {"reason", reason}});
  for (auto const& entry : counts.totals(options.top)) json["counts"].push_back(key_as_json(entry));
  if (options.windows) {
    json["windows"] = Json::array();
    for (auto const& window : counts.windows()) {
      json["windows"].push_back({{"window_start", window.window},
                                 {"events", window.events},
                                 {"distinct_keys", window.distinct_keys}});
    }
  }
  write_output(json.dump(1) + "\n");
}

void report_malformed(Counted const& counted, CountOptions const& options, std::string const& name) {
  for (auto const& [number, reason] : counted.bad_lines)
    complain(name + ":" + std::to_string(number) + ": " + std::string(reason));
  Counts const& counts = counted.counts;
  complain(name + ": " + std::to_string(counts.malformed) + " of " +
           std::to_string(counts.events + counts.malformed) + " lines are malformed" +
           (options.strict ? "; nothing is counted, because of --strict" : " and not counted"));
}

}  // namespace

int count_command(Arguments const& arguments, std::span<Model const> models) {
  CountOptions const options = read_count_options(arguments, models);
  StopSignals const stop;
  StopSignals::ExitAtOnce const at_once(stop, "interrupted, and nothing counted is printed");
  ByteSource source(options.path);
  Counted const counted = count(options, source);

  if (counted.counts.malformed > 0) report_malformed(counted, options, source.name());
  if (counted.counts.malformed > 0 && options.strict) return 1;
  if (options.output == Output::json) {
    print_json(counted, options);
  } else if (options.windows) {
    print_windows(counted.counts, options.output);
  } else {
    print_keys(counted.counts, options);
  }
  return 0;
}

}  // namespace tally
