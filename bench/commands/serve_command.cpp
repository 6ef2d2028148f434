#include <arpa/inet.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <optional>
#include <set>
#include <system_error>

#include "bench/base/atomic_file.hpp"
#include "bench/base/console.hpp"
#include "bench/base/exit_status.hpp"
#include "bench/base/json.hpp"
#include "bench/base/units.hpp"
#include "bench/cli/event_options.hpp"
#include "bench/cli/options.hpp"
#include "bench/commands/commands.hpp"
#include "bench/machine/system_limits.hpp"
#include "bench/output/counts_json.hpp"
#include "bench/plan/defaults.hpp"
#include "bench/plan/parameter_table.hpp"
#include "bench/process/helper_process.hpp"
#include "bench/process/stop_signals.hpp"
#include "workloads/ingest/ingest_stream.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

/// How often it is looked whether a window has ended.
constexpr auto kServeLook = 50ms;
/// What clients have sent by the time of the signal is counted within this, or given up.
constexpr auto kDrainWithin = 30s;
/// Descriptors that are not clients'.
constexpr std::uint64_t kSpareServeFiles = 64, kFilesPerWorker = 4;
/// A client's clock may be so far ahead of this machine's; no further ahead does event time follow it.
constexpr auto kAhead = 60s;
/// Open at once, in each worker; an empty one takes 4 KiB.
constexpr std::size_t kMostWindows = 10'000;
/// A read buffer holds a line twice over.
constexpr std::uint64_t kMostLineBytes = 32 * 1024;

struct ServeOptions {
  Model const* model = nullptr;
  int workers = 1;
  Io io = Io::epoll;
  IngestSpec spec;
  nanoseconds window{0};
  nanoseconds grace{0};
  std::size_t top = 0;
  bool json = false;
  std::filesystem::path snapshot;
};

std::uint32_t read_host(std::string const& text) {
  in_addr address{};
  if (text == "localhost") return INADDR_LOOPBACK;
  if (inet_pton(AF_INET, text.c_str(), &address) != 1)
    throw UsageError("--listen '" + text +
                     "': write an IPv4 address of this machine, or 0.0.0.0 for all of them");
  return ntohl(address.s_addr);
}

/// None for lines as senders of events write them.
std::optional<LineFormat> read_serve_format(FormatArguments const& given) {
  if (!given.format) {
    if (auto const flag = given.first_given(); !flag.empty())
      throw UsageError(std::string(flag) + " is of a format: add --format lines, clf, ndjson or regex");
    return std::nullopt;
  }
  TextSpec spec;
  given.read(spec);
  if (spec.format == TextFormat::csv) {
    throw UsageError(
        "--format csv is for files: what arrives has no header, and its lines are read one by one; write "
        "lines, clf, ndjson or regex");
  }
  try {
    return line_format(spec);
  } catch (std::invalid_argument const& error) {
    throw UsageError(error.what());
  }
}

