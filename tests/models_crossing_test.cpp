// The crossing of the whole table: every model x stream x workers x kinds of stream equals sequential
// counting. A new model is tested by being listed.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <tuple>

#include "bench/load_process.hpp"
#include "bench/sample.hpp"
#include "bench/service_process.hpp"
#include "bench/stop_signals.hpp"
#include "models/model.hpp"
#include "models/uring.hpp"
#include "workloads/file_stream.hpp"
#include "workloads/lookup_stream.hpp"
#include "workloads/text_stream.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

/// Boost.Context switches stacks in assembly that ThreadSanitizer knows nothing of, as Debian builds it: it
/// would take every fiber for a torn stack of one thread and report, or crash.
bool beyond_this_sanitizer([[maybe_unused]] Model const& model) {
#ifdef TALLY_THREAD_SANITIZER
  return model.name == "fibers";
#else
  return false;
#endif
}

class Crossing : public testing::TestWithParam<std::tuple<Model const*, int, Io>> {
 protected:
  void SetUp() override {
    if (io() == Io::io_uring && !why_no_uring().empty()) GTEST_SKIP() << why_no_uring();
    if (!model().unavailable.empty()) GTEST_SKIP() << model().unavailable;
    if (beyond_this_sanitizer(model()))
      GTEST_SKIP() << "ThreadSanitizer cannot follow Boost.Context's stacks";
  }
  Model const& model() const { return *std::get<0>(GetParam()); }
  Io io() const { return std::get<2>(GetParam()); }
  tally::Setup setup() const {
    tally::Setup setup;
    setup.io = io();
    setup.workers = model().sequential ? 1 : std::get<1>(GetParam());
    return setup;
  }

  /// Counts `stream` with the model, in a process of its own; the empty text if it equals `expected`.
  template <class Stream>
  std::string run(Stream const& stream, tally::Setup const& how, Counts const& expected) {
    Measured const measured = measure(model(), stream, how, expected, {.timeout = 60s, .stop = signals_});
    return measured.ending == Ending::interrupted ? "interrupted" : measured.sample.failure;
  }
  std::string run_cpu(CpuStream const& stream, tally::Setup const& how) {
    Counts expected = stream.empty_tally();
    stream.count({0, stream.size()}, expected);
    return run(stream, how, expected);
  }

  /// Serves what a load generator sends of `schedule`, by `rules`; the empty text if it was counted as it
  /// must be.
  std::string run_ingest(LoadSchedule const& schedule, LineRules const& rules,
                         LookupStream const* lookups = nullptr) {
    IngestSpec serve{.workers = setup().workers};
    serve.connections = static_cast<std::uint64_t>(schedule.spec().connections);
    serve.rules = rules;
    serve.lookups = lookups;
    IngestStream const stream(serve);
    LoadProcess generator(schedule, stream,
                          {.connections_first = model().sequential ? 1 : serve.connections, .spin = false});
    std::string failure = run(stream, setup(), schedule.reference(rules.grain, rules.window));
    if (auto const why = generator.failure()) failure += ": " + *why;
    EXPECT_TRUE(!failure.empty() || generator.account().events == schedule.events());
    return failure;
  }

  StopSignals signals_;
};

std::string name_of(testing::TestParamInfo<Crossing::ParamType> const& info) {
  return std::string(std::get<0>(info.param)->name) + "_with_" + std::to_string(std::get<1>(info.param)) +
         "_workers" + (std::get<2>(info.param) == Io::io_uring ? "_over_io_uring" : "");
}

std::vector<Model const*> listed() {
  std::vector<Model const*> models;
  for (Model const& model : all_models()) models.push_back(&model);
  return models;
}

/// Those that wait as they are told.
std::vector<Model const*> on_a_reactor() {
  std::vector<Model const*> models = listed();
  std::erase_if(models, [](Model const* model) { return !model->reactor; });
  return models;
}

/// Of the streams that wait for something.
class WaitingCrossing : public Crossing {};

