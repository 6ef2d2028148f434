// The options of one command: parsed by CLI11 into texts, so that each command reads its values and words its
// errors.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/base/usage_error.hpp"

// CLI11, whose header takes a compiler seconds, is seen by argument_parser.cpp alone.
namespace CLI {
class App;
}

namespace tally {

class ArgumentParser {
 public:
  /// `command` as typed (`tally run`); `description` stands at the top of its help.
  ArgumentParser(std::string const& command, std::string const& description);
  ~ArgumentParser();

  /// `--name VALUE`. None if not given; lists given in several pieces are joined by commas. The reference
  /// stays good as long as the parser.
  std::optional<std::string>& option(std::string const& name, std::string const& value,
                                     std::string const& help);
  /// `--name VALUE`, any number of times: all values as they are, commas too.
  std::vector<std::string>& list(std::string const& name, std::string const& value, std::string const& help);
  /// `--name`.
  bool& flag(std::string const& name, std::string const& help);
  /// An argument without a name, which must be given.
  std::string& positional(std::string const& name, std::string const& help);
  /// Options defined from here on stand under this heading in the help.
  void heading(std::string const& text) { heading_ = text; }
  /// Text after the options in the help.
  void footer(std::string const& text);

  /// Reads `arguments` (after the command's name). Returns the --benchmark_* flags, in order, if
  /// `benchmark_flags` says that the command takes them; any other unknown argument is an error that names
  /// the valid ones. Throws UsageError, or HelpRequested.
  std::vector<std::string> parse(std::vector<std::string> const& arguments, bool benchmark_flags = false);

 private:
  std::string option_names() const;
  std::unique_ptr<CLI::App> app_;
  std::string command_;
  std::string heading_ = "Options";
  /// CLI11 reads into `given`, a text for each time; `value` is set from it. (Neither its own std::optional
  /// nor its own joining will do: they lose empty texts.)
  struct Value {
    std::vector<std::string> given;
    std::optional<std::string> value;
  };
  std::deque<Value> values_;
  std::deque<bool> flags_;
  std::deque<std::vector<std::string>> lists_;
  std::deque<std::string> positionals_;
};

}  // namespace tally