ServeOptions read_serve_options(Arguments const& arguments, std::span<Model const> models) {
  ArgumentParser parser("tally serve", "Counts the events that arrive over TCP, by window, with one model.");
  auto const& model = parser.option(
      "--model", "M",
      std::string("the model to serve with (default: ") + std::string(defaults::kServeModel) + ")");
  auto const& workers =
      parser.option("--workers", "N", "threads or processes (default: the CPUs this process may use)");
  auto const& io = parser.option("--io", "IO", "how it waits for clients: epoll (default), or io_uring");
  auto const& port = parser.option("--port", "P", "port (default: any free one)");
  auto const& listen =
      parser.option("--listen", "ADDRESS", "address to listen on (default: 127.0.0.1, this machine alone)");
  auto const& most =
      parser.option("--connections-max", "N", "clients at once (default: as descriptors allow)");
  auto const& line_max = parser.option("--line-max", "BYTES", "longer lines are malformed (default 4096)");
  FormatArguments const format(
      parser,
      "as for files: lines; clf, the Common and Combined Log Format; ndjson; regex (default: as below)");
  auto const& window =
      parser.option("--window", "D", "tumbling windows of event time (default 60s); 0: one, until the end");
  auto const& grace = parser.option(
      "--grace", "D",
      "a window is printed so long after its end (default 1s): events that come later are late");
  auto const& top = parser.option("--top", "N", "with each window, its N greatest counts");
  bool const& json = parser.flag("--json", "a JSON object for each window");
  auto const& snapshot =
      parser.option("--snapshot", "FILE", "at each window's end, all its counts here, as JSON");
  parser.footer(
      "An event is a line: key, or time<TAB>key, the time in seconds since 1970, with decimals if wished; "
      "without a time it\n"
      "is of when it arrives. Prints window_start<TAB>events<TAB>distinct_keys at each window's end. SIGTERM "
      "counts what has\n"
      "arrived, prints the last windows and ends it with status 0; SIGINT likewise, with 130.");
  parser.parse(arguments);

  ServeOptions options;
  options.model = &find_model(model ? *model : std::string(defaults::kServeModel), models);
  if (options.model->ingest == nullptr)
    throw UsageError("--model '" + std::string(options.model->name) +
                     "' does not serve; 'tally list' says which do");
  options.workers = workers ? static_cast<int>(parse_count("--workers", *workers, 1, 1'024))
                            : static_cast<int>(usable_cpus().size());
  if (options.model->sequential) options.workers = 1;
  if (io) options.io = read_io(*io);
  if (options.io == Io::io_uring && !options.model->reactor)
    throw UsageError("--io io_uring: --model '" + std::string(options.model->name) +
                     "' does not wait on it; 'tally list' says which do");
  if (port) options.spec.address.port = static_cast<std::uint16_t>(parse_count("--port", *port, 0, 65535));
  if (listen) options.spec.address.host = read_host(*listen);
  std::uint64_t const files = raise_open_files();
  std::uint64_t const spare =
      kSpareServeFiles + kFilesPerWorker * static_cast<std::uint64_t>(options.workers);
  std::uint64_t const room = files > 2 * spare ? files - spare : spare;
  options.spec.connections_max = most ? parse_count("--connections-max", *most, 1, 10'000'000) : room;
  if (line_max)
    options.spec.rules.line_max =
        static_cast<std::size_t>(parse_count("--line-max", *line_max, 1, kMostLineBytes));
  options.spec.rules.format = read_serve_format(format);
  options.window = window ? parse_duration("--window", *window) : defaults::kServeWindow;
  options.grace = grace ? parse_duration("--grace", *grace) : defaults::kServeGrace;
  options.spec.workers = options.workers;
  options.spec.rules.window = options.window;
  options.spec.rules.untimed_now = true;
  options.spec.rules.windows_max = kMostWindows;
  options.spec.counts_stay = true;
  if (top) options.top = parse_count("--top", *top, 1);
  options.json = json;
  options.snapshot = snapshot.value_or("");
  if (!options.snapshot.empty()) check_output_file("--snapshot", options.snapshot);
  return options;
}

/// Seconds, with as many decimals as they have.
std::string exact_seconds(std::int64_t ns) {
  std::string text = std::to_string(ns / 1'000'000'000);
  if (std::int64_t const rest = ns % 1'000'000'000; rest != 0) {
    std::string decimals = std::to_string(1'000'000'000 + rest).substr(1);
    decimals.erase(decimals.find_last_not_of('0') + 1);
    text += "." + decimals;
  }
  return text;
}

/// Prints windows as they end: the counts of all workers, merged where they are, while these count on.
class Windows {
 public:
  Windows(IngestStream const& stream, ServeOptions const& options) : stream_(stream), options_(options) {}

  /// Prints those that are over: whose end, and the grace after it, event time has passed. It advances with
  /// the newest event, and with the clock while none comes that is newer.
  void print_ended() {
    if (options_.window.count() == 0) return;
    nanoseconds newest = nanoseconds::min();
    each_tally([&](LiveTally& tally) { newest = std::max(newest, tally.totals().newest); });
    if (newest == nanoseconds::min()) return;
    // One client whose clock is a day ahead must not end everybody's windows.
    auto const wall =
        std::chrono::duration_cast<nanoseconds>(std::chrono::system_clock::now().time_since_epoch());
    newest = std::min(newest, wall + kAhead);
    auto const now = std::chrono::steady_clock::now();
    if (newest > newest_) {
      newest_ = newest;
      newest_came_ = now;
    }
    nanoseconds const passed = newest_ + (now - newest_came_) - options_.grace;
    nanoseconds const end = passed / options_.window * options_.window;
    if (end <= ended_) return;
    ended_ = end;
    print(end);
  }
  /// Prints all that there are.
  void print_all() { print(nanoseconds::max()); }

  /// What was malformed, or refused, on standard error.
  void report_rest() {
    std::uint64_t malformed = 0, cut_off = 0;
    std::size_t shown = 0;
    each_tally([&](LiveTally& tally) {
      LiveTally::Totals const totals = tally.totals();
      malformed += totals.malformed;
      cut_off += totals.cut_off;
      for (auto const& bad : tally.bad_lines())
        if (shown++ < LiveTally::kBadLinesKept)
          complain("malformed: '" + bad.text + "': " + std::string(bad.why));
    });
    if (malformed > 0)
      complain(std::to_string(malformed) + " lines were malformed and not counted, " +
               std::to_string(cut_off) + " of them cut off by the end of their connection");
    if (std::uint64_t const refused = stream_.control().refused.load())
      complain(std::to_string(refused) + " connections were refused");
  }

 private:
  /// Calls `visit` for the tally of each worker but those that were lost with their process, of which is said
  /// so once.
  template <class Visit>
  void each_tally(Visit&& visit) {
    for (int w = 0; w < stream_.workers(); ++w) {
      try {
        visit(stream_.tally(w));
      } catch (TallyLost const& lost) {
        if (lost_.insert(w).second) complain("worker " + std::to_string(w) + ": " + lost.what());
      }
    }
  }

  void print(nanoseconds end) {
    Counts counts = Counts::text();
    std::uint64_t late = 0;
    each_tally([&](LiveTally& tally) {
      tally.take_windows(end, counts);
      late += tally.totals().late;
    });
    std::string out;
    for (Counts::WindowTotal const& window : counts.windows()) {
      std::vector<Counts::KeyCount> top;
      if (options_.top > 0) top = counts.window_totals(window.window, options_.top);
      if (options_.json) {
        Json line{{"window_start_s", static_cast<double>(window.window) * 1e-9},
                  {"window_s", std::chrono::duration<double>(options_.window).count()},
                  {"events", window.events},
                  {"distinct_keys", window.distinct_keys},
                  {"late", late - late_}};
        for (auto const& key : top) line["top"].push_back(key_as_json(key));
        out += line.dump() + "\n";
      } else {
        out += exact_seconds(window.window) + "\t" + std::to_string(window.events) + "\t" +
               std::to_string(window.distinct_keys) + "\n";
        for (auto const& key : top) out += "\t" + std::to_string(key.count) + "\t" + key.key + "\n";
      }
      if (!options_.snapshot.empty()) write_snapshot(counts, window);
    }
    write_output(out);
    if (late > late_)
      complain(std::to_string(late - late_) +
               " events came after their window had been printed, and are in none");
    late_ = late;
  }

  void write_snapshot(Counts const& counts, Counts::WindowTotal const& window) const {
    Json json{{"window_start_s", static_cast<double>(window.window) * 1e-9},
              {"window_s", std::chrono::duration<double>(options_.window).count()},
              {"events", window.events},
              {"distinct_keys", window.distinct_keys},
              {"counts", Json::array()}};
    for (auto const& key : counts.window_totals(window.window)) json["counts"].push_back(key_as_json(key));
    try {
      write_whole(options_.snapshot, json.dump(1) + "\n");
    } catch (std::system_error const& e) {
      complain(e.what());  // the next window's may be written; this one was printed
    }
  }

  IngestStream const& stream_;
  ServeOptions const& options_;
  nanoseconds newest_ = nanoseconds::min();
  std::chrono::steady_clock::time_point newest_came_{};
  nanoseconds ended_ = nanoseconds::min();
  std::uint64_t late_ = 0;
  std::set<int> lost_;
};

/// Serves until a signal comes: its number; or none if the server's process has ended by itself.
std::optional<int> serve_until_signal(int signals, HelperProcess& server, Windows& windows) {
  for (;;) {
    pollfd fds[] = {{.fd = signals, .events = POLLIN, .revents = 0},
                    {.fd = server.pidfd(), .events = POLLIN, .revents = 0}};
    if (::poll(fds, std::size(fds), static_cast<int>(kServeLook / 1ms)) < 0 && errno != EINTR)
      throw std::system_error(errno, std::generic_category(), "poll");
    signalfd_siginfo signal{};
    if (fds[0].revents != 0 && ::read(signals, &signal, sizeof signal) == sizeof signal)
      return static_cast<int>(signal.ssi_signo);
    if (fds[1].revents != 0) return std::nullopt;
    windows.print_ended();
  }
}

}  // namespace

int serve_command(Arguments const& arguments, std::span<Model const> models) {
  ServeOptions const options = read_serve_options(arguments, models);
  OwnedFd const signals(stop_descriptor());
  IngestStream const stream(options.spec);
  HelperProcess server("the server", {}, [&] {
    Setup setup;
    setup.workers = options.workers;
    setup.io = options.io;
    setup.cpus = {};
    Stopwatch watch;
    options.model->ingest(stream, setup, watch);
  });
  while (stream.control().listening.load() == 0 && !server.death()) ::usleep(1000);
  if (auto const death = server.death()) throw std::runtime_error("the server did not start: " + *death);

  in_addr const host{htonl(stream.address().host)};
  char name[INET_ADDRSTRLEN] = "";
  inet_ntop(AF_INET, &host, name, sizeof name);
  std::string const where = std::string(name) + ":" + std::to_string(stream.address().port);
  write_output(options.json ? Json{{"listening", where}}.dump() + "\n" : "listening on " + where + "\n");

  Windows windows(stream, options);
  std::optional<int> const signal = serve_until_signal(signals.get(), server, windows);
  stream.stop();
  pollfd ended{.fd = server.pidfd(), .events = POLLIN, .revents = 0};
  while (::poll(&ended, 1, static_cast<int>(kDrainWithin / 1ms)) < 0 && errno == EINTR) {
  }
  auto const death = server.death();
  server.end();  // what still runs may hold a tally for ever
  windows.print_all();
  windows.report_rest();
  if (!death)
    throw std::runtime_error("the server did not end within " + format_duration(kDrainWithin) +
                             ": it was killed, and what it had not read is lost");
  if (!signal || *death != "exited with status 0")
    throw std::runtime_error("the server's process ended: " + *death + "; what it had not counted is lost");
  return *signal == SIGINT ? kInterruptedStatus : 0;
}

}  // namespace tally