INSTANTIATE_TEST_SUITE_P(EveryModel, Crossing,
                         testing::Combine(testing::ValuesIn(listed()), testing::Values(1, 2, 3, 8),
                                          testing::Values(Io::epoll)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(EveryModel, WaitingCrossing,
                         testing::Combine(testing::ValuesIn(listed()), testing::Values(1, 2, 3, 8),
                                          testing::Values(Io::epoll)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(OverIoUring, WaitingCrossing,
                         testing::Combine(testing::ValuesIn(on_a_reactor()), testing::Values(1, 2, 3, 8),
                                          testing::Values(Io::io_uring)),
                         name_of);

struct Case {
  char const* what;
  std::uint64_t events;
  KeySpec keys;
};

std::vector<Case> cases(int workers) {
  return {{"no event", 0, {}},
          {"one event", 1, {}},
          {"fewer events than workers", static_cast<std::uint64_t>(workers - 1), {}},
          {"a prime number of events", 10'007, {}},
          {"one key", 5'000, {.keys = 1}},
          {"heavily skewed", 20'011, {.seed = 7, .keys = 100'000, .skew = 2.5}}};
}

TEST_P(Crossing, CountsCpuStreamsAsSequentialDoes) {
  for (Case const& c : cases(setup().workers)) {
    SyntheticEvents const events(c.keys, c.events);
    for (auto const window : {0ms, 1ms}) {
      for (std::uint64_t const batch : {1, 7, 4096}) {
        for (std::uint64_t const iterations : {0, 3}) {
          auto const stream = make_synthetic_stream(events, c.events, {1ns, iterations}, window);
          tally::Setup how = setup();
          how.batch = batch;
          EXPECT_EQ(run_cpu(*stream, how), "")
              << c.what << ", batch " << batch << ", window " << window.count() << " ms";
        }
      }
    }
  }
}

TEST_P(Crossing, CountsMoreBatchesThanAnyQueueHolds) {
  SyntheticEvents const events({}, 300'007);
  auto const stream = make_synthetic_stream(events, events.size(), {}, 0ns);
  EXPECT_EQ(run_cpu(*stream, setup()), "");
}

TEST_P(Crossing, CountsLinesOfTextAsSequentialDoes) {
  std::string text;
  for (int i = 0; i < 2'000; ++i)
    text += "2024-05-0" + std::to_string(1 + i / 300) + " key" + std::to_string(i * i % 97) + "\r\n";
  text += "nothing-in-the-second-field\n2024-05-09 last-without-newline";
  TextSpec const spec{.format = TextFormat::lines, .key = "2", .time = "1", .window = 24h, .repeat = 3};
  auto const stream = make_text_stream(text, spec, {});
  for (std::uint64_t const batch : {1, 64}) {
    tally::Setup how = setup();
    how.batch = batch;
    EXPECT_EQ(run_cpu(*stream, how), "") << "batch " << batch;
  }
}

/// A text of a format, with records of every kind, malformed ones among them.
struct Formatted {
  TextSpec spec;
  std::string text;
};

std::vector<Formatted> texts_of_every_format() {
  std::vector<Formatted> texts{
      {{.format = TextFormat::lines, .key = "2", .time = "1"}, ""},
      {{.format = TextFormat::clf, .key = "target"}, ""},
      {{.format = TextFormat::csv, .key = "who", .time = "when", .time_format = "epoch-s"},
       "\xef\xbb\xbfwho,\"the\nnote\",when\r\n"},
      {{.format = TextFormat::ndjson, .key = "a.who", .time = "when", .time_format = "epoch-ms"}, ""},
      {{.format = TextFormat::regex,
        .key_regex = "who=(\\S+) .*?(?P<t>\\d+)$",
        .time = "t",
        .time_format = "epoch-s"},
       ""}};
  for (int i = 0; i < 1'500; ++i) {
    std::string const who = "key" + std::to_string(i * i % 97);
    std::string const s = std::to_string(1'700'000'000 + i * 400);
    std::string const day = "0" + std::to_string(1 + i / 300);
    texts[0].text += "2024-05-" + day + " " + who + "\r\n";
    texts[1].text += "h - - [" + day + "/May/2024:00:00:00 +0000] \"GET /" + who + " HTTP/1.1\" 200 1\n";
    texts[2].text +=
        i % 5 == 0 ? "\"" + who + " \"\"q\"\"\",\"a,\n\"\"\n,b\"," + s + "\n" : who + ",note," + s + "\r\n";
    texts[3].text +=
        R"({"when": )" + s + R"(000, "a": {"who": ")" + who + (i % 3 == 0 ? R"(\u00e9"}})" : R"("}})") + "\n";
    texts[4].text += "at who=" + who + " was " + s + "\n";
    if (i % 100 != 7) continue;
    texts[2].text += "one \"stray,quote,1\nfew,fields\n\xff,note,1\n";
    texts[3].text += "{\"a\": {\"who\": 3}, \"when\": 1}\n{broken\n\n";
    texts[4].text += "nothing of it\n";
  }
  texts[2].text += "last,without a line end,1700000000";
  texts[3].text += R"({"a": {"who": "last"}, "when": 1700000000000})";
  return texts;
}

TEST_P(Crossing, CountsEveryFormatAsSequentialDoes) {
  for (Formatted& each : texts_of_every_format()) {
    for (auto const window : {0s, 86'400s}) {
      each.spec.window = window;
      each.spec.repeat = 2;
      auto const stream = make_text_stream(each.text, each.spec, {});
      for (std::uint64_t const batch : {1, 64}) {
        tally::Setup how = setup();
        how.batch = batch;
        EXPECT_EQ(run_cpu(*stream, how), "") << name_of(each.spec.format) << ", batch " << batch;
      }
    }
  }
}

TEST_P(Crossing, CountsAFileThatIsNotInMemoryAsSequentialDoesOneThatIs) {
  for (Formatted& each : texts_of_every_format()) {
    std::string text = each.text;
    while (text.size() < 3'000'000) text += each.text;  // more than workers read at once
    int const file = memfd_create("events", MFD_CLOEXEC);
    ASSERT_EQ(write(file, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ByteSource const source("/proc/self/fd/" + std::to_string(file));
    each.spec.window = 86'400s;
    FileStream const stream(source, each.spec);
    auto const in_memory = make_text_stream(text, each.spec, {});
    Counts expected = in_memory->empty_tally();
    in_memory->count({0, in_memory->size()}, expected);
    EXPECT_EQ(run(stream, setup(), expected), "") << name_of(each.spec.format);
    close(file);
  }
}

TEST_P(WaitingCrossing, CountsLookupsAsSequentialDoes) {
  for (Case const& c : cases(setup().workers)) {
    ServiceProcess service({.keys = c.keys, .port = 0, .spin = false}, {}, signals_);
    service.set_wait({50us, WaitDistribution::exponential});
    std::uint64_t const events = std::min<std::uint64_t>(c.events, 997);  // a prime number
    for (auto const grain : {Grain{}, Grain{10ns, 5}}) {
      auto const stream = make_lookup_stream(c.keys, events, grain, 1ms, LookupTarget(service.address()));
      for (int const in_flight : {1, 16}) {
        tally::Setup how = setup();
        how.in_flight = model().sequential ? 1 : in_flight;
        EXPECT_EQ(run(*stream, how, stream->reference()), "")
            << c.what << ", " << in_flight << " in flight, grain " << grain.iterations;
      }
    }
  }
}

TEST_P(WaitingCrossing, CountsWhatArrivesOverTcpAsSequentialDoes) {
  struct Load {
    double rate_per_s;
    std::chrono::nanoseconds disorder, window;
  };
  for (Case const& c : cases(setup().workers)) {
    SyntheticEvents const keys(c.keys, c.events);
    for (Load const& load : {Load{0, 0ns, 0ns}, Load{0, 0ns, 1ms}, Load{1e6, 3ms, 1ms}}) {
      for (int const connections : {1, 7}) {
        std::uint64_t const iterations = connections == 1 ? 0 : 3;
        LoadSpec spec{.events = c.events, .rate_per_s = load.rate_per_s, .connections = connections};
        spec.disorder = load.disorder;
        spec.stamped = load.rate_per_s > 0;
        spec.timed = load.window.count() > 0;
        LoadSchedule const schedule(spec, keys);
        LineRules rules;
        rules.window = load.window;
        rules.grain = {1ns, iterations};
        EXPECT_EQ(run_ingest(schedule, rules), "") << c.what << ", " << connections << " connections, rate "
                                                   << load.rate_per_s << ", grain " << iterations;
      }
    }
  }
}

TEST_P(WaitingCrossing, CountsWhatArrivesAndIsLookedUpAsSequentialDoes) {
  for (Case const& c : cases(setup().workers)) {
    ServiceProcess service({.keys = c.keys, .port = 0, .spin = false}, {}, signals_);
    service.set_wait({50us, WaitDistribution::exponential});
    std::uint64_t const events = std::min<std::uint64_t>(c.events, 997);
    SyntheticEvents const keys(c.keys, events);
    for (double const rate_per_s : {0.0, 50e3}) {
      for (auto const grain : {Grain{}, Grain{1us, 5}}) {
        auto const lookups = make_lookup_stream(c.keys, events, grain, 0ns, LookupTarget(service.address()));
        LoadSpec spec{.events = events, .rate_per_s = rate_per_s, .connections = 7};
        spec.stamped = rate_per_s > 0;
        spec.numbered = true;
        LineRules rules;
        rules.window = 1ms;
        rules.grain = grain;
        EXPECT_EQ(run_ingest(LoadSchedule(spec, keys), rules, lookups.get()), "")
            << c.what << ", rate " << rate_per_s << ", grain " << grain.iterations;
      }
    }
  }
}

TEST_P(WaitingCrossing, SaysWhenTheServiceCannotBeReached) {
  std::uint16_t closed_port;
  {
    int const socket = listen_on_loopback(0);
    closed_port = local_port(socket);
    close(socket);
  }
  auto const stream = make_lookup_stream({}, 100, {}, 0ns, LookupTarget({.port = closed_port}));
  tally::Setup how = setup();
  how.in_flight = model().sequential ? 1 : 8;
  std::string const failure = run(*stream, how, stream->reference());
  EXPECT_NE(failure.find("Connection refused"), std::string::npos) << failure;

  SyntheticEvents const keys({}, 100);
  LoadSpec spec{.events = 100, .connections = 3, .stamped = false};
  spec.numbered = true;
  std::string const ingest = run_ingest(LoadSchedule(spec, keys), {}, stream.get());
  EXPECT_NE(ingest.find("Connection refused"), std::string::npos) << ingest;
}

/// Lookups at one of which `at_event` is done, in place of what the reply would be counted for.
class Disturbed final : public LookupStream {
 public:
  Disturbed(LookupStream const& inner, std::uint64_t at, std::function<void()> at_event)
      : inner_(inner), at_(at), at_event_(std::move(at_event)) {}
  LookupTarget const& service() const noexcept override { return inner_.service(); }
  std::uint64_t events() const noexcept override { return inner_.events(); }
  Counts empty_tally() const override { return inner_.empty_tally(); }
  std::chrono::nanoseconds grain() const noexcept override { return inner_.grain(); }
  std::size_t request(std::uint64_t event, std::span<char, kMaxRequestBytes> out) const noexcept override {
    return inner_.request(event, out);
  }
  std::size_t reply_length(std::span<char const> received) const override {
    return inner_.reply_length(received);
  }
  std::string_view key_in(std::uint64_t event, std::span<char const> reply) const override {
    return inner_.key_in(event, reply);
  }
  void accept(std::uint64_t event, std::span<char const> reply, Counts& tally) const override {
    if (event == at_) at_event_();
    inner_.accept(event, reply, tally);
  }
  Counts reference() const override { return inner_.reference(); }

 private:
  LookupStream const& inner_;
  std::uint64_t at_;
  std::function<void()> at_event_;
};

TEST_P(WaitingCrossing, SaysWhenTheServiceEndsInMidRun) {
  ServiceProcess service({.keys = {}, .port = 0, .spin = false}, {}, signals_);
  auto const inner = make_lookup_stream({}, 5'000, {}, 0ns, LookupTarget(service.address()));
  Disturbed const stream(*inner, 100, [&] { ::kill(service.pid(), SIGKILL); });
  tally::Setup how = setup();
  how.in_flight = model().sequential ? 1 : 16;
  std::string const failure = run(stream, how, inner->reference());
  EXPECT_NE(failure.find("the lookup service"), std::string::npos) << failure;
}

TEST_P(WaitingCrossing, PassesOnWhatALookupThrows) {
  ServiceProcess service({.keys = {}, .port = 0, .spin = false}, {}, signals_);
  auto const inner = make_lookup_stream({}, 5'000, {}, 0ns, LookupTarget(service.address()));
  Disturbed const stream(*inner, 321, [] { throw std::runtime_error("event 321 cannot be counted"); });
  tally::Setup how = setup();
  how.in_flight = model().sequential ? 1 : 16;
  std::string const failure = run(stream, how, inner->reference());
  EXPECT_NE(failure.find("event 321 cannot be counted"), std::string::npos) << failure;
}

/// A stream whose counting throws at one event.
class Throwing final : public CpuStream {
 public:
  Throwing(CpuStream const& inner, std::uint64_t at) : inner_(inner), at_(at) {}
  std::uint64_t size() const noexcept override { return inner_.size(); }
  Counts empty_tally() const override { return inner_.empty_tally(); }
  void count(Range range, Counts& tally) const override {
    if (range.begin <= at_ && at_ < range.end) throw std::runtime_error("event 4321 cannot be counted");
    inner_.count(range, tally);
  }
  std::uint64_t batch_end(std::uint64_t begin, std::uint64_t events) const noexcept override {
    return inner_.batch_end(begin, events);
  }
  std::vector<Range> split(std::size_t parts) const override { return inner_.split(parts); }

 private:
  CpuStream const& inner_;
  std::uint64_t at_;
};

TEST_P(Crossing, PassesOnWhatCountingThrows) {
  SyntheticEvents const events({}, 50'000);
  auto const inner = make_synthetic_stream(events, events.size(), {}, 0ns);
  Counts expected = inner->empty_tally();
  inner->count({0, inner->size()}, expected);
  EXPECT_NE(run(Throwing(*inner, 4321), setup(), expected).find("event 4321 cannot be counted"),
            std::string::npos);
}

TEST_P(WaitingCrossing, PassesOnWhatALookupThrowsWhileEventsArrive) {
  ServiceProcess service({.keys = {.keys = 100'000}, .port = 0, .spin = false}, {}, signals_);
  SyntheticEvents const keys({}, 2'000);
  // Of a service that has other keys than the stream.
  auto const lookups =
      make_lookup_stream({.keys = 1'000}, keys.size(), {}, 0ns, LookupTarget(service.address()));
  LoadSpec spec{.events = keys.size(), .connections = 5, .stamped = false};
  spec.numbered = true;
  std::string const failure = run_ingest(LoadSchedule(spec, keys), {}, lookups.get());
  EXPECT_NE(failure.find("which is not a key"), std::string::npos) << failure;
}

/// A stream whose first batch is not done until the reader has stopped reading: in shared memory, since
/// models may fork.
class Stalling final : public CpuStream {
 public:
  explicit Stalling(CpuStream const& inner) : inner_(inner) {}
  std::uint64_t size() const noexcept override { return inner_.size(); }
  Counts empty_tally() const override { return inner_.empty_tally(); }
  void count(Range range, Counts& tally) const override {
    // All workers stall at their first batch until nothing has been read for a while: the reader must wait
    // for them.
    while (!released_.load()) {
      std::uint64_t const seen = read_.load();
      std::this_thread::sleep_for(50ms);
      if (released_.load() || read_.load() != seen) continue;
      most_ahead_.store(seen);
      released_.store(true);
    }
    inner_.count(range, tally);
  }
  std::uint64_t batch_end(std::uint64_t begin, std::uint64_t events) const noexcept override {
    read_.fetch_add(1);
    return inner_.batch_end(begin, events);
  }
  std::vector<Range> split(std::size_t parts) const override { return inner_.split(parts); }
  std::uint64_t most_ahead() const { return most_ahead_.load(); }

 private:
  CpuStream const& inner_;
  mutable std::atomic<bool> released_{false};
  mutable std::atomic<std::uint64_t> read_{0}, most_ahead_{0};
};

TEST_P(Crossing, AReaderFarAheadOfItsWorkersWaits) {
  // A bounded queue holds at most this many batches, whatever the model; the stream has many times more.
  constexpr std::uint64_t kFar = 20'000;
  SyntheticEvents const events({}, 400'000);
  auto const inner = make_synthetic_stream(events, events.size(), {}, 0ns);
  Model bounded = model();
  static CpuRun run_it;
  run_it = model().cpu;
  bounded.cpu = [](CpuStream const& stream, tally::Setup const& how, Stopwatch& watch) {
    Stalling const stalling(stream);
    Counts counts = run_it(stalling, how, watch);
    if (stalling.most_ahead() > kFar)
      throw std::runtime_error(std::to_string(stalling.most_ahead()) + " batches read ahead");
    return counts;
  };
  Counts expected = inner->empty_tally();
  inner->count({0, inner->size()}, expected);
  EXPECT_EQ(measure(bounded, *inner, setup(), expected, {.timeout = 60s, .stop = signals_}).sample.failure,
            "");
}

}  // namespace
}  // namespace tally
