#include "bench/cli/event_options.hpp"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "bench/base/lists.hpp"
#include "bench/base/units.hpp"
#include "bench/plan/defaults.hpp"

namespace tally {

KeyArguments::KeyArguments(ArgumentParser& parser)
    : seed(parser.option("--seed", "N",
                         "seed of keys and waits (default " + std::to_string(defaults::kSeed) + ")")),
      keys(parser.option("--keys", "K",
                         "synthetic keys, 1 to " + std::to_string(kMaxKeys) + " (default " +
                             std::to_string(defaults::kKeys) + ")")),
      skew(parser.option("--skew", "S", "Zipf exponent of the keys, 0 (uniform, default) to 10")) {}

KeySpec KeyArguments::read() const {
  KeySpec spec{.seed = defaults::kSeed, .keys = defaults::kKeys, .skew = 0};
  if (seed) spec.seed = parse_count("--seed", *seed);
  if (keys) spec.keys = static_cast<std::uint32_t>(parse_count("--keys", *keys, 1, kMaxKeys));
  if (skew) spec.skew = parse_number("--skew", *skew, 0, 10);
  return spec;
}

FormatArguments::FormatArguments(ArgumentParser& parser, std::string const& formats)
    : format(parser.option("--format", "F", formats)),
      key(parser.option(
          "--key", "FIELD",
          "lines: number of a blank-separated field (default: the whole line); clf: host, method, target "
          "(default), status or agent; csv: a column, by name or number; ndjson: a path, such as user.id")),
      key_regex(parser.option(
          "--key-regex", "PATTERN",
          "regex: RE2's syntax, with one group, (...), around the key; looked for anywhere in a line")),
      time(parser.option(
          "--time", "FIELD",
          "where the event time is; lines: number of the field; clf: time (default); csv and ndjson: as "
          "--key; regex: the name of a second group, (?P<name>...)")),
      time_format(parser.option(
          "--time-format", "F",
          "iso (ISO 8601, default), epoch-s, epoch-ms, epoch-us, epoch-ns, or a strptime pattern, such as "
          "'%d/%b/%Y:%H:%M:%S %z'")),
      no_header(
          parser.flag("--no-header", "csv: the first row is an event too, and columns have numbers alone")) {}

void FormatArguments::read(TextSpec& spec) const {
  static constexpr std::array<TextFormat, 5> kAll{TextFormat::lines, TextFormat::clf, TextFormat::csv,
                                                  TextFormat::ndjson, TextFormat::regex};
  if (format) {
    std::vector<std::pair<std::string_view, TextFormat>> formats;
    for (TextFormat const each : kAll) formats.emplace_back(name_of(each), each);
    spec.format = choose("--format", *format, formats);
  }
  spec.key = key.value_or("");
  spec.key_regex = key_regex.value_or("");
  spec.time = time.value_or("");
  spec.time_format = time_format.value_or("");
  spec.header = !no_header;
}

std::string_view FormatArguments::first_given() const noexcept {
  for (auto const& [flag, value] : {std::pair{"--key", &key},
                                    {"--key-regex", &key_regex},
                                    {"--time", &time},
                                    {"--time-format", &time_format}})
    if (*value) return flag;
  return no_header ? "--no-header" : "";
}

TextArguments::TextArguments(ArgumentParser& parser)
    : FormatArguments(
          parser, "lines (default); clf, the Common and Combined Log Format; csv (RFC 4180); ndjson; regex"),
      window(parser.option("--window", "D",
                           "tumbling windows of event time, such as 60s (default: one window)")) {}

TextSpec TextArguments::read() const {
  TextSpec spec;
  FormatArguments::read(spec);
  if ((time || time_format) && !window) {
    throw UsageError(std::string(time ? "--time" : "--time-format") +
                     " is for the event time of windows: add --window D, or leave it out");
  }
  if (window) {
    auto const length = parse_duration("--window", *window);
    spec.window = std::chrono::duration_cast<std::chrono::seconds>(length);
    if (spec.window != length || spec.window.count() == 0) {
      throw UsageError("--window '" + *window + "': windows of a file are whole seconds, 1s or more");
    }
  }
  try {
    check(spec);
  } catch (std::invalid_argument const& error) {
    throw UsageError(error.what());
  }
  return spec;
}

LoadArguments::LoadArguments(ArgumentParser& parser)
    : arrivals(parser.option("--arrivals", "NAME", "ingest: poisson (default), uniform or bursts")),
      coalesce(parser.option("--coalesce", "D",
                             "ingest: a sender keeps events for so long and sends them together (default " +
                                 format_duration(defaults::kCoalesce) + ")")),
      disorder(parser.option("--disorder", "D",
                             "ingest: event times are up to so much out of order (default 0)")) {}

void LoadArguments::read(LoadSpec& spec) const {
  static constexpr std::array<std::pair<std::string_view, Arrivals>, 3> kArrivals{
      {{"poisson", Arrivals::poisson}, {"uniform", Arrivals::uniform}, {"bursts", Arrivals::bursts}}};
  if (arrivals) spec.arrivals = choose("--arrivals", *arrivals, kArrivals);
  spec.coalesce = coalesce ? parse_duration("--coalesce", *coalesce) : defaults::kCoalesce;
  if (disorder) spec.disorder = parse_duration("--disorder", *disorder);
}

WaitDistribution read_wait_distribution(std::string_view text) {
  return choose("--wait-dist", text, kWaitDistributions);
}

void check_input_file(std::string const& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    throw UsageError("'" + path + "' is a directory; name a file of events");
  }
  if (access(path.c_str(), R_OK) != 0) {
    throw UsageError("cannot read '" + path + "': " + std::generic_category().message(errno));
  }
}

Model const& find_model(std::string_view name, std::span<Model const> models) {
  std::vector<std::string> names;
  for (Model const& model : models) {
    if (model.name == name && !model.unavailable.empty()) {
      throw UsageError("--model '" + std::string(name) +
                       "' cannot run here: " + std::string(model.unavailable));
    }
    if (model.name == name) return model;
    names.emplace_back(model.name);
  }
  throw UsageError("--model '" + std::string(name) + "': no such model; write one of " + join(names));
}

}  // namespace tally
