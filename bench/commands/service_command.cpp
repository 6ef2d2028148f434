#include <unistd.h>

#include <memory>

#include "bench/base/console.hpp"
#include "bench/base/units.hpp"
#include "bench/cli/event_options.hpp"
#include "bench/commands/commands.hpp"
#include "bench/machine/system_limits.hpp"
#include "bench/plan/defaults.hpp"
#include "bench/process/stop_signals.hpp"
#include "workloads/lookup/lookup_service.hpp"

namespace tally {
int service_command(Arguments const& arguments) {
  ArgumentParser parser(
      "tally lookup-service",
      "Answers RESP2 GET event:<i> with event i's key after a delay drawn from the seed and i. "
      "\nLoopback only; ends with SIGINT or SIGTERM.");
  auto const& port = parser.option("--port", "P", "port on 127.0.0.1 (default: any free one)");
  auto const& wait =
      parser.option("--wait", "D", "mean delay (default " + format_duration(defaults::kServiceWait) + ")");
  auto const& wait_dist = parser.option("--wait-dist", "NAME", "exponential (default), fixed or lognormal");
  KeyArguments const keys(parser);
  bool const& spin =
      parser.flag("--spin", "spin while a client is connected: answers on time, at the cost of a CPU");
  parser.parse(arguments);

  ServiceConfig config{.keys = keys.read(), .spin = spin};
  if (port) config.port = static_cast<std::uint16_t>(parse_count("--port", *port, 0, 65535));
  auto const mean = wait ? parse_duration("--wait", *wait) : defaults::kServiceWait;
  auto const distribution = wait_dist ? read_wait_distribution(*wait_dist) : WaitDistribution::exponential;

  auto const control = std::make_unique<ServiceControl>();
  control->wait_ns = mean.count();
  control->distribution = static_cast<int>(distribution);
  raise_open_files();
  int const stop = stop_descriptor();
  int const listening = listen_on_loopback(config.port);
  write_output("listening on 127.0.0.1:" + std::to_string(local_port(listening)) + "\n");
  serve_lookups(config, listening, stop, *control);
  close(listening);
  close(stop);
  return 0;
}

}  // namespace tally
