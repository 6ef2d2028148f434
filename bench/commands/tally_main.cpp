#include "bench/commands/tally_main.hpp"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <exception>
#include <string>
#include <system_error>

#include "bench/base/console.hpp"
#include "bench/base/usage_error.hpp"
#include "bench/base/version.hpp"
#include "bench/cli/benchmark_flags.hpp"
#include "bench/commands/commands.hpp"

namespace tally {
namespace {

constexpr std::string_view kHelp =
    R"(tally: which concurrency model should count these events, by how much is it better, and what limits it?

  tally list [--json]            models x streams, and why one cannot run here
  tally run [options]            measure; table on stdout, progress on stderr
  tally count FILE [options]     count a real file's events with one model; no measuring
  tally map [options]            which model wins where, over work, waiting, events in flight and workers
  tally advise [options]         which model to take for so much work and waiting, from what was measured
  tally merge-model [options]    what merging over the ranks of an MPI job takes, of ranks that nobody measured
  tally doctor                   whether this machine is fit to measure on, and what to do where it is not
  tally serve [options]          count what arrives over TCP, by window, with one model
  tally load [options]           send synthetic events to a server, on a schedule fixed in advance
  tally lookup-service           the embedded lookup service on its own port, in the foreground

  tally COMMAND --help           the command's options
  tally --version

Durations take a unit (ns us ms s), sizes may take k M G. Lists are comma-separated.
Exit status: 0 all measured and verified, 1 a cell failed, 2 wrong command line, 130 interrupted.
)";

int dispatch(std::string const& command, Arguments const& arguments, std::span<Model const> models) {
  if (command == "list") return list_command(arguments, models);
  if (command == "run") return run_command(arguments, models);
  if (command == "count") return count_command(arguments, models);
  if (command == "map") return map_command(arguments, models);
  if (command == "advise") return advise_command(arguments, models);
  if (command == "merge-model") return merge_model_command(arguments);
  if (command == "doctor") return doctor_command(arguments);
  if (command == "serve") return serve_command(arguments, models);
  if (command == "load") return load_command(arguments);
  if (command == "lookup-service") return service_command(arguments);
  if (command == "sampler") return sampler_command(arguments, models);
  if (command == "--help" || command == "-h" || command == "help") {
    write_output(kHelp);
    return 0;
  }
  if (command == "--version") {
    write_output("tally " + std::string(kVersion) + "\n");
    return 0;
  }
  throw UsageError("no command '" + command +
                   "'; write one of list, run, map, advise, merge-model, count, serve, load, doctor, "
                   "lookup-service ('tally --help')");
}

}  // namespace

int tally_main(int argc, char** argv, std::span<Model const> models) {
  ignore_benchmark_environment();
  // A reader that went away is an error to report, not a silent death.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    try {
      if (argc < 2) return dispatch("--help", {}, models);
      Arguments const arguments(argv + 2, argv + argc);
      for (int i = 2; i < argc; ++i) hide_password(argv[i]);
      return dispatch(argv[1], arguments, models);
    } catch (HelpRequested const& help) {
      write_output(help.text);
      return 0;
    }
  } catch (UsageError const& error) {
    complain(error.what());
    return 2;
  } catch (std::exception const& error) {
    complain(error.what());
    return 1;
  }
}

}  // namespace tally
