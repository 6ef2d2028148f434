// Which parameters there are, of which streams, and how each is read, combined and written.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "bench/base/json.hpp"
#include "bench/plan/parameters.hpp"
#include "bench/plan/run_options.hpp"

namespace tally {

/// A parameter whose values are a list on the command line. Every combination of the lists is a group. To add
/// a parameter: a member of Parameters, a list in RunOptions, and a row in parameter_table.cpp.
struct Parameter {
  std::string_view flag, values;        ///< `--grain`, `D,..`
  std::string (*help)();                ///< what it is, of which streams, and its default
  std::string_view streams;             ///< that have it, as a note calls them; "": all
  bool (*measured)(RunOptions const&);  ///< some stream that is measured has it
  /// Reads the flag's value, or takes the default where there is none, which may follow from
  /// RunOptions::input. Throws UsageError.
  void (*read)(RunOptions&, std::optional<std::string> const&);
  bool (*applies)(Parameters const&);  ///< to a cell with these parameters
  /// How many values a stream's groups combine (1 if the stream has no such parameter); sets the i-th of
  /// them.
  std::size_t (*number)(RunOptions const&, StreamKind);
  void (*set)(Parameters&, RunOptions const&, std::size_t i);
  int loop;  ///< depth of its loop when the lists are combined; 0 is the outermost
  /// `/grain_ns:1000`; "" where a name does not say it.
  std::string (*name)(Parameters const&);
  void (*record)(Json& entry, Parameters const&);
  /// The list in the manifest: its key, and its values, or null where the manifest omits it.
  std::string_view key;
  Json (*asked)(RunOptions const&);
};

/// All of them, in the order in which a name has them.
std::span<Parameter const> list_parameters();

/// An item of --rate: events a second, 0 for max. Throws UsageError.
double read_rate(std::string const& text);
/// A value of --io. Throws UsageError if it is none, or why it cannot be had here.
Io read_io(std::string const& text);

/// `/workers:2/grain_ns:1000/batch:256`: a cell's name without stream and model.
std::string spell(Parameters const& parameters);
/// Writes them as keys of an entry in the result file.
void record(Json& entry, Parameters const& parameters);

}  // namespace tally
