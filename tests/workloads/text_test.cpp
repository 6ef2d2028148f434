// Text as a stream: its batches and splits, its lines' ends, its windows; and a real log whose counts are
// known.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "workloads/base/random.hpp"
#include "workloads/input/input_file.hpp"
#include "workloads/text/text_stream.hpp"

namespace tally {
namespace {

using Totals = std::map<std::string, std::uint64_t>;

Totals totals_of(Counts const& counts) {
  Totals totals;
  for (auto const& [key, count] : counts.totals()) totals[key] = count;
  return totals;
}

Counts count_all(CpuStream const& stream) {
  Counts tally = stream.empty_tally();
  stream.count({0, stream.size()}, tally);
  return tally;
}

/// The totals of `text`, counted in one go.
Totals count_lines(std::string_view text, TextSpec const& spec = {}) {
  return totals_of(count_all(*make_text_stream(text, spec, {})));
}

TextSpec fields(std::string key, std::string time = "", std::chrono::seconds window = {}) {
  TextSpec spec;
  spec.key = std::move(key);
  spec.time = std::move(time);
  spec.window = window;
  return spec;
}

TextSpec clf(std::string key, std::chrono::seconds window = {}) {
  TextSpec spec = fields(std::move(key), "", window);
  spec.format = TextFormat::clf;
  return spec;
}

std::string refusal_of_text(TextSpec const& spec) {
  try {
    check(spec);
  } catch (std::invalid_argument const& refused) {
    return refused.what();
  }
  return "";
}

/// Lines of very different lengths, keyed by their first field, some of them empty; the last without newline.
std::string uneven_text() {
  std::string text;
  IndexedRandom random(7, 0);
  for (int i = 0; i < 300; ++i) {
    text += std::to_string(random.below(20));
    text.append(random.below(10) == 0 ? random.below(900) : random.below(8), ' ');
    if (random.below(15) == 0) text += '\n';
    text += i % 3 == 0 ? "\r\n" : "\n";
  }
  return text + "last";
}

TEST(TextStream, EmptyTextHasNoEvents) {
  auto const stream = make_text_stream("", {}, {});
  EXPECT_EQ(stream->size(), 0u);
  EXPECT_EQ(stream->batch_end(0, 1), 0u);
  EXPECT_EQ(stream->split(3), (std::vector<Range>{{0, 0}, {0, 0}, {0, 0}}));
  Counts const counts = count_all(*stream);
  EXPECT_EQ(counts.events, 0u);
  EXPECT_EQ(counts.tasks, 0u);
}

TEST(TextStream, FinalLineWithoutNewlineCounts) {
  EXPECT_EQ(count_lines("a\nb\na"), (Totals{{"a", 2}, {"b", 1}}));
  EXPECT_EQ(count_lines("a\nb\na\n"), (Totals{{"a", 2}, {"b", 1}}));
  EXPECT_EQ(count_lines("a"), (Totals{{"a", 1}}));
}

TEST(TextStream, CarriageReturnAtALinesEndDoesNotBelongToIt) {
  EXPECT_EQ(count_lines("a\r\nb\na\r\na\r"), (Totals{{"a", 3}, {"b", 1}}));
  EXPECT_EQ(count_lines("a\rb\n"), (Totals{{"a\rb", 1}})) << "only at the end";
}

TEST(TextStream, EmptyLineIsAnEventOnlyAsAWholeLine) {
  EXPECT_EQ(count_lines("\n\r\na\n"), (Totals{{"", 2}, {"a", 1}}));
  Counts const counts = count_all(*make_text_stream("\n\r\na\n", fields("1"), {}));
  EXPECT_EQ(counts.events, 1u);
  EXPECT_EQ(counts.malformed, 2u);
}

TEST(TextStream, BinaryBytesAreBytes) {
  std::string const binary("\0\xff\n\0\xff\n\x80\n", 8);
  EXPECT_EQ(count_lines(binary), (Totals{{std::string("\0\xff", 2), 2}, {"\x80", 1}}));
}

TEST(TextStream, LineOfTenMegabytesIsOneEvent) {
  std::string const line(10'000'000, 'x');
  std::string const text = "a\n" + line + "\nb\n";
  EXPECT_EQ(count_lines(text), (Totals{{"a", 1}, {line, 1}, {"b", 1}}));
  EXPECT_EQ(make_text_stream(text, {}, {})->split(2).front().end, line.size() + 3) << "no line is cut";
}

TEST(TextStream, RepeatReplaysTheTextAndKeepsTheLastLineApart) {
  std::string const text = "a\nb";
  TextSpec spec;
  spec.repeat = 5;
  auto const stream = make_text_stream(text, spec, {});
  EXPECT_EQ(stream->size(), 15u);
  Counts const counts = count_all(*stream);
  EXPECT_EQ(totals_of(counts), (Totals{{"a", 5}, {"b", 5}}));
  EXPECT_EQ(counts.tasks, 1u);
}

TEST(TextStream, BatchOfOneIsOneLine) {
  std::string const text = "a\nsomewhat longer\n\nlast";
  auto const stream = make_text_stream(text, {}, {});
  std::vector<std::uint64_t> ends;
  BatchReader reader(*stream, 1, 1);
  for (Range batch = reader.next(); !batch.empty(); batch = reader.next()) ends.push_back(batch.end);
  EXPECT_EQ(ends, (std::vector<std::uint64_t>{2, 18, 19, 23}));
}

TEST(TextStream, SplitBetweenLinesTakesNoMoreThanItsShare) {
  EXPECT_EQ(make_text_stream("a\nb\nc\nd\n", {}, {})->split(2), (std::vector<Range>{{0, 4}, {4, 8}}));
}

TEST(TextStream, BatchesHaveAboutAsManyLinesAsAskedFor) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "ten bytes\n";
  auto const stream = make_text_stream(text, {}, {});
  for (std::uint64_t const events : {2u, 7u, 100u}) EXPECT_EQ(stream->batch_end(0, events), 10 * events);
}

class TextPartition : public ::testing::Test {
 protected:
  /// The ranges are adjacent, cover the stream, and counted last to first give what one go gives.
  void expect_exact(std::vector<Range> const& ranges, std::string const& what) const {
    SCOPED_TRACE(what);
    std::uint64_t position = 0;
    for (Range const& range : ranges) {
      ASSERT_EQ(range.begin, position);
      ASSERT_LE(range.begin, range.end);
      position = range.end;
    }
    ASSERT_EQ(position, stream_->size());
    Counts merged = stream_->empty_tally();
    for (auto range = ranges.rbegin(); range != ranges.rend(); ++range) {
      Counts tally = stream_->empty_tally();
      stream_->count(*range, tally);
      merged.merge(std::move(tally));
    }
    EXPECT_EQ(whole_.difference(merged), "");
  }

