#include <nlohmann/json.hpp>

#include "bench/commands.hpp"
#include "bench/counts_json.hpp"
#include "bench/defaults.hpp"
#include "bench/event_options.hpp"
#include "bench/units.hpp"
#include "workloads/input_file.hpp"

namespace tally {
namespace {

using Json = nlohmann::ordered_json;

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

struct CountOptions {
  std::string path;
  TextSpec text;
  Model const* model = nullptr;
  int workers = 1;
  std::size_t top = SIZE_MAX;
  bool windows = false;
  bool json = false;
  bool strict = false;
};

CountOptions read_options(Arguments const& arguments, std::span<Model const> models) {
  ArgumentParser parser("tally count", "Counts the events of a file, plain or gzip, by key or by window.");
  std::string const& file = parser.positional("FILE", "the file");
  auto const& model = parser.option(
      "--model", "M", "the model to count with (default: the first concurrent one of 'tally list')");
  auto const& workers =
      parser.option("--workers", "N", "threads or processes (default: the CPUs this process may use)");
  TextArguments const text(parser);
  auto const& top = parser.option("--top", "N", "the N greatest counts alone");
  bool const& json = parser.flag("--json", "as JSON");
  bool const& strict = parser.flag("--strict", "a malformed line is an error");
  parser.footer(
      "Prints count<TAB>key lines, greatest first, equal counts by key bytes; with --window,\n"
      "window_start<TAB>events<TAB>distinct_keys lines (start in seconds since 1970, UTC).");
  parser.parse(arguments);

  CountOptions options{.path = file, .text = text.read(), .json = json, .strict = strict};
  options.windows = text.window.has_value();
  options.model = model ? &find_model(*model, models) : &default_model(models);
  if (options.model->cpu == nullptr) {
    throw UsageError("--model '" + *model + "' does not run on the cpu stream; 'tally list' says which do");
  }
  options.workers = workers ? static_cast<int>(parse_count("--workers", *workers, 1, 65'536))
                            : static_cast<int>(usable_cpus().size());
  if (top) options.top = parse_count("--top", *top, 1);
  if (top && options.windows && !json) {
    throw UsageError("--top is for keys, and --window prints windows: leave one out, or add --json for both");
  }
  check_input_file(options.path);
  return options;
}

void print_keys(Counts const& counts, std::size_t top) {
  std::string out;
  for (auto const& [key, count] : counts.totals(top)) {
    out += std::to_string(count) + "\t" + key + "\n";
    flush_if_full(out);
  }
  write_output(out);
}

void print_windows(Counts const& counts) {
  std::string out;
  for (auto const& window : counts.windows()) {
    out += std::to_string(window.window) + "\t" + std::to_string(window.events) + "\t" +
           std::to_string(window.distinct_keys) + "\n";
    flush_if_full(out);
  }
  write_output(out);
}

void print_json(Counts const& counts, CountOptions const& options, std::string_view text) {
  Json json{{"file", options.path},    {"model", options.model->name},  {"workers", options.workers},
            {"events", counts.events}, {"malformed", counts.malformed}, {"malformed_lines", Json::array()},
            {"counts", Json::array()}};
  for (auto const& line : counts.first_malformed()) {
    json["malformed_lines"].push_back({{"line", line_number(text, line.position)}, {"reason", line.reason}});
  }
  for (auto const& entry : counts.totals(options.top)) json["counts"].push_back(key_as_json(entry));
  if (options.windows) {
    json["windows"] = Json::array();
    for (auto const& window : counts.windows()) {
      json["windows"].push_back({{"window_start", window.window},
                                 {"events", window.events},
                                 {"distinct_keys", window.distinct_keys}});
    }
  }
  write_output(json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

void report_malformed(Counts const& counts, CountOptions const& options, std::string_view text) {
  for (auto const& line : counts.first_malformed()) {
    complain(options.path + ":" + std::to_string(line_number(text, line.position)) + ": " +
             std::string(line.reason));
  }
  complain(options.path + ": " + std::to_string(counts.malformed) + " of " +
           std::to_string(counts.events + counts.malformed) + " lines are malformed" +
           (options.strict ? "; nothing is counted, because of --strict" : " and not counted"));
}

}  // namespace

int count_command(Arguments const& arguments, std::span<Model const> models) {
  CountOptions const options = read_options(arguments, models);
  InputFile const file(options.path);
  auto const stream = make_text_stream(file.text(), options.text, Grain{});
  Setup const setup{
      .workers = options.model->sequential ? 1 : options.workers, .batch = defaults::kCountBatch, .cpus = {}};
  Stopwatch watch;
  Counts const counts = options.model->cpu(*stream, setup, watch);

  if (counts.malformed > 0) report_malformed(counts, options, file.text());
  if (counts.malformed > 0 && options.strict) return 1;
  if (options.json) {
    print_json(counts, options, file.text());
  } else if (options.windows) {
    print_windows(counts);
  } else {
    print_keys(counts, options.top);
  }
  return 0;
}

}  // namespace tally
