#include "bench/plan/plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "bench/base/atomic_file.hpp"
#include "bench/machine/system_limits.hpp"
#include "bench/plan/limits.hpp"
#include "tests/bench/bench_models.hpp"

namespace tally {
namespace {

using Arguments = std::vector<std::string>;

std::vector<std::string> names(Plan const& plan) {
  std::vector<std::string> all;
  for (Cell const& cell : plan.cells) all.push_back(cell.name());
  return all;
}

Plan plan_of(Arguments const& arguments) { return make_plan(parse_test_options(arguments)); }

TEST(CellNames, SpellTheParametersOfTheirStream) {
  EXPECT_EQ(names(plan_of({"--model", "threads", "--stream", "cpu", "--workers", "2", "--grain", "1us",
                           "--batch", "256"})),
            Arguments{"cpu/threads/workers:2/grain_ns:1000/batch:256"});
  Arguments const lookup{"--model", "fibers", "--stream", "lookup", "--workers", "2", "--in-flight", "100"};
  auto const with = [&](Arguments more) {
    more.insert(more.begin(), lookup.begin(), lookup.end());
    return names(plan_of(more));
  };
  EXPECT_EQ(with({"--wait", "1ms"}), Arguments{"lookup/fibers/workers:2/wait_us:1000/in_flight:100"});
  EXPECT_EQ(with({"--wait", "1.5us"}), Arguments{"lookup/fibers/workers:2/wait_ns:1500/in_flight:100"});
  EXPECT_EQ(with({"--wait", "1ms", "--grain", "5us"}),
            Arguments{"lookup/fibers/workers:2/wait_us:1000/in_flight:100/grain_ns:5000"});
}

TEST(Plan, IsEveryCombinationOnce) {
  auto const plan = plan_of({"--model", "threads,fibers,threads", "--stream", "cpu", "--workers", "1,2,2",
                             "--grain", "0,1us", "--batch", "1,8"});
  EXPECT_EQ(plan.cells.size(), 2u * 2 * 2 * 2);
  EXPECT_EQ(plan.groups.size(), 2u * 2 * 2);
  auto all = names(plan);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::unique(all.begin(), all.end()), all.end());
  for (auto const& group : plan.groups) {
    ASSERT_EQ(group.cells.size(), 2u);
    EXPECT_EQ(plan.cells[group.cells[0]].model->name, "threads") << "in the order of the registry";
    EXPECT_EQ(plan.cells[group.cells[0]].workers, group.workers);
  }
}

TEST(Plan, SequentialStandsOnceAndBelongsToEveryGroup) {
  auto const plan = plan_of({"--model", "fibers,sequential", "--stream", "cpu,lookup", "--workers", "1,2",
                             "--grain", "0", "--batch", "64", "--wait", "1ms", "--in-flight", "10,100"});
  EXPECT_EQ(names(plan),
            (Arguments{"cpu/sequential/workers:1/grain_ns:0/batch:64",
                       "cpu/fibers/workers:1/grain_ns:0/batch:64", "cpu/fibers/workers:2/grain_ns:0/batch:64",
                       "lookup/sequential/workers:1/wait_us:1000/in_flight:1",
                       "lookup/fibers/workers:1/wait_us:1000/in_flight:10",
                       "lookup/fibers/workers:1/wait_us:1000/in_flight:100",
                       "lookup/fibers/workers:2/wait_us:1000/in_flight:10",
                       "lookup/fibers/workers:2/wait_us:1000/in_flight:100"}));
  ASSERT_EQ(plan.groups.size(), 6u);
  for (auto const& group : plan.groups)
    EXPECT_TRUE(plan.cells[group.cells[0]].model->sequential) << group.name();
  EXPECT_EQ(plan.groups[1].name(), "cpu/workers:2/grain_ns:0/batch:64");
}

TEST(Plan, ModelsAreLeftOutOfStreamsTheyDoNotRunOn) {
  auto const plan = plan_of({"--model", "cpu_only,fibers", "--workers", "1"});
  for (Cell const& cell : plan.cells) {
    EXPECT_FALSE(cell.model->name == "cpu_only" && cell.stream == StreamKind::lookup);
  }
}

TEST(Plan, WorkersDefaultToTheUsableCpusAndOneFewerOnLookup) {
  auto const plan = plan_of({"--model", "fibers"});
  int const cpus = static_cast<int>(usable_cpus().size());
  for (Cell const& cell : plan.cells) {
    EXPECT_EQ(cell.workers, cell.stream == StreamKind::cpu ? cpus : std::max(1, cpus - 1));
  }
}

TEST(Plan, FilterKeepsWhatMatchesAndItsNegationTheRest) {
  Arguments const all{"--stream", "cpu", "--workers", "2", "--grain", "0"};
  auto const with = [&](std::string const& filter) {
    auto arguments = all;
    arguments.push_back("--benchmark_filter=" + filter);
    return names(plan_of(arguments));
  };
  std::size_t const count = plan_of(all).cells.size();
  EXPECT_EQ(with("fibers|threads"), (Arguments{"cpu/threads/workers:2/grain_ns:0/batch:1",
                                               "cpu/fibers/workers:2/grain_ns:0/batch:1"}));
  EXPECT_EQ(with("-fibers|threads").size(), count - 2);
  EXPECT_EQ(with("all").size(), count);
  EXPECT_THROW(with("^fibers"), UsageError) << "no cell is left";
}

TEST(Plan, CarriesTheNumberOfEventsIfItIsKnown) {
  EXPECT_EQ(plan_of({"--events", "5k"}).cells[0].events, 5000u);
  EXPECT_EQ(plan_of({}).cells[0].events, 0u);
}

/// What the cell of these arguments is refused with under `limits`; "" if it fits.
std::string refusal_of_plan(Arguments const& arguments, SystemLimits const& limits) {
  auto const options = parse_test_options(arguments);
  try {
    check_limits(make_plan(options), options, limits);
  } catch (UsageError const& error) {
    return error.what();
  }
  return "";
}

Arguments lookup_cell(std::string const& model, std::string const& in_flight) {
  return {"--model", model,    "--stream", "lookup",      "--workers",
          "1",       "--wait", "1ms",      "--in-flight", in_flight};
}

TEST(Limits, OpenFilesAreRefusedWithLimitAndNeed) {
  SystemLimits limits;
  limits.open_files.value = 20'000;
  EXPECT_EQ(
      refusal_of_plan(lookup_cell("fibers", "30k"), limits),
      "lookup/fibers/workers:1/wait_us:1000/in_flight:30000 needs 30064 open files, but the limit is 20000 "
      "(ulimit -n): raise it or lower --in-flight");
  EXPECT_EQ(refusal_of_plan(lookup_cell("fibers", "19936"), limits), "");
  EXPECT_NE(refusal_of_plan(lookup_cell("fibers", "19937"), limits), "");
}

TEST(Limits, AProcessForEachEventIsAnOpenFileOfTheService) {
  SystemLimits limits;
  limits.open_files.value = 20'000;
  EXPECT_EQ(refusal_of_plan(lookup_cell("processes", "19k"), limits), "");
  EXPECT_NE(refusal_of_plan(lookup_cell("processes", "20k"), limits).find("20064 open files"),
            std::string::npos);
}

TEST(Limits, TasksCountWhatIsThereAlready) {
  SystemLimits limits;
  limits.tasks = {{.name = "pids.max of the cgroup", .value = 1000, .in_use = 100}};
  EXPECT_EQ(refusal_of_plan(lookup_cell("processes", "1000"), limits),
            "lookup/processes/workers:1/wait_us:1000/in_flight:1000 needs 1064 processes beside the 100 "
            "there are, but "
            "the limit is 1000 (pids.max of the cgroup): raise it or lower --in-flight");
  EXPECT_NE(refusal_of_plan(lookup_cell("threads", "1000"), limits).find("1064 threads"), std::string::npos);
  EXPECT_EQ(refusal_of_plan(lookup_cell("threads", "836"), limits), "");
  EXPECT_NE(refusal_of_plan(lookup_cell("threads", "837"), limits), "");
  EXPECT_EQ(refusal_of_plan(lookup_cell("fibers", "1000"), limits), "") << "has no thread for each event";
}

TEST(Limits, EachOfSeveralTaskLimitsIsChecked) {
  SystemLimits limits;
  limits.tasks = {{.name = "kernel.threads-max", .value = 100'000, .in_use = 0},
                  {.name = "ulimit -u", .value = 500, .in_use = 0}};
  EXPECT_NE(refusal_of_plan(lookup_cell("threads", "1000"), limits).find("ulimit -u"), std::string::npos);
  EXPECT_NE(refusal_of_plan({"--model", "fibers", "--stream", "cpu", "--workers", "600"}, limits)
                .find("lower --workers"),
            std::string::npos);
}

TEST(Limits, ThreadsNeedMemoryMapsAndProcessesDoNot) {
  SystemLimits limits;
  limits.memory_maps.value = 10'000;
  EXPECT_NE(refusal_of_plan(lookup_cell("threads", "9000"), limits).find("vm.max_map_count"),
            std::string::npos);
  EXPECT_EQ(refusal_of_plan(lookup_cell("processes", "9000"), limits), "");
  EXPECT_EQ(refusal_of_plan(lookup_cell("fibers", "9000"), limits), "");
}

TEST(Limits, MemoryCountsEventsAndEveryTallysRows) {
  SystemLimits limits;
  limits.memory.value = 1u << 30;
  Arguments const cpu{"--model", "fibers", "--stream", "cpu", "--workers", "2"};
  auto const with = [&](Arguments const& more) {
    auto arguments = cpu;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return refusal_of_plan(arguments, limits);
  };
  EXPECT_EQ(with({"--events", "500M"}), "");
  EXPECT_NE(with({"--events", "600M"}).find("available memory"), std::string::npos) << "2 bytes each";
  EXPECT_EQ(with({"--events", "200M", "--keys", "100k"}), "");
  EXPECT_NE(with({"--events", "300M", "--keys", "100k"}), "") << "4 bytes each, since there are more keys";
  EXPECT_EQ(with({"--keys", "16M"}), "");
  EXPECT_NE(with({"--keys", "16M", "--events", "10", "--window", "1us"}).find("GiB of memory"),
            std::string::npos)
      << "ten windows";
  // Every thread of a lookup has a tally of its own.
  EXPECT_EQ(refusal_of_plan(lookup_cell("fibers", "1000"), limits), "");
  auto threads = lookup_cell("threads", "1000");
  threads.insert(threads.end(), {"--keys", "1M"});
  EXPECT_NE(refusal_of_plan(threads, limits).find("7."), std::string::npos) << "8 MB each";
}

TEST(Limits, AnotherBuildHasItsOwnEvents) {
  SystemLimits limits;
  limits.memory.value = 300u << 20;  // 100 M events of 2 bytes are 191 MiB
  Arguments arguments{"--stream", "cpu", "--model", "fibers", "--workers", "1", "--events", "100M"};
  EXPECT_EQ(refusal_of_plan(arguments, limits), "");
  arguments.insert(arguments.end(), {"--against", "/opt/tally"});
  EXPECT_NE(refusal_of_plan(arguments, limits).find("of memory"), std::string::npos);
}

TEST(Limits, ThisMachineHasAnyAndTheyAreRead) {
  auto const limits = read_system_limits();
  EXPECT_GT(limits.open_files.value, 0u);
  EXPECT_NE(limits.memory_maps.value, kNoLimit);
  EXPECT_NE(limits.memory.value, kNoLimit);
  EXPECT_FALSE(limits.tasks.empty());
  EXPECT_FALSE(usable_cpus().empty());
}

TEST(OutputFiles, AreRefusedWhereTheyCannotBeWritten) {
  auto const directory = std::filesystem::path(testing::TempDir()) / "tally_output_files";
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  EXPECT_THROW(check_output_file("--out", directory), UsageError);
  EXPECT_THROW(check_output_file("--out", directory / "none" / "r.json"), UsageError);
  EXPECT_THROW(check_output_file("--out", "/dev/full"), UsageError);
  EXPECT_THROW(check_output_file("--out", "/proc/r.json"), UsageError);
  EXPECT_THROW(check_output_file("--out", directory.string() + "/"), UsageError);
  std::ofstream(directory / "good.json") << "good";
  EXPECT_NO_THROW(check_output_file("--out", directory / "good.json"));
  EXPECT_NO_THROW(check_output_file("--out", directory / "new.json"));
  std::string content;
  std::ifstream(directory / "good.json") >> content;
  EXPECT_EQ(content, "good");
  auto const files = std::distance(std::filesystem::directory_iterator(directory), {});
  EXPECT_EQ(files, 1) << "the check leaves nothing behind";
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace tally
