#include "bench/cli/options.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "bench/base/units.hpp"
#include "bench/cli/benchmark_flags.hpp"
#include "bench/plan/defaults.hpp"
#include "bench/plan/run_options.hpp"
#include "tests/bench/bench_models.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;
using Arguments = std::vector<std::string>;

/// What the command line is refused with; "" if it is taken.
std::string refusal_of_options(Arguments const& arguments) {
  try {
    parse_test_options(arguments);
  } catch (UsageError const& error) {
    return error.what();
  }
  return "";
}

void expect_refusal(Arguments const& arguments, std::vector<std::string> const& said) {
  std::string const message = refusal_of_options(arguments);
  EXPECT_NE(message, "") << arguments.front() << " was taken";
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  for (auto const& part : said)
    EXPECT_NE(message.find(part), std::string::npos) << part << " is not in: " << message;
}

TEST(Units, DurationsAreReadExactly) {
  EXPECT_EQ(parse_duration("--x", "1.5ms"), 1'500'000ns);
  EXPECT_EQ(parse_duration("--x", "0.001us"), 1ns);
  EXPECT_EQ(parse_duration("--x", "2s"), 2s);
  EXPECT_EQ(parse_duration("--x", "7ns"), 7ns);
  EXPECT_EQ(parse_duration("--x", "0"), 0ns);
  EXPECT_EQ(parse_duration("--x", "9223372036854775807ns"), std::chrono::nanoseconds::max());
}

TEST(Units, DurationsThatAreNoneAreRefused) {
  for (auto const* text : {"", "5", "5m", "5 ms", "ms", "-1ms", "1.5ns", "1.ms", "1..5ms", "1e3ms", "0x5s",
                           "1.5.2s", "9223372036854775808ns", "99999999999999999999s", "10000000000s"}) {
    EXPECT_THROW(parse_duration("--x", text), UsageError) << text;
  }
}

