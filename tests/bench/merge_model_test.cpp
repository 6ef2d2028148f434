#include "bench/advice/merge_model.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "bench/advice/result_file.hpp"

namespace tally {
namespace {

MergePoint dense(std::uint64_t keys, int ranks) {
  return {.kind = KeyKind::dense, .keys = keys, .ranks = ranks};
}
MergePoint text(std::uint64_t keys, int ranks, bool disjoint = false) {
  return {.kind = KeyKind::text, .keys = keys, .ranks = ranks, .disjoint = disjoint};
}

TEST(MergeShape, OfOneRankIsNothing) {
  for (MergePoint const& point : {dense(1000, 1), text(1000, 1)}) {
    MergeShape const shape = shape_of(point);
    EXPECT_EQ(shape.ways + shape.messages + shape.bytes + shape.numbers + shape.keys + shape.others_keys, 0);
  }
}

TEST(MergeShape, AFewIntegerKeysTakeATreeOfMessagesUpAndDown) {
  EXPECT_EQ(shape_of(dense(1000, 2)).ways, 1);
  EXPECT_EQ(shape_of(dense(1000, 3)).ways, 4);
  EXPECT_EQ(shape_of(dense(1000, 4)).ways, 4);
  EXPECT_EQ(shape_of(dense(2000, 1024)).ways, 20);
  EXPECT_EQ(shape_of(dense(2000, 1025)).ways, 22);
  EXPECT_EQ(shape_of(dense(1000, 2)).bytes, 8000);
  EXPECT_EQ(shape_of(dense(1000, 4)).bytes, 2 * 8000 * 0.75);
  EXPECT_EQ(shape_of(dense(1000, 3)).bytes, 2 * 8000 * 0.5 + 8000);  // the third gives its row first
}

TEST(MergeShape, FewerIntegerKeysThanRanksGoUpATreeInWholeRows) {
  EXPECT_EQ(shape_of(dense(1000, 1024)).ways, 10);
  EXPECT_EQ(shape_of(dense(1000, 10'000)).ways, 14);
  EXPECT_EQ(shape_of(dense(1000, 10'000)).bytes, 14 * 8000);
  EXPECT_EQ(shape_of(dense(1000, 10'000)).messages, 14 + 9'999);
}

TEST(MergeShape, HalvesOfARowAskForRoomAsLongAsTheyAreLong) {
  // 256 kB: the first half of it is too long to be sent at once, as is the whole that others give first.
  EXPECT_EQ(shape_of(dense(32'000, 64)).ways, 2 * (3 + 5));
  EXPECT_EQ(shape_of(dense(32'000, 100)).ways, 2 * (3 + 5) + 3 + 1);
}

TEST(MergeShape, ManyIntegerKeysGoThroughALinkTwiceWhateverTheNumberOfRanks) {
  EXPECT_EQ(shape_of(dense(1'000'000, 2)).ways, 3);  // is there room? there is: the message
  EXPECT_EQ(shape_of(dense(1'000'000, 3)).ways, 6);
  EXPECT_EQ(shape_of(dense(32'000, 3)).ways, 6);
  EXPECT_EQ(shape_of(dense(32'000, 4)).ways, 2);  // shares that are small enough not to ask
  EXPECT_DOUBLE_EQ(shape_of(dense(1'000'000, 2)).bytes, 8e6);
  EXPECT_DOUBLE_EQ(shape_of(dense(1'000'000, 4)).bytes, 2 * 8e6 * 0.75);
  EXPECT_NEAR(shape_of(dense(16u << 20, 1000)).bytes, 2 * 8.0 * (16u << 20), 0.01 * 2 * 8 * (16u << 20));
  EXPECT_DOUBLE_EQ(shape_of(dense(1'000'000, 4)).numbers, 750'000);
}

TEST(MergeShape, TextKeysGoThroughALinkOnceAndEveryTableIsGoneThrough) {
  MergeShape const all = shape_of(text(1'000'000, 4)), own = shape_of(text(1'000'000, 4, true));
  EXPECT_EQ(all.ways, 5);
  EXPECT_EQ(shape_of(text(1000, 4)).ways, 3);
  EXPECT_DOUBLE_EQ(all.keys, 1e6);
  EXPECT_DOUBLE_EQ(own.keys, 2.5e5);
  EXPECT_DOUBLE_EQ(all.others_keys, 7.5e5);
  EXPECT_DOUBLE_EQ(all.bytes, 7.5e5 * 18);
  EXPECT_DOUBLE_EQ(own.bytes, all.bytes / 4);
  EXPECT_EQ(shape_of(text(1000, 4)).uncached, 0);
  EXPECT_DOUBLE_EQ(shape_of(text(131'072, 2)).uncached, 131'072 * 2);
}

/// What a merge takes where costs are as here, told apart from the model's own sum.
double takes_s(MergePoint const& point) {
  MergeShape const s = shape_of(point);
  double const cpu_s = s.numbers * 3e-9 + s.keys * 20e-9 + s.uncached * 4e-9 + s.others_keys * 90e-9;
  if (!point.remote) return (25e-6 + s.ways * 4e-6 + s.bytes * 0.2e-9 + cpu_s) * point.ranks_per_cpu;
  return s.ways * point.way_s + s.bytes * 8e-9 + (25e-6 + s.messages * 12e-6 + cpu_s) * point.ranks_per_cpu;
}

std::vector<MeasuredMerge> measured_merges() {
  std::vector<MeasuredMerge> merges;
  for (KeyKind const kind : {KeyKind::dense, KeyKind::text})
    for (std::uint64_t const keys : {1'000u, 32'000u, 1'000'000u, 16'000'000u})
      for (int const ranks : {2, 3, 4})
        for (double const way_s : {0.0, 20e-6, 1e-3}) {
          MergePoint point{.kind = kind, .keys = keys, .ranks = ranks};
          point.remote = way_s > 0;
          point.way_s = way_s;
          point.ranks_per_cpu = ranks > 2 ? 2 : 1;
          merges.push_back(
              {.path = {}, .name = {}, .cpu_model = {}, .point = point, .median_s = takes_s(point)});
        }
  return merges;
}

TEST(MergeModel, FindsTheCostsThatMergesWereMadeOf) {
  MergeModel const model(measured_merges());
  EXPECT_NEAR(model.costs().byte_s, 8e-9, 0.02 * 8e-9);
  EXPECT_NEAR(model.costs().message_s, 12e-6, 0.05 * 12e-6);
  EXPECT_NEAR(model.costs().others_key_s, 90e-9, 0.1 * 90e-9);
  EXPECT_LT(model.typical_factor(), 1.02);
}

TEST(MergeModel, PredictsMergesThatItHasNotSeen) {
  MergeModel const model(measured_merges());
  for (MergePoint point : {dense(5'000, 10), dense(300'000, 1000), dense(16'000'000, 10'000), text(5'000, 10),
                           text(4'000'000, 100), text(100'000, 7, true)}) {
    point.way_s = 300e-6;
    EXPECT_NEAR(model.predict_s(point), takes_s(point), 0.05 * takes_s(point))
        << point.keys << " " << point.ranks;
  }
  EXPECT_EQ(model.predict_s(dense(1000, 1)), 0);
}

TEST(MergeModel, SaysNothingOfHostsWhereNoneWereMeasured) {
  auto merges = measured_merges();
  EXPECT_TRUE(MergeModel(merges).knows_hosts());
  EXPECT_DOUBLE_EQ(MergeModel(merges).shortest_way_s(), 20e-6);
  std::erase_if(merges, [](MeasuredMerge const& m) { return m.point.remote; });
  MergeModel const model(merges);
  EXPECT_FALSE(model.knows_hosts());
  EXPECT_EQ(model.costs().byte_s, 0);
}

TEST(MergeModel, TakesSomeMergesToFit) {
  auto merges = measured_merges();
  merges.resize(MergeModel::kLeastMerges - 1);
  EXPECT_THROW(MergeModel{merges}, std::invalid_argument);
}

TEST(MergingPassesCounting, WhereItTakesAsLong) {
  MergeModel const model(measured_merges());
  MergePoint merge = text(1'000'000, 2);
  merge.way_s = 20e-6;
  Hosts const hosts{merge, 1e9, 1e8};
  int const passes = merging_passes_counting(hosts, model, 100'000);
  ASSERT_GT(passes, 2);
  merge.ranks = passes;
  EXPECT_GE(model.predict_s(merge), hosts.count_s(passes));
  merge.ranks = passes - std::max(1, passes / 50);
  EXPECT_LT(model.predict_s(merge), hosts.count_s(merge.ranks));
  // Counting that takes for ever is passed by nothing, and counting that takes no time at once.
  EXPECT_EQ(merging_passes_counting({merge, 1e18, 1}, model, 1000), 0);
  EXPECT_EQ(merging_passes_counting({merge, 1, 1e12}, model, 1000), 2);
  // Where each host has as many events, it is caught up with later.
  EXPECT_GT(merging_passes_counting({merge, 1e8, 1e8, true}, model, kMostHosts), passes);
}

class MergeFile : public testing::Test {
 protected:
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("tally_merge_file_" + std::to_string(getpid()) + ".json");
  void TearDown() override { std::filesystem::remove(path); }
  void write(std::string const& content) const { std::ofstream(path) << content; }
  static std::string entry(char const* name, int ranks, double ms) {
    return std::string(R"({"name":")") + name + R"(","real_time":)" + std::to_string(ms) +
           R"(,"kind":"text","keys":32000,"ranks":)" + std::to_string(ranks) +
           R"(,"hosts":2,"ranks_per_cpu":1.5,"round_trip_s":0.002,"disjoint":true})";
  }
};

TEST_F(MergeFile, IsReadInMediansOfRounds) {
  write(R"({"context":{"command_line":["tally-mpi","merge"]},"benchmarks":[)" + entry("a", 2, 3) + "," +
        entry("b", 1, 7) + "," + entry("a", 2, 5) + "," + entry("a", 2, 4) + "]}");
  EXPECT_TRUE(is_merge_file(path));
  auto const merges = read_merge_file(path);
  ASSERT_EQ(merges.size(), 1u) << "with one rank there is nothing to merge";
  EXPECT_EQ(merges[0].name, "a");
  EXPECT_DOUBLE_EQ(merges[0].median_s, 4e-3);
  MergePoint const& point = merges[0].point;
  EXPECT_EQ(point.kind, KeyKind::text);
  EXPECT_EQ(point.keys, 32'000u);
  EXPECT_TRUE(point.remote && point.disjoint);
  EXPECT_DOUBLE_EQ(point.way_s, 1e-3);
  EXPECT_DOUBLE_EQ(point.ranks_per_cpu, 1.5);
}

TEST_F(MergeFile, ThatIsNoneIsRefused) {
  for (char const* const content :
       {"", "{", "[]", R"({"context":{"command_line":["tally","run"]}})",
        R"({"context":{"command_line":["tally-mpi","merge"]},"benchmarks":[{"name":"a","ranks":2}]})"}) {
    write(content);
    EXPECT_THROW(read_merge_file(path), NoResultFile) << content;
  }
  write(R"({"context":{"command_line":["tally","run"]}})");
  EXPECT_FALSE(is_merge_file(path));
  EXPECT_FALSE(is_merge_file("/nowhere.json"));
}

}  // namespace
}  // namespace tally
