// Programs as models: what they print, and what they start.
#include "models/external/external.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/base/usage_error.hpp"
#include "bench/plan/external_models.hpp"
#include "models/external/process.hpp"
#include "models/runtime/processes.hpp"
#include "tests/bench/bench_models.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;
using Pieces = std::vector<std::string>;

Counts read_counts(std::string_view printed, CountRules const& rules, Counts into,
                   std::size_t at_once = SIZE_MAX) {
  CountReader reader(rules, into);
  while (!printed.empty()) {
    reader.add(printed.substr(0, at_once));
    printed.remove_prefix(std::min(at_once, printed.size()));
  }
  reader.end();
  return into;
}

std::string why_not(std::string_view printed, CountRules const& rules = {}, Counts into = Counts::dense(10)) {
  try {
    read_counts(printed, rules, std::move(into));
  } catch (ExternalFailed const& e) {
    return e.what();
  }
  return "";
}

constexpr CountRules kWindows{.window = 20ms, .lines_max = 100, .windows_max = 5};

TEST(ProgramsCounts, AreReadInAnyOrderAndInPiecesOfAnyLength) {
  for (std::size_t const at_once : {std::size_t{1}, std::size_t{3}, SIZE_MAX}) {
    Counts const counts = read_counts("5\t7\n12\t0\n", {}, Counts::dense(10), at_once);
    EXPECT_EQ(counts.events, 17u);
    auto const totals = counts.totals();
    ASSERT_EQ(totals.size(), 2u);
    EXPECT_EQ(totals[0].key, "0");
    EXPECT_EQ(totals[0].count, 12u);
  }
}

TEST(ProgramsCounts, OfWindowsAreCalledByTheirStart) {
  Counts const dense = read_counts("0.08\t5\t7\n0\t1\t7\n", kWindows, Counts::dense(10));
  ASSERT_EQ(dense.windows().size(), 2u);
  EXPECT_EQ(dense.windows()[1].window, 4);
  Counts const text = read_counts("0.080\t5\tx\n0.000000000\t1\tx y\n", kWindows, Counts::text());
  ASSERT_EQ(text.windows().size(), 2u);
  EXPECT_EQ(text.windows()[1].window, 80'000'000);
  EXPECT_EQ(text.window_totals(0)[0].key, "x y");
}

