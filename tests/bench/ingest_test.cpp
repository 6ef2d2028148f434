// The `ingest` stream in the harness: samples with a load generator beside them, and what goes wrong there.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "bench/analysis/campaign_result.hpp"
#include "bench/analysis/sample.hpp"
#include "bench/campaign/campaign.hpp"
#include "bench/cli/options.hpp"
#include "bench/output/table.hpp"
#include "bench/plan/bound.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/sampling/measure.hpp"
#include "bench/sampling/streams.hpp"
#include "bench/services/load_process.hpp"
#include "models/runtime/io/ingest_connection.hpp"
#include "tests/bench/quick_campaign.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

Model const& model_called(std::string_view name) {
  return *std::find_if(all_models().begin(), all_models().end(),
                       [&](Model const& m) { return m.name == name; });
}

RunOptions options(std::vector<std::string> more) {
  std::vector<std::string> arguments{"--stream", "ingest", "--workers", "1", "--no-progress"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return quick(parse_run_options(arguments, all_models()));
}

TEST(Ingest, CellsAreConnectionsAndRates) {
  Plan const plan = make_plan(options(
      {"--model", "event_loop,limit", "--connections", "1,100", "--rate", "max,50k", "--grain", "0,1us"}));
  ASSERT_EQ(plan.cells.size(), 16u);
  ASSERT_EQ(plan.groups.size(), 8u);
  EXPECT_EQ(plan.cells[0].name(), "ingest/event_loop/workers:1/connections:1/rate:max");
  EXPECT_EQ(plan.cells[2].name(), "ingest/event_loop/workers:1/connections:1/rate:50000");
  EXPECT_EQ(plan.cells.back().name(), "ingest/limit/workers:1/connections:100/rate:50000/grain_ns:1000");
  EXPECT_EQ(plan.groups[0].name(), "ingest/workers:1/connections:1/rate:max");
}

TEST(Ingest, CellsThatAreLookedUpHaveAWait) {
  Plan const plan = make_plan(
      options({"--model", "limit", "--connections", "7", "--lookup", "--wait", "2ms,1us", "--grain", "5us"}));
  ASSERT_EQ(plan.cells.size(), 2u);
  EXPECT_EQ(plan.cells[0].name(), "ingest/limit/workers:1/connections:7/rate:max/wait_us:2000/grain_ns:5000");
  EXPECT_DOUBLE_EQ(analytic_bound(plan.cells[0], 1, 2e-3), 7 / 2.005e-3) << "connections / (wait + grain)";
  EXPECT_TRUE(options({"--lookup", "--wait", "1ms"}).notes.empty());
  EXPECT_EQ(options({"--wait", "1ms"}).notes.size(), 1u) << "without --lookup nothing waits";
}

TEST(Ingest, ACampaignOfLookupsAccountsForTheService) {
  RunOptions const asked =
      options({"--model", "event_loop,coroutines", "--connections", "4", "--rate", "5k", "--events", "500",
               "--rounds", "1", "--lookup", "--wait", "1ms", "--wait-dist", "fixed"});
  CampaignResult const result = run_campaign(asked, make_plan(asked));
  ASSERT_EQ(result.cells.size(), 2u);
  for (CellResult const& cell : result.cells) {
    ASSERT_EQ(cell.failure, "") << cell.cell.name();
    Sample const& sample = cell.samples.at(0);
    EXPECT_EQ(sample.replies, 500u);
    EXPECT_TRUE(sample.service_busy_s && *sample.service_busy_s > 0);
    ASSERT_TRUE(cell.corrected);
    EXPECT_GE(cell.corrected->at_percentile(0), 1ms) << "no event is counted before its lookup is answered";
  }
}

TEST(Ingest, WrongLoadsAreRefused) {
  for (auto const& [flag, value] : {std::pair{"--rate", "0"},
                                    {"--rate", "fast"},
                                    {"--connections", "0"},
                                    {"--arrivals", "never"},
                                    {"--coalesce", "20"},
                                    {"--disorder", "-1s"},
                                    {"--idle", "sleep"},
                                    {"--against", "/bin/true"}}) {
    EXPECT_THROW(options({flag, value}), UsageError) << flag << " " << value;
  }
}

TEST(Ingest, ACampaignHasRatesLatenciesAndWhatTheGeneratorDid) {
  RunOptions const asked =
      options({"--model", "event_loop,sequential", "--connections", "2", "--rate", "20k,max", "--events",
               "1000", "--rounds", "2", "--window", "10ms", "--disorder", "5ms"});
  CampaignResult const result = run_campaign(asked, make_plan(asked));
  ASSERT_EQ(result.cells.size(), 4u);
  for (CellResult const& cell : result.cells) {
    EXPECT_EQ(cell.failure, "") << cell.cell.name();
    ASSERT_EQ(cell.samples.size(), 2u);
    for (Sample const& sample : cell.samples) {
      EXPECT_EQ(sample.events, 1000u);
      ASSERT_TRUE(sample.load);
      EXPECT_GT(sample.load->achieved_per_s, 0);
      EXPECT_GT(sample.load->bytes, 1000u);
    }
    bool const rated = cell.cell.rate_per_s > 0;
    ASSERT_EQ(cell.corrected != nullptr, rated);
    if (!rated) continue;
    EXPECT_EQ(cell.corrected->total(), 2000u) << "of every event of both samples";
    EXPECT_EQ(cell.uncorrected->total(), 2000u);
    EXPECT_GE(cell.corrected->at_percentile(50), cell.uncorrected->at_percentile(50));
    EXPECT_GE(cell.samples[0].elapsed, 45ms) << "1000 events at 20 k/s take 50 ms";
  }
  EXPECT_NE(render_table(result).find("latency of"), std::string::npos) << render_table(result);
}

TEST(Ingest, AGeneratorThatIsLateByItselfIsTheLimitAndNotTheModel) {
  CampaignResult result;
  CellResult cell;
  cell.cell = {{.stream = StreamKind::ingest, .rate_per_s = 1e6}, &model_called("event_loop")};
  Sample sample;
  sample.events = 1'000'000;
  sample.elapsed = 1s;
  sample.load.emplace();
  sample.load->schedule_s = 1;
  sample.load->behind_s = 0.001;
  auto const with = [&](double late_s, std::uint64_t waits) {
    sample.load->late_p99_s = late_s;
    sample.load->waits = waits;
    cell.samples = {sample};
    return std::string(result.limited_by(cell));
  };
  EXPECT_EQ(with(0.1e-3, 0), "arrivals");
  EXPECT_EQ(with(50e-3, 0), "generator") << "late, and nobody made it wait";
  EXPECT_EQ(with(50e-3, 7), "arrivals") << "the server made it wait, and caught up";
  EXPECT_FALSE(is_saturated(cell));
}

TEST(Ingest, EnoughLatenciesAreThoseOfMlPerf) {
  EXPECT_EQ(latencies_needed(90), 24'576u);
  EXPECT_EQ(latencies_needed(95), 57'344u);
  EXPECT_EQ(latencies_needed(99), 270'336u);
}

/// A sample of `model` under a load, in processes of their own, as a campaign takes it.
class IngestSample : public testing::Test {
 protected:
  struct Taken {
    Sample sample;
    LatencyHistogram corrected{}, uncorrected{};
    std::string generator_failure;
    std::uint64_t sent = 0;
  };

  Taken take(IngestRun run, LoadSpec const& spec,
             std::function<void(LoadProcess&)> const& meanwhile = nullptr) {
    SyntheticEvents const keys({}, spec.events);
    LoadSchedule const schedule(spec, keys);
    IngestSpec serve;
    serve.connections = static_cast<std::uint64_t>(spec.connections);
    IngestStream const stream(serve);
    LoadProcess load(schedule, stream, {.connections_first = serve.connections, .spin = false, .cpus = {}});
    if (meanwhile) meanwhile(load);
    Model const model{.name = "model", .summary = "of a test", .ingest = run};
    auto taken = std::make_unique<Taken>();
    taken->sample = measure(model, stream, {.workers = 1, .cpus = {}}, schedule.reference({}, 0ns),
                            {30s, signals_, {load.pidfd()}})
                        .sample;
    stream.add_latencies(taken->corrected, taken->uncorrected);
    if (!taken->sample.failure.empty()) {  // here, because the generator ended
      pollfd ended{.fd = load.pidfd(), .events = POLLIN, .revents = 0};
      ::poll(&ended, 1, -1);
    }
    taken->generator_failure = load.failure().value_or("");
    taken->sent = load.account().events;
    return *taken;
  }

  StopSignals signals_;
};

Counts serves(IngestStream const& stream, Setup const& setup, Stopwatch& watch) {
  return model_called("event_loop").ingest(stream, setup, watch);
}

constexpr std::uint64_t kToBeStopped = 60'000;

/// Stopped for 100 ms when it has counted a few of the events, as by an operator or a hypervisor: so early
/// that the pause is over before the last are sent, also on a machine where the one that stops it waits long
/// for a CPU.
Counts is_stopped_for_a_while(IngestStream const& stream, Setup const& setup, Stopwatch& watch) {
  pid_t const server = ::getpid();
  pid_t const stopper = ::fork();
  if (stopper == 0) {
    while (stream.tally(0).totals().events < kToBeStopped / 60) ::usleep(1000);
    ::kill(server, SIGSTOP);
    ::usleep(100'000);
    ::kill(server, SIGCONT);
    ::_exit(0);
  }
  Counts counts = serves(stream, setup, watch);
  ::waitpid(stopper, nullptr, 0);
  return counts;
}

TEST_F(IngestSample, AStoppedServerShowsInTheLatencies) {
  LoadSpec const spec{.events = kToBeStopped, .rate_per_s = 100'000, .connections = 10};
  Taken const taken = take(is_stopped_for_a_while, spec);
  ASSERT_EQ(taken.sample.failure, "");
  EXPECT_EQ(taken.corrected.total(), spec.events);
  // Of the events that were due before the pause was 10 ms old, all that had not been counted before it were
  // counted 90 ms later or more: a thousand, but for what chance makes of their arrivals, or on a machine
  // that had fallen behind, more.
  EXPECT_GE(taken.corrected.above(90ms), 800u);
  EXPECT_GE(taken.corrected.at_percentile(99.9), 90ms);
}

TEST_F(IngestSample, AModelThatStopsServingFailsInWordsOfTheGenerator) {
  LoadSpec const spec{.events = 1000, .rate_per_s = 10'000, .connections = 1};
  Taken const taken = take(
      [](IngestStream const& stream, tally::Setup const&, Stopwatch& watch) -> Counts {
        watch.worker_ready();
        Acceptor acceptor(stream);
        stream.listening();
        OwnedFd socket;
        while ((socket = acceptor.accept()).get() < 0) ::usleep(1000);
        socket.reset();  // with what the client has sent unread: a reset
        for (;;) ::pause();
      },
      spec);
  EXPECT_NE(taken.sample.failure, "");
  EXPECT_NE(taken.generator_failure.find("the server ended connection 1 of 1"), std::string::npos)
      << taken.generator_failure;
}

TEST_F(IngestSample, AKilledGeneratorIsNamedAndNothingHangs) {
  LoadSpec const spec{.events = 100'000, .rate_per_s = 10'000, .connections = 3};
  Taken const taken = take(serves, spec, [](LoadProcess& load) { ::kill(load.pid(), SIGKILL); });
  EXPECT_NE(taken.sample.failure, "");
  EXPECT_NE(taken.generator_failure.find("killed by signal 9"), std::string::npos) << taken.generator_failure;
}

/// Of the generator beside a server that does not read until its sender waits.
LoadAccount const* sent = nullptr;

TEST_F(IngestSample, ASlowServerMakesItsSendersWait) {
  // More than the sockets between them hold.
  LoadSpec const spec{.events = 400'000, .rate_per_s = 20'000'000, .connections = 1};
  Taken const taken = take(
      [](IngestStream const& stream, tally::Setup const&, Stopwatch& watch) -> Counts {
        watch.worker_ready();
        Acceptor acceptor(stream);
        stream.listening();
        ServedConnection connection;
        while ((connection.socket = acceptor.accept()).get() < 0) ::usleep(1000);
        auto const* const waits = static_cast<std::uint64_t const volatile*>(&sent->waits);
        while (*waits == 0) ::usleep(1000);
        auto const buffer = std::make_unique<ReadBuffer>();
        while (receive_ready(connection, stream, 0, *buffer) != Arrived::the_end) {
          pollfd fd{.fd = connection.socket.get(), .events = POLLIN, .revents = 0};
          ::poll(&fd, 1, -1);
        }
        return merged_counts(stream, watch);
      },
      spec, [](LoadProcess& load) { sent = &load.account(); });
  EXPECT_EQ(taken.sample.failure, "");
  EXPECT_EQ(taken.sample.events, spec.events) << "late, but none is left out";
}

}  // namespace
}  // namespace tally