  static TextSpec thrice() {
    TextSpec spec = fields("1");
    spec.repeat = 3;
    return spec;
  }
  std::string text_ = uneven_text();
  std::unique_ptr<CpuStream> stream_ =
      make_text_stream(text_, thrice(), Grain{std::chrono::nanoseconds(1), 3});
  Counts whole_ = count_all(*stream_);
};

TEST_F(TextPartition, BatchesOfEverySizeCountWhatOneGoCounts) {
  ASSERT_GT(whole_.malformed, 0u);
  ASSERT_NE(whole_.checksum, 0u);
  for (std::uint64_t const events :
       {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{3}, std::uint64_t{7}, std::uint64_t{64},
        std::uint64_t{299}, std::uint64_t{5000}, UINT64_MAX}) {
    std::vector<Range> batches;
    BatchReader reader(*stream_, events, 1);
    for (Range batch = reader.next(); !batch.empty(); batch = reader.next()) batches.push_back(batch);
    expect_exact(batches, "batch of " + std::to_string(events));
  }
}

TEST_F(TextPartition, SplitsOfEverySizeCountWhatOneGoCounts) {
  for (std::size_t const parts : {1u, 2u, 3u, 8u, 61u, 5000u}) {
    std::vector<Range> const ranges = stream_->split(parts);
    ASSERT_EQ(ranges.size(), parts);
    expect_exact(ranges, "split into " + std::to_string(parts));
  }
}

TEST_F(TextPartition, PartsOfASplitDifferByALineAtMost) {
  std::uint64_t const longest_line = 950;
  for (Range const& range : stream_->split(4)) {
    EXPECT_NEAR(static_cast<double>(range.end - range.begin), static_cast<double>(stream_->size()) / 4,
                longest_line);
  }
}

TEST_F(TextPartition, SplitIntoNoPartsIsRefused) { EXPECT_THROW(stream_->split(0), std::invalid_argument); }

TEST_F(TextPartition, LostBatchIsADifference) {
  Counts short_of_one = stream_->empty_tally();
  stream_->count({stream_->batch_end(0, 1), stream_->size()}, short_of_one);
  EXPECT_NE(whole_.difference(short_of_one), "");
}

TEST(TextStream, LinesThatChangePlacesInAMessageAreADifference) {
  auto const stream = make_text_stream("one\ntwo\nsix\n", {}, {});
  Range const whole{0, stream->size()};
  std::string const swapped = "one\nsix\ntwo\n";
  Counts expected = stream->empty_tally(), got = stream->empty_tally();
  stream->count(whole, expected);
  stream->count_message(whole, std::as_bytes(std::span(swapped)), got);
  EXPECT_TRUE(expected.difference(got).starts_with("checksum of events with their keys"))
      << expected.difference(got);
}

TEST(TextStream, GrainOfEveryGoodLineIsInTheChecksum) {
  std::string const text = "a\n\nb\n";
  Counts const counts =
      count_all(*make_text_stream(text, fields("1"), Grain{std::chrono::nanoseconds(1), 5}));
  EXPECT_EQ(counts.checksum, grind(0, 5) + grind(3, 5));
  EXPECT_EQ(count_all(*make_text_stream(text, fields("1"), {})).checksum, 0u);
}

TEST(TextStream, MalformedLinesAreReportedWithTheirPlace) {
  std::string const text = "a 1\nb\nc 3\n\n";
  TextSpec spec = fields("2");
  spec.repeat = 2;
  Counts const counts = count_all(*make_text_stream(text, spec, {}));
  EXPECT_EQ(counts.events, 4u);
  EXPECT_EQ(counts.malformed, 4u);
  std::vector<std::uint64_t> lines;
  for (Malformed const& line : counts.first_malformed()) {
    lines.push_back(line_number(text, line.position));
    EXPECT_EQ(line.reason, "no such field: the line has fewer");
  }
  EXPECT_EQ(lines, (std::vector<std::uint64_t>{2, 4, 2, 4}));
}

TEST(TextStream, WindowsBeginAtMultiplesOfTheirLength) {
  std::string const text =
      "1970-01-01 00:00:59 a\n1970-01-01 00:01:00 b\n1970-01-01 00:01:30 b\n1969-12-31 23:59:59 c\n";
  Counts const counts = count_all(*make_text_stream(text, fields("3", "1", std::chrono::seconds(60)), {}));
  std::vector<std::vector<std::int64_t>> windows;
  for (auto const& window : counts.windows()) {
    windows.push_back({window.window, static_cast<std::int64_t>(window.events),
                       static_cast<std::int64_t>(window.distinct_keys)});
  }
  EXPECT_EQ(windows, (std::vector<std::vector<std::int64_t>>{{-60, 1, 1}, {0, 1, 1}, {60, 2, 1}}));
}

TEST(TextStream, TimeIsReadOnlyForWindows) {
  std::string const text = "no time here\n";
  EXPECT_EQ(count_all(*make_text_stream(text, fields("1", "2"), {})).malformed, 0u);
  EXPECT_EQ(count_all(*make_text_stream(text, fields("1", "2", std::chrono::seconds(1)), {})).malformed, 1u);
}

TEST(TextSpec, WhatMakesNoSenseIsRefusedWithWhatIsValid) {
  EXPECT_EQ(refusal_of_text({}), "");
  EXPECT_EQ(refusal_of_text(fields("3", "1", std::chrono::seconds(60))), "");
  EXPECT_EQ(refusal_of_text(clf("", std::chrono::seconds(60))), "");
  for (char const* key : {"0", "-1", "+1", "1x", "host", "99999999999", " 1"}) {
    EXPECT_NE(refusal_of_text(fields(key)).find("from 1"), std::string::npos) << key;
    EXPECT_NE(refusal_of_text(fields("", key)).find("from 1"), std::string::npos) << key;
  }
  EXPECT_NE(refusal_of_text(clf("path")).find("host, method, target, status or agent"), std::string::npos);
  EXPECT_NE(refusal_of_text(fields("", "", std::chrono::seconds(1))).find("windows need a time"),
            std::string::npos);
  EXPECT_NE(refusal_of_text(fields("", "1", std::chrono::seconds(-1))).find("negative"), std::string::npos);
  TextSpec spec = clf("host");
  spec.time = "status";
  EXPECT_NE(refusal_of_text(spec).find("'status'"), std::string::npos);
  spec = {};
  spec.repeat = 0;
  EXPECT_NE(refusal_of_text(spec).find("repeat 0"), std::string::npos);
  spec.repeat = UINT64_MAX / 2;
  EXPECT_THROW(make_text_stream("four", spec, {}), std::invalid_argument);
}

/// The real access log, where it lies beside the project.
class AccessLog : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::path const log =
        std::filesystem::path(__FILE__).parent_path().parent_path().parent_path() /
        "shared/data/apache_access.log.gz";
    if (!std::filesystem::exists(log)) GTEST_SKIP() << "needs the data file " << log;
    file_.emplace(log);
  }
  Counts count(TextSpec const& spec) const { return count_all(*make_text_stream(file_->text(), spec, {})); }
  std::optional<InputFile> file_;
};

TEST_F(AccessLog, HasItsOneMalformedLine) {
  Counts const counts = count(clf("target"));
  EXPECT_EQ(counts.events, 9999u);
  ASSERT_EQ(counts.malformed, 1u);
  EXPECT_EQ(line_number(file_->text(), counts.first_malformed()[0].position), 8899u);
  EXPECT_EQ(counts.first_malformed()[0].reason, "quoted field has no closing quote");
}

TEST_F(AccessLog, HasItsTargetsStatusesAndHours) {
  EXPECT_EQ(count(clf("target")).totals().size(), 1498u);
  // One fewer with status 200 than stand in the file: the malformed line has it.
  EXPECT_EQ(totals_of(count(clf("status"))), (Totals{{"200", 9125},
                                                     {"304", 445},
                                                     {"404", 213},
                                                     {"301", 164},
                                                     {"206", 45},
                                                     {"500", 3},
                                                     {"403", 2},
                                                     {"416", 2}}));
  auto const windows = count(clf("status", std::chrono::hours(1))).windows();
  ASSERT_EQ(windows.size(), 84u);
  EXPECT_EQ(windows.front().window, 1431856800);  // 17 May 2015, 10:00 UTC
}

}  // namespace
}  // namespace tally