TEST(ProgramsCounts, AreRefusedWithTheLineAndTheReason) {
  EXPECT_NE(why_not("x\n").find("expected count<TAB>key, in the line \"x\""), std::string::npos);
  for (char const* const line : {"0\t1\n", "-1\t1\n", "+1\t1\n", "01\t1\n", " 1\t1\n", "1.0\t1\n", "\t1\n",
                                 "18446744073709551616\t1\n"})
    EXPECT_NE(why_not(line).find("a count is a decimal number from 1 on"), std::string::npos) << line;
  for (char const* const line : {"1\t10\n", "1\t01\n", "1\tx\n", "1\t1\r\n", "1\t1\t1\n", "1\t-1\n"})
    EXPECT_NE(why_not(line).find("keys are numbers from 0 to 9"), std::string::npos) << line;
  EXPECT_NE(why_not("1\t\n").find("the key is empty"), std::string::npos);
  EXPECT_NE(why_not("1\t1\n2\t1\n").find("the key was there before"), std::string::npos);
  EXPECT_NE(why_not("1\tx\n2\tx\n", {}, Counts::text()).find("the key was there before"), std::string::npos);
  EXPECT_NE(why_not("1\t1").find("it has no end"), std::string::npos);
  EXPECT_NE(why_not("1\t1\n1\t2\n", {.lines_max = 1}).find("more than the 1 lines"), std::string::npos);
  EXPECT_NE(why_not(std::string(10'000, 'x')).find("longer than"), std::string::npos);
  EXPECT_NE(why_not("1\t" + std::string(CountReader::kMaxKeyBytes + 1, 'x') + "\n", {}, Counts::text())
                .find("longer"),
            std::string::npos);
}

TEST(ProgramsCounts, OfNoWindowThatThereIsAreRefused) {
  for (char const* const line : {"x\t1\t1\n", "-1\t1\t1\n", "1e3\t1\t1\n", ".5\t1\t1\n", "0.\t1\t1\n",
                                 "0.0000000001\t1\t1\n", "99999999999\t1\t1\n"})
    EXPECT_NE(why_not(line, kWindows).find("a window's start is in seconds"), std::string::npos) << line;
  EXPECT_NE(why_not("0.03\t1\t1\n", kWindows).find("no window starts there"), std::string::npos);
  EXPECT_NE(why_not("0.1\t1\t1\n", kWindows).find("no event is in that window"), std::string::npos);
  EXPECT_NE(why_not("1\n", kWindows).find("expected window_start<TAB>count<TAB>key"), std::string::npos);
  EXPECT_NE(why_not("0\t1\n", kWindows).find("expected window_start<TAB>count<TAB>key"), std::string::npos);
}

TEST(ProgramsCounts, ThatAreRubbishAreReadOrRefusedAndNothingElse) {
  // What is read is the same whatever pieces it came in.
  std::string const alphabet = "0123456789.\t\n-x\r\0 9";
  std::mt19937 random(7);
  int read = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string printed = "1\t1\n0.02\t3\t4\n";
    printed.resize(random() % (printed.size() + 1));
    for (auto n = random() % 8; n > 0; --n)
      printed.insert(random() % (printed.size() + 1), 1, alphabet[random() % alphabet.size()]);
    CountRules const& rules = i % 2 == 0 ? kWindows : CountRules{};
    auto const result = [&](std::size_t at_once) {
      try {
        Counts const counts =
            read_counts(printed, rules, i % 4 < 2 ? Counts::dense(10) : Counts::text(), at_once);
        ++read;
        return "read " + std::to_string(counts.events);
      } catch (ExternalFailed const& e) {
        return std::string(e.what());
      }
    };
    ASSERT_EQ(result(1), result(SIZE_MAX)) << printed;
  }
  EXPECT_GT(read, 100);
}

TEST(Placeholders, AreFilledAndOtherBracesAreThemselves) {
  auto const fill = [](std::string_view text) {
    return fill_placeholders(text, [](std::string_view name) { return "<" + std::string(name) + ">"; });
  };
  EXPECT_EQ(fill("--port={port}:{in_flight}"), "--port=<port>:<in_flight>");
  EXPECT_EQ(fill("{c[$1]++} END {for (k in c) print}"), "{c[$1]++} END {for (k in c) print}");
  EXPECT_EQ(fill("{{print}}"), "{print}");
  EXPECT_EQ(fill("{{{port}}}"), "{{port}}");
  EXPECT_EQ(fill("{"), "{");
  EXPECT_EQ(fill("{}"), "{}");
  EXPECT_EQ(fill("{port"), "{port");
  EXPECT_EQ(fill("{Port}"), "{Port}");
  EXPECT_EQ(fill(""), "");
}

TEST(Commands, AreSplitAsAShellSplitsThem) {
  EXPECT_EQ(split_command(""), Pieces());
  EXPECT_EQ(split_command("  a  b\tc\n"), (Pieces{"a", "b", "c"}));
  EXPECT_EQ(split_command(R"(a 'b c' "d e" f\ g)"), (Pieces{"a", "b c", "d e", "f g"}));
  EXPECT_EQ(split_command(R"(a'b'"c"d '' "")"), (Pieces{"abcd", "", ""}));
  EXPECT_EQ(split_command(R"("\"\\\n" '\n' \n)"), (Pieces{R"("\\n)", R"(\n)", "n"}));
  EXPECT_EQ(split_command(R"($HOME * | ;)"), (Pieces{"$HOME", "*", "|", ";"}));
  EXPECT_THROW(split_command("a 'b"), std::invalid_argument);
  EXPECT_THROW(split_command("a \"b"), std::invalid_argument);
  EXPECT_THROW(split_command("a \\"), std::invalid_argument);
}

TEST(ExternalPrograms, RunOnTheStreamThatTheirPlaceholdersName) {
  ExternalModels const models({"one=x {events}", "two=y {port} {count}", "one=z {port}"}, kTestModels);
  ASSERT_EQ(models.rows().size(), 2u);
  Model const& one = models.rows()[0];
  EXPECT_EQ(one.name, "one");
  EXPECT_TRUE(one.cpu && one.ingest && !one.lookup);
  EXPECT_EQ(one.external->ingest, (Pieces{"z", "{port}"}));
  EXPECT_TRUE(models.rows()[1].lookup && !models.rows()[1].cpu);
  EXPECT_TRUE(one.candidate);
  EXPECT_FALSE(one.sequential);
}

TEST(ExternalPrograms, ThatHaveTheNameOfAModelAreRefused) {
  EXPECT_THROW(ExternalModels({"fibers=x {events}"}, kTestModels), UsageError);
}

/// In a process of its own, as a sample's is: there are other children in the test's. True if `body` threw
/// nothing and returned true.
template <class Body>
bool in_child(Body body) {
  pid_t const pid = ::fork();
  if (pid == 0) {
    bool good = false;
    try {
      good = body();
    } catch (std::exception const& e) {
      std::fprintf(stderr, "%s\n", e.what());
    }
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(AnExternalProcess, SaysItsWordsAndItsCountsAndEnds) {
  EXPECT_TRUE(in_child([] {
    ExternalProcess program(
        {"sh", "-c", "echo ready; read word; echo done; printf '3\\t4\\n'; test $word = go"}, 10s);
    program.expect("ready");
    program.go();
    program.expect("done");
    Counts counts = Counts::dense(10);
    CountReader reader({}, counts);
    program.read_counts(reader);
    program.finish();
    return counts.events == 3 && program.memory_bytes() > 100'000;
  }));
}

TEST(AnExternalProcess, LeavesNothingBehindWhereverItHid) {
  EXPECT_TRUE(in_child([] {
    {
      ExternalProcess program(
          {"sh", "-c", "setsid sh -c 'sleep 1004 & sleep 1004' & echo ready; exec sleep 1004"}, 10s);
      program.expect("ready");
    }
    return descendants_of(::getpid()).empty();
  }));
}

TEST(AnExternalProcess, IsNamedWithTheEndOfWhatItSaid) {
  EXPECT_TRUE(in_child([] {
    ExternalProcess program({"sh", "-c", "seq 100000 >&2; echo 'last words' >&2; exit 4"}, 10s);
    try {
      program.expect("ready");
    } catch (ExternalFailed const& e) {
      std::string const said = e.what();
      return said.find("exited with status 4") != std::string::npos &&
             said.find("last words") != std::string::npos && said.size() < 2000;
    }
    return false;
  }));
}

TEST(AnExternalProcess, WaitsNoLongerThanItsPatience) {
  EXPECT_TRUE(in_child([] {
    ExternalProcess program({"sleep", "1004"}, 100ms);
    try {
      program.expect("ready");
    } catch (ExternalFailed const& e) {
      return std::string(e.what()).find("no 'ready' within 100 ms: killed") != std::string::npos;
    }
    return false;
  }));
}

}  // namespace
}  // namespace tally
