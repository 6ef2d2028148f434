// --external: programs that are run as models.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/base/json.hpp"
#include "models/external/external.hpp"

namespace tally {

/// The arguments that `command` spells, split at blanks as a shell does: what stands between single quotes is
/// itself, between double quotes a backslash takes the meaning of `"` and `\`, elsewhere that of any
/// character. Nothing is expanded, and no shell is started. Throws std::invalid_argument that says what is
/// wrong: a quote without its end, or a backslash at the end.
std::vector<std::string> split_command(std::string_view command);

/// Programs and their rows in the table of models. Rows refer to programs: it cannot be copied.
class ExternalModels {
 public:
  /// Reads the values of --external, each NAME=COMMAND. A command with {events} is for cpu, one with {port}
  /// and {count} for lookup, one with {port} alone for ingest; a name that comes again adds a stream to its
  /// program. Throws UsageError: for a name that `models` have, or that no cell can have; for a command
  /// without a program, or with a placeholder that its stream has not.
  ExternalModels(std::vector<std::string> const& given, std::span<Model const> models);
  ExternalModels(ExternalModels const&) = delete;
  ExternalModels& operator=(ExternalModels const&) = delete;

  /// In the order in which they were first named.
  std::span<Model const> rows() const noexcept { return rows_; }

 private:
  std::vector<ExternalProgram> programs_;
  std::vector<Model> rows_;
};

/// What a result file says of them: of each its name, its commands by stream, and the SHA-256 of each file
/// that a command names, its program first. A program that is not to be found has a reason in its place.
Json describe_external(ExternalModels const& models);

}  // namespace tally