TEST(Units, CountsTakePrefixesAndAreReadExactly) {
  EXPECT_EQ(parse_count("--x", "1.5k"), 1500u);
  EXPECT_EQ(parse_count("--x", "50M"), 50'000'000u);
  EXPECT_EQ(parse_count("--x", "2G"), 2'000'000'000u);
  EXPECT_EQ(parse_count("--x", "18446744073709551615"), UINT64_MAX);
  for (auto const* text :
       {"", "k", "1.5", "-1", "+1", "1K", "1m", "1e6", "18446744073709551616", "0.0001k"}) {
    EXPECT_THROW(parse_count("--x", text), UsageError) << text;
  }
  EXPECT_THROW(parse_count("--x", "11", 1, 10), UsageError);
  EXPECT_THROW(parse_count("--x", "0", 1, 10), UsageError);
}

TEST(Units, NumbersAreFiniteAndWhole) {
  EXPECT_EQ(parse_number("--x", "1.25", 0, 10), 1.25);
  for (auto const* text : {"", "nan", "inf", "1,5", "1.5x", "-0.1", "10.1"}) {
    EXPECT_THROW(parse_number("--x", text, 0, 10), UsageError) << text;
  }
}

TEST(Units, FormattedDurationsAreReadBackAsTheSame) {
  EXPECT_EQ(format_duration(1'500'000ns), "1.5ms");
  EXPECT_EQ(format_duration(1us), "1us");
  EXPECT_EQ(format_duration(0ns), "0");
  EXPECT_EQ(format_duration(75s), "75s");
  for (auto const duration : {1ns, 999ns, 1'001ns, 1'000'001ns, 123'456'789ns, 10'000'000'050ns}) {
    EXPECT_EQ(parse_duration("--x", format_duration(duration)), duration) << format_duration(duration);
  }
}

TEST(Units, ScaledNumbersHaveThreeDigits) {
  EXPECT_EQ(format_scaled(0), "0");
  EXPECT_EQ(format_scaled(256), "256");
  EXPECT_EQ(format_scaled(204'321), "204 k");
  EXPECT_EQ(format_scaled(999'600), "1.00 M");
  EXPECT_EQ(format_scaled(3.52e9), "3.52 G");
  EXPECT_EQ(format_seconds(4.7e-6), "4.70 us");
  EXPECT_EQ(format_bytes(1536.0 * 1024), "1.50 MiB");
  EXPECT_EQ(format_fixed(0.9514, 3), "0.951");
  EXPECT_EQ(format_fixed(7, 0), "7");
  EXPECT_EQ(format_percent(0.0251, 1), "2.5%");
}

TEST(Options, DefaultsAreThoseOfTheTableOfDefaults) {
  auto const options = parse_test_options({});
  ASSERT_EQ(options.models.size(), kTestModels.size() - 1) << "all that can run";
  EXPECT_EQ(options.streams, (std::vector{StreamKind::cpu, StreamKind::lookup}));
  EXPECT_FALSE(options.events);
  EXPECT_EQ(options.keys.keys, defaults::kKeys);
  EXPECT_EQ(options.min_rounds, defaults::kMinRounds);
  EXPECT_EQ(options.max_rounds, defaults::kMaxRounds);
  EXPECT_EQ(options.ci, defaults::kCi);
  EXPECT_EQ(options.time_budget, defaults::kTimeBudget);
  EXPECT_EQ(options.sample_timeout, defaults::kSampleTimeout);
  EXPECT_FALSE(options.service);
  EXPECT_TRUE(options.workers.empty());
  EXPECT_TRUE(options.grains.empty());
  EXPECT_TRUE(options.shuffle);
  EXPECT_TRUE(options.progress);
}

TEST(Options, AModelThatIsNotByDefaultRunsWhereItIsNamedOrAllAre) {
  std::vector<Model> models(kTestModels.begin(), kTestModels.end());
  Model& variant = models[3];
  variant.by_default = false;
  auto const asked = [&](Arguments const& arguments) { return parse_run_options(arguments, models).models; };
  auto const by_default = asked({});
  EXPECT_EQ(by_default.size(), models.size() - 2) << "nor what cannot run";
  EXPECT_EQ(std::count(by_default.begin(), by_default.end(), &variant), 0);
  EXPECT_EQ(asked({"--model", "fibers"}), std::vector<Model const*>{&variant});
  auto const all = asked({"--model", "all"});
  EXPECT_EQ(all.size(), models.size() - 1);
  EXPECT_EQ(std::count(all.begin(), all.end(), &variant), 1);
}

TEST(Options, EveryOptionArrivesWhereItBelongs) {
  auto const options = parse_test_options({"--model",
                                           "fibers,limit",
                                           "--stream",
                                           "lookup",
                                           "--events",
                                           "1.5M",
                                           "--keys",
                                           "16M",
                                           "--skew",
                                           "1.1",
                                           "--seed",
                                           "7",
                                           "--window",
                                           "1.5ms",
                                           "--workers",
                                           "1,2",
                                           "--grain",
                                           "0,10us",
                                           "--batch",
                                           "1,4k,auto",
                                           "--wait",
                                           "50us",
                                           "--wait-dist",
                                           "lognormal",
                                           "--rounds",
                                           "3:5",
                                           "--in-flight",
                                           "1,9k",
                                           "--ci",
                                           "3%",
                                           "--service",
                                           "redis://127.0.0.1:6379",
                                           "--time-budget",
                                           "10s",
                                           "--out",
                                           "r.json",
                                           "--sample-timeout",
                                           "2s",
                                           "--order-seed",
                                           "9",
                                           "--no-progress"});
  ASSERT_EQ(options.models.size(), 2u);
  EXPECT_EQ(options.models[0]->name, "fibers");
  EXPECT_EQ(options.streams, std::vector{StreamKind::lookup});
  EXPECT_EQ(options.events, 1'500'000u);
  EXPECT_EQ(options.keys.keys, 16'000'000u);
  EXPECT_EQ(options.keys.skew, 1.1);
  EXPECT_EQ(options.keys.seed, 7u);
  EXPECT_EQ(options.window, 1'500'000ns);
  EXPECT_EQ(options.workers, (std::vector{1, 2}));
  EXPECT_EQ(options.grains, (std::vector<std::chrono::nanoseconds>{0ns, 10us}));
  EXPECT_EQ(options.batches, (std::vector<std::uint64_t>{1, 4000, kAutoBatch}));
  EXPECT_EQ(options.waits, (std::vector<std::chrono::nanoseconds>{50us}));
  EXPECT_EQ(options.wait_distribution, WaitDistribution::lognormal);
  EXPECT_EQ(options.in_flights, (std::vector{1, 9000}));
  ASSERT_TRUE(options.service);
  EXPECT_EQ(options.service->host, "127.0.0.1");
  EXPECT_EQ(options.service->port, 6379);
  EXPECT_EQ(options.min_rounds, 3);
  EXPECT_EQ(options.max_rounds, 5);
  EXPECT_DOUBLE_EQ(options.ci, 0.03);
  EXPECT_EQ(options.time_budget, 10s);
  EXPECT_EQ(options.sample_timeout, 2s);
  EXPECT_EQ(options.order_seed, 9u);
  EXPECT_EQ(options.out, "r.json");
  EXPECT_FALSE(options.progress);
  EXPECT_EQ(options.command_line.size(), 41u);
}

TEST(Options, LinesOfAFileHaveALargerBatchByDefault) {
  auto const batches_with = [](Arguments const& more) {
    Arguments arguments{"--input", "f"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return parse_test_options(arguments).batches;
  };
  EXPECT_EQ(batches_with({}), std::vector(defaults::kTextBatches.begin(), defaults::kTextBatches.end()));
  EXPECT_EQ(batches_with({"--batch", "3"}), std::vector<std::uint64_t>{3});
}

TEST(Options, ZeroEventsAreValid) { EXPECT_EQ(parse_test_options({"--events", "0"}).events, 0u); }

TEST(Options, ListsMayBeGivenInPieces) {
  EXPECT_EQ(parse_test_options({"--workers", "1", "--workers", "2,3"}).workers, (std::vector{1, 2, 3}));
}

TEST(Options, WhatIsUnknownIsRefusedWithTheValidValues) {
  expect_refusal({"--model", "goroutines"}, {"goroutines", "sequential", "threads", "fibers", "limit"});
  expect_refusal({"--model", "absent"}, {"absent", "needs a moon base"});
  expect_refusal({"--stream", "tcp"}, {"tcp", "cpu, lookup, ingest"});
  expect_refusal({"--wait-dist", "normal"}, {"exponential, fixed, lognormal"});
  expect_refusal({"--grain", "1m"}, {"--grain", "'m'", "ns, us, ms or s"});
  expect_refusal({"--grain", "10"}, {"unit is missing", "ns, us, ms or s"});
  expect_refusal({"--worker", "2"}, {"--worker", "--workers", "--in-flight"});
  expect_refusal({"--benchmark_fliter=x"}, {"--benchmark_fliter", "--benchmark_filter"});
  expect_refusal({"fibers"}, {"unexpected argument 'fibers'"});
  expect_refusal({"--model", "cpu_only", "--stream", "lookup"}, {"cpu_only", "lookup"});
}

TEST(Options, NumbersOutsideTheirLimitsAreRefused) {
  for (Arguments const& arguments : std::vector<Arguments>{
           {"--workers", "0"},    {"--workers", "-1"}, {"--workers", "1.5"},    {"--keys", "0"},
           {"--keys", "17M"},     {"--batch", "0"},    {"--in-flight", "0"},    {"--in-flight", "2M"},
           {"--skew", "-1"},      {"--skew", "11"},    {"--skew", "x"},         {"--events", "-1"},
           {"--events", "many"},  {"--grain", "-1us"}, {"--wait", "-1ms"},      {"--rounds", "0"},
           {"--rounds", "5:3"},   {"--rounds", "3:"},  {"--rounds", ":3"},      {"--ci", "0"},
           {"--ci", "100%"},      {"--ci", "-3%"},     {"--time-budget", "0s"}, {"--sample-timeout", "0"},
           {"--workers", "1,,2"}, {"--workers", ""},   {"--workers", "1,"},     {"--seed", "x"},
           {"--workers"},         {"--out", ""},       {"--seed", "-1"}}) {
    expect_refusal(arguments, {"--"});
  }
}

TEST(Options, FlagsOfAStreamThatIsNotMeasuredAreNoted) {
  EXPECT_EQ(parse_test_options({"--stream", "cpu", "--in-flight", "5", "--batch", "5"}).notes,
            (Arguments{"--in-flight changes nothing: it is for --stream lookup, which is not measured"}));
  EXPECT_EQ(parse_test_options({"--stream", "lookup", "--in-flight", "5", "--batch", "5"}).notes,
            (Arguments{"--batch changes nothing: it is for --stream cpu, which is not measured"}));
  EXPECT_EQ(parse_test_options({"--in-flight", "5", "--batch", "5"}).notes, Arguments{});
}

TEST(Options, ServicesAreUrls) {
  EXPECT_EQ(parse_test_options({"--service", "redis://localhost:1"}).service->port, 1);
  EXPECT_FALSE(parse_test_options({"--service", "embedded"}).service);
  EXPECT_FALSE(parse_test_options({}).service);
  expect_refusal({"--service", "127.0.0.1:80"}, {"--service", "redis://HOST:PORT"});
}

TEST(Options, AServiceThatIsNotOursHasNoWaitUnlessOneIsGiven) {
  EXPECT_EQ(parse_test_options({"--service", "redis://localhost:1"}).waits, std::vector{0ns});
  EXPECT_EQ(parse_test_options({"--service", "redis://localhost:1", "--wait", "5us"}).waits,
            (std::vector<std::chrono::nanoseconds>{5us}));
  EXPECT_NE(parse_test_options({"--service", "embedded"}).waits, std::vector{0ns});
}

TEST(Options, PasswordsAreInNoCommandLineAndInNoMessage) {
  auto const options = parse_test_options({"--service=redis://:secret@localhost:1/2", "--seed", "4"});
  EXPECT_EQ(options.service->password, "secret");
  EXPECT_EQ(options.command_line, (Arguments{"--service=redis://localhost:1/2", "--seed", "4"}));
  for (Arguments const& arguments : std::vector<Arguments>{{"--service", "redis://u:secret@localhost"},
                                                           {"--servce=redis://:secret@localhost:1"},
                                                           {"redis://:secret@localhost:1"},
                                                           {"--service", "rediss://:secret@localhost:1"}}) {
    std::string const said = refusal_of_options(arguments);
    EXPECT_NE(said, "");
    EXPECT_EQ(said.find("secret"), std::string::npos) << said;
  }
}

TEST(Options, APasswordIsReadFromTheEnvironmentWhereTheUrlHasNone) {
  ::setenv(kRedisPasswordVariable, "of the environment", 1);
  EXPECT_EQ(parse_test_options({"--service", "redis://localhost:1"}).service->password, "of the environment");
  EXPECT_EQ(parse_test_options({"--service", "redis://:own@localhost:1"}).service->password, "own");
  ::unsetenv(kRedisPasswordVariable);
  EXPECT_EQ(parse_test_options({"--service", "redis://localhost:1"}).service->password, "");
}

TEST(Options, AFileIsCountedOnTheCpuStreamAlone) {
  auto const options = parse_test_options(
      {"--input", "access.log", "--format", "clf", "--key", "host", "--window", "60s", "--repeat", "3"});
  EXPECT_EQ(options.streams, std::vector{StreamKind::cpu});
  EXPECT_EQ(options.input, "access.log");
  EXPECT_EQ(options.text.format, TextFormat::clf);
  EXPECT_EQ(options.text.key, "host");
  EXPECT_EQ(options.text.window, 60s);
  EXPECT_EQ(options.text.repeat, 3u);
  expect_refusal({"--input", "f", "--stream", "lookup"}, {"lookup", "synthetic"});
  expect_refusal({"--input", "f", "--stream", "cpu,lookup"}, {"lookup", "synthetic"});
}

TEST(Options, OptionsOfTheOtherKindOfEventsAreRefused) {
  expect_refusal({"--input", "f", "--keys", "5"}, {"--keys", "synthetic"});
  expect_refusal({"--input", "f", "--events", "5"}, {"--events", "--repeat"});
  expect_refusal({"--key", "host"}, {"--key", "--input"});
  expect_refusal({"--repeat", "2"}, {"--repeat", "--input"});
  expect_refusal({"--input", "f", "--format", "xml"}, {"xml", "lines, clf"});
  expect_refusal({"--input", "f", "--format", "csv"}, {"csv", "a column, by name or number"});
  expect_refusal({"--input", "f", "--window", "1ms"}, {"--window", "whole seconds"});
  expect_refusal({"--input", "f", "--time", "1"}, {"--time", "--window"});
  expect_refusal({"--input", "f", "--format", "clf", "--key", "referer"}, {"referer", "host"});
}

TEST(Options, HelpIsAskedForNotAnError) { EXPECT_THROW(parse_test_options({"--help"}), HelpRequested); }

TEST(BenchmarkFlags, SpeakToTheCampaignOrAreHandedOn) {
  auto const options = parse_test_options(
      {"--benchmark_list_tests", "--benchmark_filter=-cpu/.*", "--benchmark_format=json",
       "--benchmark_out=x.csv", "--benchmark_out_format=csv", "--benchmark_repetitions=5",
       "--benchmark_min_time=0.5s", "--benchmark_min_warmup_time=0.25",
       "--benchmark_enable_random_interleaving=false", "--benchmark_report_aggregates_only=true",
       "--benchmark_display_aggregates_only=1", "--benchmark_context=a=b,c=d=e", "--benchmark_time_unit=us",
       "--benchmark_color=false", "--benchmark_counters_tabular=true", "--benchmark_perf_counters=CYCLES",
       "--v=2"});
  EXPECT_TRUE(options.benchmark.list_tests);
  EXPECT_EQ(options.benchmark.filter, "-cpu/.*");
  EXPECT_EQ(options.benchmark.format, "json");
  EXPECT_EQ(options.benchmark.out, "x.csv");
  EXPECT_EQ(options.benchmark.out_format, "csv");
  EXPECT_EQ(options.min_rounds, 5);
  EXPECT_EQ(options.max_rounds, 5);
  EXPECT_EQ(options.sample_length, 500ms);
  EXPECT_EQ(options.benchmark.min_warmup, 250ms);
  EXPECT_FALSE(options.shuffle);
  EXPECT_TRUE(options.benchmark.report_aggregates_only);
  EXPECT_TRUE(options.benchmark.display_aggregates_only);
  EXPECT_EQ(options.benchmark.context, (std::map<std::string, std::string>{{"a", "b"}, {"c", "d=e"}}));
  EXPECT_EQ(options.benchmark.passed_on,
            (Arguments{"--benchmark_time_unit=us", "--benchmark_color=false",
                       "--benchmark_counters_tabular=true", "--benchmark_perf_counters=CYCLES", "--v=2"}));
}

TEST(BenchmarkFlags, WrongValuesAreRefused) {
  expect_refusal({"--benchmark_filter=("}, {"--benchmark_filter", "regular expression"});
  expect_refusal({"--benchmark_format=xml"}, {"console, json, csv"});
  expect_refusal({"--benchmark_repetitions=0"}, {"--benchmark_repetitions"});
  expect_refusal({"--benchmark_min_time=0"}, {"--benchmark_min_time"});
  expect_refusal({"--benchmark_min_time=100x"}, {"--benchmark_min_time"});
  expect_refusal({"--benchmark_list_tests=maybe"}, {"true, false"});
  expect_refusal({"--benchmark_context=a"}, {"key=value"});
  expect_refusal({"--benchmark_time_unit=m"}, {"ns, us, ms, s"});
  expect_refusal({"--benchmark_filter", "cpu"}, {"written with ="});
}

TEST(BenchmarkFlags, TheEnvironmentHasNoSay) {
  setenv("BENCHMARK_FORMAT", "json", 1);
  setenv("BENCHMARK_MIN_TIME", "100", 1);
  setenv("NOT_BENCHMARK_FORMAT", "x", 1);
  ignore_benchmark_environment();
  EXPECT_EQ(getenv("BENCHMARK_FORMAT"), nullptr);
  EXPECT_EQ(getenv("BENCHMARK_MIN_TIME"), nullptr);
  EXPECT_NE(getenv("NOT_BENCHMARK_FORMAT"), nullptr);
}

}  // namespace
}  // namespace tally
