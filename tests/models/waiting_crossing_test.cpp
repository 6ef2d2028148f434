// The streams that wait for something, `lookup` and `ingest`, with every model, over epoll and over io_uring.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bench/services/load_process.hpp"
#include "bench/services/service_process.hpp"
#include "tests/bench/closed_port.hpp"
#include "tests/models/crossing.hpp"
#include "workloads/lookup/lookup_stream.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

class WaitingCrossing : public Crossing {
 protected:
  static void TearDownTestSuite() {
    services_.clear();
    Crossing::TearDownTestSuite();
  }

  /// Who answers for such keys: one process for all tests, as a campaign has one for all samples.
  LookupTarget service_of(KeySpec const& keys) {
    auto& service = services_[key_of(keys)];
    if (!service || service->death()) {
      service = std::make_unique<ServiceProcess>(ServiceConfig{.keys = keys, .port = 0, .spin = false},
                                                 std::vector<int>{}, *signals_);
      service->set_wait({50us, WaitDistribution::exponential});
    }
    return LookupTarget(service->address());
  }

  /// Serves what a load generator sends of `schedule`, by `rules`; the empty text if it was counted as it
  /// must be.
  std::string run_ingest(LoadSchedule const& schedule, Counts const& expected, LineRules const& rules,
                         LookupStream const* lookups = nullptr) {
    IngestSpec serve{.workers = workers()};
    serve.connections = static_cast<std::uint64_t>(schedule.spec().connections);
    serve.rules = rules;
    serve.lookups = lookups;
    IngestStream const stream(serve);
    LoadProcess generator(schedule, stream,
                          {.connections_first = model().sequential ? 1 : serve.connections, .spin = false});
    std::string failure = run(stream, setup(), expected);
    if (auto const why = generator.failure()) failure += ": " + *why;
    EXPECT_TRUE(!failure.empty() || generator.account().events == schedule.events());
    return failure;
  }

 private:
  static inline std::map<decltype(key_of({})), std::unique_ptr<ServiceProcess>> services_;
};

class LookupCrossing : public WaitingCrossing {};
class IngestCrossing : public WaitingCrossing {};
/// Events that arrive and are then looked up.
class IngestLookupCrossing : public WaitingCrossing {};

INSTANTIATE_TEST_SUITE_P(EveryModel, LookupCrossing,
                         testing::ValuesIn(Crossing::table(&Model::lookup, Io::epoll)), Crossing::label);
INSTANTIATE_TEST_SUITE_P(OverIoUring, LookupCrossing,
                         testing::ValuesIn(Crossing::table(&Model::lookup, Io::io_uring)), Crossing::label);
INSTANTIATE_TEST_SUITE_P(EveryModel, IngestCrossing,
                         testing::ValuesIn(Crossing::table(&Model::ingest, Io::epoll)), Crossing::label);
INSTANTIATE_TEST_SUITE_P(OverIoUring, IngestCrossing,
                         testing::ValuesIn(Crossing::table(&Model::ingest, Io::io_uring)), Crossing::label);
INSTANTIATE_TEST_SUITE_P(EveryModel, IngestLookupCrossing,
                         testing::ValuesIn(Crossing::table(&Model::ingest, Io::epoll)), Crossing::label);
INSTANTIATE_TEST_SUITE_P(OverIoUring, IngestLookupCrossing,
                         testing::ValuesIn(Crossing::table(&Model::ingest, Io::io_uring)), Crossing::label);

/// Prime numbers of lookups: one after the other, and with some in flight.
constexpr std::uint64_t kOneByOne = 97, kSeveralAtOnce = 499;

TEST_P(LookupCrossing, CountsLookupsAsSequentialDoes) {
  std::size_t turn = 0;
  for (Case const& c : cases(workers())) {
    bool const work_for_one = choices(turn++).one;
    for (int const in_flight : {1, 16}) {
      tally::Setup const how = setup(in_flight);
      std::uint64_t const events = std::min(c.events, how.in_flight == 1 ? kOneByOne : kSeveralAtOnce);
      Grain const grain = (in_flight == 1) == work_for_one ? Grain{10ns, 5} : Grain{};
      auto const stream = make_lookup_stream(c.keys, events, grain, 250us, service_of(c.keys));
      EXPECT_EQ(run(*stream, how, stream->reference()), "")
          << c.what << ", " << how.in_flight << " in flight, grain " << grain.iterations;
    }
  }
}

