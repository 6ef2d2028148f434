#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <string>
#include <system_error>

#include "bench/base/atomic_file.hpp"
#include "bench/base/exit_status.hpp"
#include "bench/base/json.hpp"
#include "bench/cli/options.hpp"
#include "bench/commands/commands.hpp"
#include "bench/output/manifest.hpp"
#include "bench/plan/limits.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/sampling/local_sampler.hpp"
#include "bench/sampling/sampler_protocol.hpp"

namespace tally {
namespace {

/// What the protocol goes over, taken away from standard input and output: a model that reads or prints would
/// break it.
struct Channel {
  int in = -1, out = -1;

  Channel() : in(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)), out(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)) {
    int const nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (in < 0 || out < 0 || nothing < 0 || ::dup2(nothing, STDIN_FILENO) < 0 ||
        ::dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
      throw std::system_error(errno, std::generic_category(), "cannot set up the sampler's input and output");
    ::close(nothing);
  }
  void say(Json const& line) const { write_all(out, line.dump() + "\n", "answer to the campaign"); }
};

/// The campaign's lines, one by one.
class Requests {
 public:
  Requests(int in, StopSignals const& stop) : in_(in), stop_(stop) {}

  /// None at the end of the input. Throws Interrupted.
  std::optional<std::string> next() {
    for (;;) {
      if (auto line = buffer_.next()) return line;
      pollfd fds[] = {{in_, POLLIN, 0}, {stop_.fd(), POLLIN, 0}};
      if (::poll(fds, std::size(fds), -1) < 0 && errno != EINTR)
        throw std::system_error(errno, std::generic_category(), "poll on the campaign");
      if (stop_.requested()) throw Interrupted("interrupted");
      if (!fds[0].revents) continue;
      char bytes[4096];
      ssize_t const n = ::read(in_, bytes, sizeof bytes);
      if (n == 0) return std::nullopt;
      if (n < 0 && errno != EINTR)
        throw std::system_error(errno, std::generic_category(), "requests of the campaign");
      if (n > 0) buffer_.add(bytes, static_cast<std::size_t>(n));
    }
  }

 private:
  int in_;
  StopSignals const& stop_;
  LineBuffer buffer_;
};

/// Answers the campaign.
class SamplerServer {
 public:
  SamplerServer(Channel const& channel, RunOptions const& options, Plan plan)
      : channel_(channel),
        progress_(Progress::Style::off),
        options_(options),
        plan_(std::move(plan)),
        local_(options_, plan_, stop_, progress_),
        told_(local_.notes().size()) {}  // the campaign has found the same

  void serve() {
    Json names = Json::array();
    for (Cell const& cell : plan_.cells) names.push_back(cell.name());
    channel_.say({{"sampler", kSamplerProtocol},
                  {"cells", names},
                  {"manifest", Json::parse(make_manifest(options_, local_.input(), 0,
                                                         {local_.runner().lookups().name(),
                                                          local_.runner().lookups().database()}))}});
    Requests requests(channel_.in, stop_);
    while (auto const line = requests.next()) {
      Json const request = Json::parse(*line);
      if (request.contains("prepare"))
        prepare(request);
      else
        answer_sample(request.at("sample").get<std::string>());
    }
  }

 private:
  Cell& cell_called(std::string const& name) {
    auto const found = std::find_if(plan_.cells.begin(), plan_.cells.end(),
                                    [&](Cell const& cell) { return cell.name() == name; });
    if (found == plan_.cells.end()) throw std::runtime_error("there is no cell " + name);
    return *found;
  }

  void prepare(Json const& request) {
    local_.set_links_per_ns(request.at("links_per_ns").get<double>());
    std::vector<Cell> cells;
    for (auto const& [name, events] : request.at("prepare").members()) {
      Cell& cell = cell_called(name);
      cell.events = events.get<std::uint64_t>();
      cells.push_back(cell);
    }
    local_.prepare(cells);
    Json digests = Json::object();
    for (Cell const& cell : cells) digests[cell.name()] = digest(local_.reference(cell));
    channel_.say({{"prepared", digests}});
  }

  void answer_sample(std::string const& name) {
    Json line{{"taken", sample_to_json(local_.sample(cell_called(name)))}};
    auto const notes = local_.notes();
    if (notes.size() > told_)
      line["notes"] = std::vector(notes.begin() + static_cast<std::ptrdiff_t>(told_), notes.end());
    told_ = notes.size();
    channel_.say(line);
  }

  Channel const& channel_;
  StopSignals stop_;
  Progress progress_;
  RunOptions const& options_;
  Plan plan_;
  LocalSampler local_;
  std::size_t told_;  // of its notes
};

}  // namespace

int sampler_command(Arguments const& arguments, std::span<Model const> models) {
  Channel const channel;
  try {
    RunOptions const options = parse_run_options(arguments, models);
    Plan plan = make_plan(options);
    check_limits(plan, options);
    SamplerServer(channel, options, std::move(plan)).serve();
    return 0;
  } catch (Interrupted const&) {
    return kInterruptedStatus;
  } catch (std::exception const& e) {
    channel.say({{"error", e.what()}});
    return 1;
  }
}

}  // namespace tally
