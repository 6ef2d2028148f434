#include "mpi/rank_streams.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "bench/plan/run_options.hpp"
#include "mpi/agreement.hpp"
#include "mpi/merge.hpp"
#include "tests/mpi/patience.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

class RankStreamsTest : public testing::Test {
 protected:
  /// Merges every rank's reference of its own part, and expects what one loop over all of it finds.
  void expect_sequential(std::uint64_t events, std::uint64_t one_in = 1) {
    RankStreams const streams(options, LookupTarget(ServiceAddress{}), hosts);
    RankPart const part = streams.make(cell, events, 1, ranks, patience(), one_in);
    Counts merged = part.reference();
    merge_over_ranks(merged, synthetic_windows(events, options.window), ranks, patience());
    Counts whole = streams.sequential(cell, events, 1, ranks.size(), one_in);
    if (merged.kind() == KeyKind::dense) {
      if (ranks.rank() == 0) {
        EXPECT_EQ(whole.difference(merged), "");
        EXPECT_EQ(merged.events, events / one_in);
      }
      return;
    }
    if (ranks.rank() == 0) {
      EXPECT_EQ(merged.events, whole.events);
      EXPECT_EQ(merged.malformed, whole.malformed);
      EXPECT_GT(merged.events, 0u);
    }
    merged.each_text_window([&](std::int64_t start, TextMap const& map) {
      for (auto const& [key, count] : map) EXPECT_EQ(whole.text_window(start).count_of(key), count) << key;
    });
    std::uint64_t mine = 0, all = 0;
    merged.each_text_window([&](std::int64_t, TextMap const& map) { mine += map.size(); });
    whole.each_text_window([&](std::int64_t, TextMap const& map) { all += map.size(); });
    EXPECT_EQ(ranks.all_sum(mine, patience(), "keys"), all);
  }

  /// Written by rank 0, and there for all.
  void write_file(std::string const& content) {
    path = std::filesystem::temp_directory_path() /
           ("tally_rank_streams_" +
            std::to_string(ranks.all_max(static_cast<std::uint64_t>(ranks.rank() == 0 ? getpid() : 0),
                                         patience(), "a name")));
    if (ranks.rank() == 0) std::ofstream(path) << content;
    ranks.barrier(patience(), "the file is there");
    options.input = path;
  }
  void TearDown() override {
    ranks.barrier(patience(), "all have read the file");
    if (ranks.rank() == 0 && !path.empty()) std::filesystem::remove(path);
  }

  Communicator ranks = Communicator::world();
  std::vector<std::string> hosts = std::vector<std::string>(static_cast<std::size_t>(ranks.size()), "here");
  RunOptions options;
  Cell cell{{.stream = StreamKind::cpu, .ranks = ranks.size(), .hosts = 1}};
  std::filesystem::path path;
};

TEST_F(RankStreamsTest, PartsOfSyntheticEventsAreTheWhole) { expect_sequential(100'003); }

TEST_F(RankStreamsTest, PartsAreTheWholeWithSkewWindowsAndWork) {
  options.keys.skew = 1.2;
  options.keys.keys = 100'000;
  options.window = 7ms;
  cell.grain = 10ns;
  expect_sequential(50'001);
}

TEST_F(RankStreamsTest, APartMayBeEmpty) {
  expect_sequential(2);
  expect_sequential(0);
}

TEST_F(RankStreamsTest, PartsOfASmallerStreamAreItsWhole) { expect_sequential(100'000, 8); }

TEST_F(RankStreamsTest, PartsOfLookupsAreTheWhole) {
  cell.stream = StreamKind::lookup;
  options.window = 1ms;
  expect_sequential(10'001);
}

TEST_F(RankStreamsTest, PartsOfAFileAreCutAtLineEnds) {
  std::string text;
  for (int i = 0; i < 3000; ++i)
    text += "key" + std::to_string(i % 97) + std::string(static_cast<std::size_t>(i % 50), 'x') + "\n";
  write_file(text + "the last has no end");
  expect_sequential(0);
  expect_sequential(0, 4);
}

TEST_F(RankStreamsTest, AFileOfFewerLinesThanRanksIsCountedOnce) {
  write_file("one\ntwo\n");
  expect_sequential(0);
}

TEST_F(RankStreamsTest, PartsOfCsvAreCutAtRecordsThoughTheseSpanLines) {
  std::string text = "id,name\n";
  for (int i = 0; i < 2000; ++i)
    text += std::to_string(i) + ",\"a\nb, \"\"" + std::to_string(i % 13) + "\n\"\"\"\n";
  write_file(text);
  options.text.format = TextFormat::csv;
  options.text.key = "name";
  expect_sequential(0);
}

TEST_F(RankStreamsTest, LinesThatAreMalformedAreCountedOnce) {
  std::string text;
  for (int i = 0; i < 1000; ++i)
    text += i % 10 == 0 ? "{broken\n" : "{\"k\": \"" + std::to_string(i % 7) + "\"}\n";
  write_file(text);
  options.text.format = TextFormat::ndjson;
  options.text.key = "k";
  expect_sequential(0);
}

TEST_F(RankStreamsTest, AFileThatIsNotThereIsNamedWithTheRanksThatMissIt) {
  options.input = "/nowhere/events.log";
  RankStreams const streams(options, LookupTarget(ServiceAddress{}), hosts);
  try {
    streams.make(cell, 0, 1, ranks, patience());
    FAIL() << "it was read";
  } catch (RankFailed const& failed) {
    EXPECT_TRUE(failed.usage);
    if (ranks.rank() == 0) {
      EXPECT_NE(std::string(failed.what()).find("/nowhere/events.log"), std::string::npos) << failed.what();
    }
  }
}

TEST_F(RankStreamsTest, AFileThatDiffersBetweenHostsIsNamedWithTheHost) {
  if (ranks.size() == 1) GTEST_SKIP() << "there is one host";
  write_file("a\nb\nc\nd\ne\nf\ng\nh\n");
  if (ranks.rank() == 1) {
    path += ".other";
    std::ofstream(path) << "X\nX\nX\nX\nX\nX\nX\nX\n";
    options.input = path;
    hosts = {};
  }
  if (ranks.rank() == 0) hosts[1] = "elsewhere";
  cell.hosts = 2;
  RankStreams const streams(options, LookupTarget(ServiceAddress{}), hosts);
  try {
    streams.make(cell, 0, 1, ranks, patience());
    ADD_FAILURE() << "it was taken for the same";
  } catch (RankFailed const& failed) {
    EXPECT_TRUE(failed.usage);
    if (ranks.rank() == 0) {
      EXPECT_NE(std::string(failed.what()).find("rank 1 (host elsewhere"), std::string::npos)
          << failed.what();
    }
  }
  if (ranks.rank() == 1) {
    std::filesystem::remove(path);
  }
}

}  // namespace
}  // namespace tally