TEST_P(IngestCrossing, CountsWhatArrivesOverTcpAsSequentialDoes) {
  struct Load {
    double rate_per_s;
    std::chrono::nanoseconds disorder, window;
  };
  std::size_t turn = 0;
  for (Case const& c : cases(workers())) {
    std::size_t next = turn++;
    for (Load const& load : {Load{0, 0ns, 0ns}, Load{0, 0ns, 1ms}, Load{1e6, 3ms, 1ms}}) {
      auto const [several, with_work] = choices(next++);
      int const connections = several ? 7 : 1;
      LineRules rules;
      rules.window = load.window;
      rules.grain = {1ns, with_work ? 3u : 0u};
      auto const key = std::tuple(key_of(c.keys), c.events, connections, load.rate_per_s, load.window);
      LoadSchedule const& schedule = kept(key, [&] {
        LoadSpec spec{.events = c.events, .rate_per_s = load.rate_per_s, .connections = connections};
        spec.disorder = load.disorder;
        spec.stamped = load.rate_per_s > 0;
        spec.timed = load.window.count() > 0;
        return LoadSchedule(spec, events_of(c.keys, c.events));
      });
      Counts const& expected =
          kept(std::pair(key, with_work), [&] { return schedule.reference(rules.grain, rules.window); });
      EXPECT_EQ(run_ingest(schedule, expected, rules), "")
          << c.what << ", " << connections << " connections, rate " << load.rate_per_s << ", window "
          << load.window.count() << " ns, grain " << rules.grain.iterations;
    }
  }
}

TEST_P(IngestLookupCrossing, CountsWhatArrivesAndIsLookedUpAsSequentialDoes) {
  std::size_t turn = 0;
  for (Case const& c : cases(workers())) {
    bool const work_at_rate = choices(turn++).one;
    // Sequential has one connection after the other, and so one event in flight.
    std::uint64_t const events = std::min(c.events, model().sequential ? kOneByOne : kSeveralAtOnce);
    for (double const rate_per_s : {0.0, 50e3}) {
      LineRules rules;
      rules.window = 1ms;
      if ((rate_per_s > 0) == work_at_rate) rules.grain = {1us, 5};
      auto const lookups = make_lookup_stream(c.keys, events, rules.grain, 0ns, service_of(c.keys));
      auto const key = std::tuple(key_of(c.keys), events, rate_per_s);
      LoadSchedule const& schedule = kept(key, [&] {
        LoadSpec spec{.events = events, .rate_per_s = rate_per_s, .connections = 7};
        spec.stamped = rate_per_s > 0;
        spec.numbered = true;
        return LoadSchedule(spec, events_of(c.keys, events));
      });
      EXPECT_EQ(run_ingest(schedule, schedule.reference(rules.grain, rules.window), rules, lookups.get()), "")
          << c.what << ", rate " << rate_per_s << ", grain " << rules.grain.iterations;
    }
  }
}

/// Where nobody listens.
LookupTarget nobody() {
  static ClosedPort const port;
  return LookupTarget({.port = port.number()});
}

/// A hundred events, with the numbers of their lookups in their lines, over `connections`.
LoadSchedule const& looked_up(std::uint64_t events, int connections) {
  return kept(std::pair(events, connections), [&] {
    LoadSpec spec{.events = events, .connections = connections, .stamped = false};
    spec.numbered = true;
    return LoadSchedule(spec, events_of({}, events));
  });
}

TEST_P(LookupCrossing, SaysWhenTheServiceCannotBeReached) {
  auto const stream = make_lookup_stream({}, 100, {}, 0ns, nobody());
  std::string const failure = run(*stream, setup(8), stream->reference());
  EXPECT_NE(failure.find("Connection refused"), std::string::npos) << failure;
}

TEST_P(IngestLookupCrossing, SaysWhenTheServiceCannotBeReached) {
  auto const stream = make_lookup_stream({}, 100, {}, 0ns, nobody());
  LoadSchedule const& schedule = looked_up(100, 3);
  std::string const failure = run_ingest(schedule, schedule.reference({}, 0ns), {}, stream.get());
  EXPECT_NE(failure.find("Connection refused"), std::string::npos) << failure;
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

TEST_P(LookupCrossing, SaysWhenTheServiceEndsInMidRun) {
  ServiceProcess service({.keys = {}, .port = 0, .spin = false}, {}, *signals_);
  auto const inner = make_lookup_stream({}, 5'000, {}, 0ns, LookupTarget(service.address()));
  Disturbed const stream(*inner, 100, [&] { ::kill(service.pid(), SIGKILL); });
  std::string const failure = run(stream, setup(16), inner->reference());
  EXPECT_NE(failure.find("the lookup service"), std::string::npos) << failure;
}

TEST_P(LookupCrossing, PassesOnWhatALookupThrows) {
  auto const inner = make_lookup_stream({}, 5'000, {}, 0ns, service_of({}));
  Disturbed const stream(*inner, 321, [] { throw std::runtime_error("event 321 cannot be counted"); });
  std::string const failure = run(stream, setup(16), inner->reference());
  EXPECT_NE(failure.find("event 321 cannot be counted"), std::string::npos) << failure;
}

TEST_P(IngestLookupCrossing, PassesOnWhatALookupThrowsWhileEventsArrive) {
  // Of a service that has other keys than the stream.
  auto const lookups = make_lookup_stream({.keys = 1'000}, 2'000, {}, 0ns, service_of({.keys = 100'000}));
  LoadSchedule const& schedule = looked_up(2'000, 5);
  std::string const failure = run_ingest(schedule, schedule.reference({}, 0ns), {}, lookups.get());
  EXPECT_NE(failure.find("which is not a key"), std::string::npos) << failure;
}

}  // namespace
}  // namespace tally
