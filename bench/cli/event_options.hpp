// Options that several commands share: which events, from where, keyed by what.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "bench/cli/argument_parser.hpp"
#include "models/model.hpp"
#include "workloads/ingest/load_schedule.hpp"
#include "workloads/lookup/lookup_wait.hpp"
#include "workloads/text/text_stream.hpp"

namespace tally {

/// --seed, --keys and --skew: which synthetic keys.
struct KeyArguments {
  explicit KeyArguments(ArgumentParser& parser);
  /// Throws UsageError.
  KeySpec read() const;

  std::optional<std::string>&seed, &keys, &skew;
};

/// --format, --key, --key-regex, --time, --time-format and --no-header: how lines are read.
struct FormatArguments {
  /// `formats` says which there are.
  FormatArguments(ArgumentParser& parser, std::string const& formats);
  /// Sets what they are for in `spec`. Throws UsageError if there is no such format.
  void read(TextSpec& spec) const;
  /// The first of them, but for --format, that was given; "" if none was.
  std::string_view first_given() const noexcept;

  std::optional<std::string>&format, &key, &key_regex, &time, &time_format;
  bool& no_header;
};

/// These and --window: how a real file's lines are read.
struct TextArguments : FormatArguments {
  explicit TextArguments(ArgumentParser& parser);
  /// Throws UsageError. The repeat stays 1.
  TextSpec read() const;

  std::optional<std::string>& window;
};

/// --arrivals, --coalesce and --disorder: how a load is sent.
struct LoadArguments {
  explicit LoadArguments(ArgumentParser& parser);
  /// Sets what was given in `spec`, and what was not to its default. Throws UsageError.
  void read(LoadSpec& spec) const;

  std::optional<std::string>&arrivals, &coalesce, &disorder;
};

/// The value of --wait-dist. Throws UsageError.
WaitDistribution read_wait_distribution(std::string_view text);

/// Throws UsageError if there is no readable file at `path` that is not a directory.
void check_input_file(std::string const& path);

/// The model of that name. Throws UsageError that names all models, or says why it cannot run here.
Model const& find_model(std::string_view name, std::span<Model const> models);

}  // namespace tally
