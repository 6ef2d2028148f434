#include "workloads/ingest/live_tally.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <string>

#include "workloads/base/random.hpp"
#include "workloads/text/event_lines.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

/// Counts the pieces as they come, each in a buffer of its own that is exactly as long as it must be.
std::uint64_t feed(LiveTally& tally, std::vector<std::string> const& pieces, LineRules const& rules,
                   LineRest& rest) {
  std::uint64_t events = 0;
  for (std::string const& piece : pieces) {
    std::vector<char> buffer(piece.begin(), piece.end());
    buffer.resize(piece.size() + kReadAheadBytes, '\n');  // line ends, which must not be read as such
    events += tally.count({buffer.data(), piece.size()}, rest, rules);
  }
  return events;
}
std::uint64_t feed(LiveTally& tally, std::vector<std::string> const& pieces, LineRules const& rules = {}) {
  LineRest rest;
  return feed(tally, pieces, rules, rest);
}

Counts all(LiveTally& tally) {
  Counts counts = Counts::text();
  tally.take_windows(std::chrono::nanoseconds::max(), counts);
  return counts;
}

/// key -> count over all windows.
std::map<std::string, std::uint64_t> by_key(Counts const& counts) {
  std::map<std::string, std::uint64_t> keys;
  for (auto const& k : counts.totals()) keys[k.key] = k.count;
  return keys;
}

TEST(LiveTally, CountsKeysOfAnyLength) {
  auto const tally = LiveTally::make();
  std::string const longest(4096, 'x');
  EXPECT_EQ(feed(*tally, {"a\nbb\r\na\n1234567\n12345678\n12345678\n" + longest + "\n" + longest + "\na\n"}),
            9u);
  EXPECT_EQ(by_key(all(*tally)), (std::map<std::string, std::uint64_t>{
                                     {"a", 3}, {"bb", 1}, {"1234567", 1}, {"12345678", 2}, {longest, 2}}));
  EXPECT_EQ(tally->totals().events, 9u);
  EXPECT_EQ(tally->totals().malformed, 0u);
}

TEST(LiveTally, LinesMayComeInPiecesOfAnySize) {
  std::string text;
  IndexedRandom random(5, 0);
  std::map<std::string, std::uint64_t> expected;
  for (int i = 0; i < 3000; ++i) {
    std::string key = "k" + std::to_string(random.below(300));
    if (random.below(7) == 0) key += std::string(random.below(200), 'y');
    ++expected[key];
    if (random.below(3) == 0)
      text += std::to_string(random.below(1000)) + "." + std::to_string(random.below(10)) + "\t";
    text += key + (random.below(5) == 0 ? "\r\n" : "\n");
  }
  for (std::size_t const size : {1ul, 2ul, 3ul, 63ul, 64ul, 65ul, 1000ul, 65536ul}) {
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < text.size(); at += size) pieces.push_back(text.substr(at, size));
    auto const tally = LiveTally::make();
    EXPECT_EQ(feed(*tally, pieces), 3000u) << size;
    EXPECT_EQ(by_key(all(*tally)), expected) << size;
    EXPECT_EQ(tally->totals().malformed, 0u) << size;
  }
}

TEST(LiveTally, WhatIsLeftOfTwoConnectionsAndTakenForEachOthersIsADifference) {
  auto const pairs = [](bool swapped) {
    auto const tally = LiveTally::make();
    LineRest one, other;
    feed(*tally, {"1000\tk"}, {}, one);
    feed(*tally, {"2000\tk"}, {}, other);
    if (swapped) std::swap(one, other);
    feed(*tally, {"ey\n"}, {}, one);
    feed(*tally, {"ing\n"}, {}, other);
    EXPECT_EQ(by_key(all(*tally)), (std::map<std::string, std::uint64_t>{{"key", 1}, {"king", 1}}));
    return tally->totals().pairs;
  };
  EXPECT_EQ(pairs(false), pairs(false));
  EXPECT_NE(pairs(false), pairs(true));
}

