#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <system_error>

#include "bench/commands.hpp"
#include "bench/manifest.hpp"
#include "bench/sampler_protocol.hpp"
#include "bench/streams.hpp"

namespace tally {
namespace {

using Json = nlohmann::json;

constexpr int kInterrupted = 130;

/// The campaign's lines, one by one.
class Requests {
 public:
  explicit Requests(StopSignals const& stop) : stop_(stop) {}

  /// None at the end of the input. Throws Interrupted.
  std::optional<std::string> next() {
    for (;;) {
      if (auto const end = buffer_.find('\n'); end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return line;
      }
      pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {stop_.fd(), POLLIN, 0}};
      if (::poll(fds, std::size(fds), -1) < 0 && errno != EINTR)
        throw std::system_error(errno, std::generic_category(), "poll on standard input");
      if (stop_.requested()) throw Interrupted("interrupted");
      if (!fds[0].revents) continue;
      char bytes[4096];
      ssize_t const n = ::read(STDIN_FILENO, bytes, sizeof bytes);
      if (n == 0) return std::nullopt;
      if (n < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "standard input");
      if (n > 0) buffer_.append(bytes, static_cast<std::size_t>(n));
    }
  }

 private:
  StopSignals const& stop_;
  std::string buffer_;
};

class Sampler {
 public:
  Sampler(RunOptions const& options, Plan plan)
      : progress_(Progress::Style::off),
        options_(options),
        plan_(std::move(plan)),
        runner_(options_, plan_, stop_, progress_),
        streams_(options_, stop_, progress_) {
    streams_.set_service(runner_.service_address());
  }

  void serve() {
    Json names = Json::array();
    for (Cell const& cell : plan_.cells) names.push_back(cell.name());
    say({{"sampler", kSamplerProtocol},
         {"cells", names},
         {"manifest", Json::parse(make_manifest(options_, streams_.input(), 0))}});
    Requests requests(stop_);
    while (auto const line = requests.next()) {
      Json const request = Json::parse(*line);
      if (request.contains("prepare"))
        prepare(request);
      else
        say({{"taken", sample_to_json(take(request.at("sample").get<std::string>()))}});
    }
  }

 private:
  static void say(Json const& line) {
    write_output(line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  }

  Cell& cell_called(std::string const& name) {
    auto const found = std::find_if(plan_.cells.begin(), plan_.cells.end(),
                                    [&](Cell const& cell) { return cell.name() == name; });
    if (found == plan_.cells.end()) throw std::runtime_error("there is no cell " + name);
    return *found;
  }

  void prepare(Json const& request) {
    streams_.set_links_per_ns(request.at("links_per_ns").get<double>());
    std::uint64_t most_events = 0;
    for (auto const& [name, events] : request.at("prepare").items()) {
      Cell& cell = cell_called(name);
      cell.events = events.get<std::uint64_t>();
      if (cell.stream == StreamKind::cpu && !streams_.input()) most_events = std::max(most_events, cell.events);
    }
    if (most_events > 0) streams_.reserve(most_events);
    Json digests = Json::object();
    for (auto const& [name, events] : request.at("prepare").items())
      digests[name] = digest(streams_.workload(cell_called(name)).expected);
    say({{"prepared", digests}});
  }

  CellSample take(std::string const& name) {
    Cell const& cell = cell_called(name);
    return runner_.run(cell, streams_.workload(cell), streams_);
  }

  StopSignals stop_;
  Progress progress_;
  RunOptions const& options_;
  Plan plan_;
  CellRunner runner_;
  Streams streams_;
};

}  // namespace

int sampler_command(Arguments const& arguments, std::span<Model const> models) {
  try {
    RunOptions const options = parse_run_options(arguments, models);
    Plan plan = make_plan(options);
    check_limits(plan, options);
    Sampler(options, std::move(plan)).serve();
    return 0;
  } catch (Interrupted const&) {
    return kInterrupted;
  } catch (std::exception const& e) {
    write_output(Json{{"error", e.what()}}.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
    return 1;
  }
}

}  // namespace tally
