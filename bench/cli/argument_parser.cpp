#include "bench/cli/argument_parser.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "bench/base/lists.hpp"
#include "bench/base/text_table.hpp"
#include "bench/services/redis_url.hpp"

namespace tally {
namespace {

constexpr std::size_t kNameColumns = 28;
constexpr std::size_t kHelpColumns = 110 - kNameColumns;

/// CLI11's help, with `--name VALUE` alone where it would add that an option may be repeated.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(kNameColumns); }
  std::string make_option_opts(CLI::Option const* option) const override {
    std::string const type = option->get_type_name();
    return type.empty() || option->get_type_size() == 0 ? "" : " " + type;
  }
};

}  // namespace

ArgumentParser::ArgumentParser(std::string const& command, std::string const& description)
    : app_(std::make_unique<CLI::App>(description, command)), command_(command) {
  app_->allow_extras();
  app_->formatter(std::make_shared<HelpFormatter>());
}

ArgumentParser::~ArgumentParser() = default;

void ArgumentParser::footer(std::string const& text) { app_->footer(text); }

std::optional<std::string>& ArgumentParser::option(std::string const& name, std::string const& value,
                                                   std::string const& help) {
  auto& storage = values_.emplace_back();
  app_->add_option(name, storage.given, wrap(help, kHelpColumns, 0))
      ->type_name(value)
      ->group(heading_)
      ->allow_extra_args(false);
  return storage.value;
}

std::vector<std::string>& ArgumentParser::list(std::string const& name, std::string const& value,
                                               std::string const& help) {
  auto& storage = lists_.emplace_back();
  app_->add_option(name, storage, wrap(help, kHelpColumns, 0))
      ->type_name(value)
      ->group(heading_)
      ->allow_extra_args(false);
  return storage;
}

bool& ArgumentParser::flag(std::string const& name, std::string const& help) {
  auto& storage = flags_.emplace_back(false);
  app_->add_flag(name, storage, wrap(help, kHelpColumns, 0))->group(heading_);
  return storage;
}

std::string& ArgumentParser::positional(std::string const& name, std::string const& help) {
  auto& storage = positionals_.emplace_back();
  app_->add_option(name, storage, help)->required()->type_name("");
  return storage;
}

std::vector<std::string> ArgumentParser::parse(std::vector<std::string> const& arguments,
                                               bool benchmark_flags) {
  try {
    // CLI11 takes the arguments last first.
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app_->parse(reversed);
  } catch (CLI::CallForHelp const&) {
    throw HelpRequested{app_->help()};
  } catch (CLI::ParseError const& error) {
    throw UsageError(without_password(error.what()) + "; '" + command_ + " --help' says how to write it");
  }
  for (Value& value : values_) {
    for (auto const& given : value.given) value.value = value.value ? *value.value + "," + given : given;
  }
  auto extras = app_->remaining();
  for (auto const& extra : extras) {
    if (benchmark_flags && (extra.starts_with("--benchmark_") || extra.starts_with("--v="))) continue;
    if (extra.starts_with("-")) {
      throw UsageError("unknown option '" + without_password(extra) + "' of '" + command_ +
                       "'; the options are " + option_names() +
                       (benchmark_flags ? " and --benchmark_*" : ""));
    }
    throw UsageError("unexpected argument '" + without_password(extra) + "'; '" + command_ +
                     " --help' says what it takes (options of the --benchmark_* kind are written with =)");
  }
  return extras;
}

std::string ArgumentParser::option_names() const {
  std::vector<std::string> names;
  for (CLI::Option const* option : app_->get_options()) {
    if (!option->get_lnames().empty()) names.push_back("--" + option->get_lnames().front());
  }
  return join(names);
}

}  // namespace tally