TEST(LiveTally, HoldsMoreKeysAndWindowsThanItBeganWithRoomFor) {
  auto const tally = LiveTally::make();
  std::string text;
  for (int i = 0; i < 50'000; ++i)
    text += std::to_string(i % 100) + "\t" + (i % 2 == 0 ? "" : "a-longer-key-") + std::to_string(i) + "\n";
  LineRules const rules{.window = 1s};
  EXPECT_EQ(feed(*tally, {text}, rules), 50'000u);
  Counts const counts = all(*tally);
  auto const windows = counts.windows();
  ASSERT_EQ(windows.size(), 100u);
  for (std::size_t w = 0; w < 100; ++w) {
    EXPECT_EQ(windows[w].window, static_cast<std::int64_t>(w) * 1'000'000'000);
    EXPECT_EQ(windows[w].events, 500u);
    EXPECT_EQ(windows[w].distinct_keys, 500u);
  }
}

TEST(LiveTally, EventsLandInTheirWindowInWhateverOrderTheyCome) {
  auto const tally = LiveTally::make();
  LineRules const rules{.window = 60s};
  feed(*tally, {"119.999999999\ta\n60\ta\n59.9\ta\n120\tb\n0\tb\n61\tc\n"}, rules);
  Counts counts = Counts::text();
  tally->take_windows(60s, counts);
  ASSERT_EQ(counts.windows().size(), 1u);
  EXPECT_EQ(counts.windows()[0].events, 2u);
  feed(*tally, {"3\ta\n60\ta\n"}, rules);
  EXPECT_EQ(tally->totals().late, 1u) << "its window was taken";
  EXPECT_EQ(tally->totals().events, 7u) << "a late event is in no window";
  EXPECT_EQ(tally->totals().newest, 120s);
  Counts const others = all(*tally);
  ASSERT_EQ(others.windows().size(), 2u);
  EXPECT_EQ(others.windows()[0].events, 4u);
  EXPECT_EQ(others.windows()[0].distinct_keys, 2u);
}

TEST(LiveTally, TakesItsMemoryBackFromWindowsThatWereTaken) {
  auto const tally = LiveTally::make(std::size_t{24} << 20);  // room for few windows at once
  LineRules const rules{.window = 1s};
  for (int w = 0; w < 200; ++w) {
    std::string text;
    for (int k = 0; k < 5'000; ++k) text += std::to_string(w) + "\tkey-number-" + std::to_string(k) + "\n";
    ASSERT_EQ(feed(*tally, {text}, rules), 5'000u);
    Counts counts = Counts::text();
    tally->take_windows(std::chrono::seconds(w + 1), counts);
    ASSERT_EQ(counts.windows().at(0).distinct_keys, 5'000u) << "what is used again begins empty";
  }
}

TEST(LiveTally, RunsOutOfMemoryWithAnErrorAndKeepsWhatItHas) {
  auto const tally = LiveTally::make(std::size_t{2} << 20);
  std::string text;
  for (int k = 0; k < 100'000; ++k) text += "key-number-" + std::to_string(k) + "\n";
  EXPECT_THROW(feed(*tally, {text}), std::bad_alloc);
  EXPECT_GT(all(*tally).totals().size(), 1'000u);
}

TEST(LiveTally, ALineWithoutEndIsMalformedOnceAndTheConnectionLives) {
  for (std::size_t const size : {10ul, 100ul, 100'000ul}) {
    auto const tally = LiveTally::make();
    LineRules const rules{.line_max = 100};
    LineRest rest;
    std::string const text = "a\n" + std::string(50'000, 'x') + "\nb\n";
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < text.size(); at += size) {
      pieces.push_back(text.substr(at, size));
    }
    EXPECT_EQ(feed(*tally, pieces, rules, rest), 2u) << size;
    EXPECT_EQ(tally->totals().malformed, 1u) << size;
    EXPECT_LE(rest.part.capacity(), 200u) << "what is skipped is not kept";
    EXPECT_EQ(by_key(all(*tally)), (std::map<std::string, std::uint64_t>{{"a", 1}, {"b", 1}}));
    ASSERT_EQ(tally->bad_lines().size(), 1u);
    EXPECT_EQ(tally->bad_lines()[0].why, "longer than a line may be");
  }
}

TEST(LiveTally, ALineAsLongAsALineMayBeCounts) {
  LineRules const rules{.line_max = 100};
  for (std::string const end : {"\n", "\r\n"}) {
    auto const tally = LiveTally::make();
    EXPECT_EQ(
        feed(*tally, {std::string(100, 'x') + end, std::string(60, 'x'), std::string(40, 'x'), end}, rules),
        2u);
    EXPECT_EQ(feed(*tally, {std::string(101, 'x') + end}, rules), 0u);
    EXPECT_EQ(feed(*tally, {"1\t" + std::string(99, 'x') + end}, rules), 0u);
    EXPECT_EQ(tally->totals().malformed, 2u);
  }
}

TEST(LiveTally, ALineThatItsConnectionsEndCutsOffIsReported) {
  auto const tally = LiveTally::make();
  LineRest rest;
  feed(*tally, {"a\nb"}, {}, rest);
  EXPECT_TRUE(tally->end(rest));
  EXPECT_FALSE(tally->end(rest)) << "once";
  EXPECT_EQ(tally->totals().events, 1u);
  EXPECT_EQ(tally->totals().malformed, 1u);
  EXPECT_EQ(tally->totals().cut_off, 1u);
  EXPECT_EQ(tally->bad_lines()[0].text, "b");
}

TEST(LiveTally, BytesThatAreNoTextAreKeysAndArePrintableWhereTheyAreReported) {
  using namespace std::string_literals;
  auto const tally = LiveTally::make();
  EXPECT_EQ(feed(*tally, {"\0\xff\x01\n"s + "\0\0\n"s + "x\t\x1b[31m\n"s}), 2u);
  auto const keys = by_key(all(*tally));
  EXPECT_EQ(keys.at("\0\xff\x01"s), 1u);
  EXPECT_EQ(keys.at("\0\0"s), 1u);
  ASSERT_EQ(tally->bad_lines().size(), 1u);
  EXPECT_EQ(tally->bad_lines()[0].text, "x??[31m");
}

TEST(LiveTally, EmptyLinesAreMalformedAndTheFirstAreKept) {
  auto const tally = LiveTally::make();
  EXPECT_EQ(feed(*tally, {"\n\r\n\n\n\n\n\na\n"}), 1u);
  EXPECT_EQ(tally->totals().malformed, 7u);
  EXPECT_EQ(tally->bad_lines().size(), LiveTally::kBadLinesKept);
}

TEST(LiveTally, UntimedEventsAreOfWhenTheyArrive) {
  auto const tally = LiveTally::make();
  auto const now = std::chrono::system_clock::now().time_since_epoch();
  feed(*tally, {"a\n", "b\n"}, {.window = 3600s, .untimed_now = true});
  auto const windows = all(*tally).windows();
  ASSERT_GE(windows.size(), 1u);
  EXPECT_LE(std::abs(windows[0].window - std::chrono::nanoseconds(now).count()), 2 * 3'600'000'000'000);
  auto const other = LiveTally::make();
  feed(*other, {"a\n"}, {.window = 3600s});
  EXPECT_EQ(all(*other).windows().at(0).window, 0);
}

TEST(LiveTally, LatenciesAreFromWhenEventsWereDueAndFromWhenTheyWereSent) {
  auto const tally = LiveTally::make();
  std::int64_t const now_ns = std::chrono::steady_clock::now().time_since_epoch().count();
  std::string text;
  // Due two seconds ago, and sent one second late.
  for (int i = 0; i < 100; ++i) text += "1\tk\t" + std::to_string(now_ns - 2'000'000'000) + "\t1000000000\n";
  feed(*tally, {text + "k\n1\tk\n"});
  LatencyHistogram corrected{}, uncorrected{};
  tally->add_latencies(corrected, uncorrected);
  EXPECT_EQ(corrected.total(), 100u) << "lines without a stamp have no latency";
  EXPECT_EQ(uncorrected.total(), 100u);
  EXPECT_GE(corrected.at_percentile(1), 2s);
  EXPECT_GE(uncorrected.at_percentile(1), 1s);
  EXPECT_LT(uncorrected.at_percentile(100), corrected.at_percentile(1));
}

TEST(LiveTally, TheGrainsWorkIsOfTheLineAlone) {
  LineRules const rules{.window = 1s, .grain = {1ns, 10}};
  auto const one = LiveTally::make(), other = LiveTally::make();
  feed(*one, {"1\tk\n2.5\tk\n1\tsome-longer-key\n"}, rules);
  feed(*other, {"1\tsome-longer-k", "ey\n2.5\tk\n", "1\tk\n"}, rules);
  EXPECT_EQ(one->totals().checksum, other->totals().checksum);
  EXPECT_NE(one->totals().checksum, 0u);
  feed(*other, {"1.5\tk\n"}, rules);
  EXPECT_EQ(other->totals().checksum - one->totals().checksum,
            grind(event_number(short_key("k\0\0\0\0\0\0\0", 1), 1500ms), 10));
}

TEST(LiveTally, ProcessesForkedAfterItsMakingCountIntoIt) {
  auto const tally = LiveTally::make();
  constexpr int kProcesses = 4;
  for (int p = 0; p < kProcesses; ++p) {
    if (::fork() == 0) {
      for (int i = 0; i < 1000; ++i) feed(*tally, {"shared\na-longer-key\n" + std::to_string(p) + "\n"});
      ::_exit(0);
    }
  }
  for (int p = 0; p < kProcesses; ++p) ::wait(nullptr);
  auto const keys = by_key(all(*tally));
  EXPECT_EQ(keys.at("shared"), 4000u);
  EXPECT_EQ(keys.at("a-longer-key"), 4000u);
  EXPECT_EQ(keys.at("3"), 1000u);
}

TEST(LiveTally, AProcessThatDiesWhileItCountsIsNotWaitedForForEver) {
  auto const tally = LiveTally::make();
  pid_t const pid = ::fork();
  if (pid == 0) {
    // Bytes that cannot be read: the process dies with the mutex in its hands.
    ::signal(SIGSEGV, SIG_DFL);
    void* const nothing = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    LineRest rest;
    tally->count({static_cast<char const*>(nothing), 10}, rest, {});
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_THROW((void)tally->totals(), TallyLost);
  EXPECT_THROW((void)tally->totals(), TallyLost) << "from then on";
}

TEST(LiveTally, LinesOfAFormatAreReadByIt) {
  LineRules rules;
  rules.format = LineFormat{.key_field = 2, .time_field = 1, .timed = true};
  rules.window = 24h;
  for (std::size_t const size : {1ul, 17ul, 1000ul}) {
    std::string const text =
        "2024-05-01\tinstall a\n2024-05-02T10:00:00Z remove\r\n2024-05-01 \nno-date x\n1969-12-31 y\n";
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < text.size(); at += size) pieces.push_back(text.substr(at, size));
    auto const tally = LiveTally::make();
    EXPECT_EQ(feed(*tally, pieces, rules), 2u) << size;
    EXPECT_EQ(tally->totals().malformed, 3u) << "no second field, no date, before 1970";
    auto const windows = all(*tally).windows();
    ASSERT_EQ(windows.size(), 2u);
    EXPECT_EQ(windows[0].window, 1'714'521'600'000'000'000);
    EXPECT_EQ(windows[1].window - windows[0].window, 86'400'000'000'000);
  }
}

TEST(LiveTally, WhatIsToBeLookedUpIsKeptAndCountedOnceItIs) {
  auto const tally = LiveTally::make();
  std::string text = "17\n2.5\t18\n1\t19\t1000\t50\nkey\n20x\n\n";
  std::size_t const bytes = text.size();
  text.resize(bytes + kReadAheadBytes);
  LineRest rest;
  std::vector<PendingEvent> events;
  tally->read({text.data(), bytes}, rest, {}, events);
  EXPECT_EQ(tally->totals().events, 0u) << "none is counted yet";
  EXPECT_EQ(tally->totals().malformed, 3u) << "no numbers, and nothing";
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].number, 17u);
  EXPECT_EQ(events[1].number, 18u);
  EXPECT_EQ(events[1].time, 2500ms);
  EXPECT_TRUE(events[2].stamped);
  EXPECT_EQ(events[2].due + events[2].late, 1050ns);
  LineRules rules;
  rules.window = 1s;
  for (PendingEvent const& event : events) tally->count_looked_up(event, "42", rules);
  EXPECT_EQ(tally->totals().events, 3u);
  EXPECT_EQ(tally->totals().looked_up, 3u);
  Counts const counts = all(*tally);
  EXPECT_EQ(counts.windows().size(), 3u) << "by the times in the lines";
  EXPECT_EQ(by_key(counts), (std::map<std::string, std::uint64_t>{{"42", 3}}));
  auto const corrected = std::make_unique<LatencyHistogram>(),
             uncorrected = std::make_unique<LatencyHistogram>();
  tally->add_latencies(*corrected, *uncorrected);
  EXPECT_EQ(corrected->total(), 1u) << "one line has a stamp";
}

}  // namespace
}  // namespace tally
