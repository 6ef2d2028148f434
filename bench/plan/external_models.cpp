#include "bench/plan/external_models.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <utility>

#include "bench/base/json.hpp"
#include "bench/base/lists.hpp"
#include "bench/base/sha256.hpp"
#include "bench/base/usage_error.hpp"
#include "bench/plan/parameters.hpp"

namespace tally {
namespace {

constexpr std::size_t kMaxNameBytes = 32;
/// Larger files that a command names are data, and take long to hash.
constexpr std::uintmax_t kMaxHashedBytes = 64u << 20;

/// The names of all placeholders in a command.
std::vector<std::string> placeholders_of(ExternalCommand const& command) {
  std::vector<std::string> names;
  for (std::string const& piece : command)
    fill_placeholders(piece, [&](std::string_view name) {
      names.emplace_back(name);
      return std::string();
    });
  return names;
}

struct Stream {
  StreamKind kind;
  ExternalCommand ExternalProgram::*command;
  std::span<std::string_view const> placeholders;
};
constexpr Stream kStreams[] = {{StreamKind::cpu, &ExternalProgram::cpu, kCpuPlaceholders},
                               {StreamKind::lookup, &ExternalProgram::lookup, kLookupPlaceholders},
                               {StreamKind::ingest, &ExternalProgram::ingest, kIngestPlaceholders}};

/// --external's value, for the beginning of what is wrong with it.
std::string quoted(std::string const& given) { return "--external '" + given + "': "; }

Stream const& stream_of(std::string const& given, std::vector<std::string> const& placeholders) {
  auto const has = [&](std::string_view name) {
    return std::find(placeholders.begin(), placeholders.end(), name) != placeholders.end();
  };
  if (has("events")) return kStreams[0];
  if (has("port") && has("count")) return kStreams[1];
  if (has("port")) return kStreams[2];
  throw UsageError(
      quoted(given) +
      "the command says nothing of its stream: write {events} for the file that a program on cpu "
      "reads, {port} and {count} for lookup, or {port} for ingest");
}

void check_name(std::string const& given, std::string const& name, std::span<Model const> models) {
  if (name.empty() || name.size() > kMaxNameBytes ||
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos)
    throw UsageError(quoted(given) + "write NAME=COMMAND, where NAME is of a-z, 0-9 and _, at most " +
                     std::to_string(kMaxNameBytes) + " of them");
  for (Model const& model : models)
    if (model.name == name)
      throw UsageError(quoted(given) + "there is a model '" + name + "': write another name");
}

ExternalCommand read_command(std::string const& given, std::string_view text) {
  ExternalCommand command;
  try {
    command = split_command(text);
  } catch (std::invalid_argument const& e) {
    throw UsageError(quoted(given) + e.what());
  }
  if (command.empty() || command.front().empty())
    throw UsageError(quoted(given) + "write a program after the =, such as " +
                     "NAME='/usr/bin/python3 count.py {events}'");
  return command;
}

/// Where execvp(3) finds the program; empty if nowhere.
std::filesystem::path find_program(std::string const& program) {
  if (program.find('/') != std::string::npos) return program;
  char const* const path = std::getenv("PATH");
  std::string const folders = path == nullptr ? "/bin:/usr/bin" : path;
  for (std::size_t begin = 0; begin <= folders.size();) {
    std::size_t const end = std::min(folders.find(':', begin), folders.size());
    auto const candidate =
        std::filesystem::path(end == begin ? "." : folders.substr(begin, end - begin)) / program;
    if (::access(candidate.c_str(), X_OK) == 0 && !std::filesystem::is_directory(candidate)) return candidate;
    begin = end + 1;
  }
  return {};
}

void add_files(Json& files, ExternalCommand const& command) {
  if (command.empty()) return;
  auto const program = find_program(command.front());
  if (program.empty())
    files[command.front()] = "unknown: not in PATH";
  else
    files[program.string()] = hash_or_reason(program);
  for (std::string const& argument : std::span(command).subspan(1)) {
    std::error_code error;
    if (std::filesystem::is_regular_file(argument, error) &&
        std::filesystem::file_size(argument, error) <= kMaxHashedBytes && !error)
      files[argument] = hash_or_reason(argument);
  }
}

}  // namespace

std::vector<std::string> split_command(std::string_view command) {
  constexpr std::string_view kBlanks = " \t\n";
  std::vector<std::string> pieces;
  bool in_piece = false;
  auto const piece = [&]() -> std::string& {
    if (!std::exchange(in_piece, true)) pieces.emplace_back();
    return pieces.back();
  };
  char quote = 0;
  for (std::size_t i = 0; i < command.size(); ++i) {
    char const c = command[i];
    bool const last = i + 1 == command.size();
    if (quote == '\'') {
      if (c == quote)
        quote = 0;
      else
        piece() += c;
    } else if (c == '\\' && (quote == 0 || (!last && (command[i + 1] == '"' || command[i + 1] == '\\')))) {
      if (last)
        throw std::invalid_argument("the command ends in a backslash: write another after it, or none");
      piece() += command[++i];
    } else if (quote == '"') {
      if (c == quote)
        quote = 0;
      else
        piece() += c;
    } else if (c == '\'' || c == '"') {
      quote = c;
      piece();  // '' is a piece, an empty one
    } else if (kBlanks.find(c) != std::string_view::npos) {
      in_piece = false;
    } else {
      piece() += c;
    }
  }
  if (quote != 0)
    throw std::invalid_argument(std::string("the command has a ") + quote +
                                " without its end: write another");
  return pieces;
}

ExternalModels::ExternalModels(std::vector<std::string> const& given, std::span<Model const> models) {
  for (std::string const& value : given) {
    auto const equals = value.find('=');
    std::string const name = value.substr(0, equals);
    check_name(value, equals == std::string::npos ? "" : name, models);
    ExternalCommand const command = read_command(value, std::string_view(value).substr(equals + 1));
    auto const placeholders = placeholders_of(command);
    Stream const& stream = stream_of(value, placeholders);
    for (std::string const& placeholder : placeholders) {
      auto const& known = stream.placeholders;
      if (std::find(known.begin(), known.end(), placeholder) != known.end()) continue;
      throw UsageError(quoted(value) + "there is no {" + placeholder + "} on " +
                       std::string(name_of(stream.kind)) + ": write one of {" +
                       [&] {
                         std::string names;
                         for (auto const one : known)
                           names += (names.empty() ? "" : "}, {") + std::string(one);
                         return names;
                       }() +
                       "}, or {{" + placeholder + "}} for the text itself");
    }
    auto found = std::find_if(programs_.begin(), programs_.end(),
                              [&](ExternalProgram const& program) { return program.name == name; });
    if (found == programs_.end()) {
      programs_.push_back({.name = name, .cpu = {}, .lookup = {}, .ingest = {}});
      found = programs_.end() - 1;
    }
    if (!((*found).*stream.command).empty())
      throw UsageError(quoted(value) + "'" + name + "' has a command for " +
                       std::string(name_of(stream.kind)) + " already: write another name");
    (*found).*stream.command = command;
  }
  for (ExternalProgram const& program : programs_) rows_.push_back(external_model(program));
}

Json describe_external(ExternalModels const& models) {
  Json all = Json::array();
  for (Model const& row : models.rows()) {
    ExternalProgram const& program = *row.external;
    Json entry{{"name", program.name}, {"commands", Json::object()}, {"files", Json::object()}};
    for (Stream const& stream : kStreams) {
      ExternalCommand const& command = program.*stream.command;
      if (command.empty()) continue;
      entry["commands"][std::string(name_of(stream.kind))] = command;
      add_files(entry["files"], command);
    }
    all.push_back(std::move(entry));
  }
  return all;
}

}  // namespace tally
