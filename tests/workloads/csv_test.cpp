// CSV: where records end, what stands in them, what is wrong with them.
#include "workloads/text/csv.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "workloads/base/random.hpp"

namespace tally {
namespace {

using Strings = std::vector<std::string>;

/// The records of a text, with their line ends.
Strings records_of(std::string_view text) {
  Strings records;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t const end = csv_record_end(text, at, true).value();
    records.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return records;
}

ParsedLine parse_record(std::string_view record, CsvColumns const& columns = {.count = 2, .key = 0}) {
  return parse_csv(record, columns, {});
}

TEST(Csv, ARecordEndsAtALineEndOutsideQuotes) {
  EXPECT_EQ(records_of("a,b\nc,d\r\ne,f"), (Strings{"a,b\n", "c,d\r\n", "e,f"}));
  EXPECT_EQ(records_of("a,\"b\nc\"\nd,e\n"), (Strings{"a,\"b\nc\"\n", "d,e\n"}));
  EXPECT_EQ(records_of("\"a\"\"\n\",b\nc,d"), (Strings{"\"a\"\"\n\",b\n", "c,d"}));
  EXPECT_EQ(records_of("\n\na"), (Strings{"\n", "\n", "a"}));
}

TEST(Csv, AStrayQuoteTakesNoOtherLineWithIt) {
  EXPECT_EQ(records_of("a\"b,c\nd,e\n"), (Strings{"a\"b,c\n", "d,e\n"}));
  EXPECT_EQ(records_of("\"a\"b,c\nd,e\n"), (Strings{"\"a\"b,c\n", "d,e\n"}));
  EXPECT_EQ(records_of("a,b\nc,\"d\ne,f\ng,h\n"), (Strings{"a,b\n", "c,\"d\n", "e,f\n", "g,h\n"}))
      << "never closed";
}

TEST(Csv, AQuoteThatIsNotClosedWithinAMebibyteIsNotClosed) {
  std::string const far(kMaxQuotedRecordBytes, 'x');
  EXPECT_EQ(records_of("\"a\n" + far + "\",b\n").front(), "\"a\n");
  std::string const near(kMaxQuotedRecordBytes - 10, 'x');
  EXPECT_EQ(records_of("\"a\n" + near + "\",b\nc").size(), 2u);
}

TEST(Csv, WhetherARecordHasEndedMayTakeMoreBytesToSay) {
  EXPECT_EQ(csv_record_end("a,b", 0, false), std::nullopt);
  EXPECT_EQ(csv_record_end("a,\"b\n", 0, false), std::nullopt);
  EXPECT_EQ(csv_record_end("a,\"b\"", 0, false), std::nullopt) << "half of a doubled quote, perhaps";
  EXPECT_EQ(csv_record_end("a,\"b\"\n", 0, false), 6u);
  EXPECT_EQ(csv_last_record_end("a,b\nc,\"d\n\n", false), 4u);
  EXPECT_EQ(csv_last_record_end("a,b\nc", false), 4u);
}

TEST(Csv, RecordsFoundInPiecesAreThoseFoundWhole) {
  constexpr std::string_view kBytes = "ab,\"\n\r";
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    IndexedRandom random(seed, 0);
    std::string text;
    for (int i = 0; i < 60; ++i) text += kBytes[random.below(kBytes.size())];
    std::vector<std::size_t> ends;
    for (std::size_t at = 0; at < text.size();) ends.push_back(at = csv_record_end(text, at, true).value());
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
      std::size_t const end = csv_last_record_end(std::string_view(text).substr(0, cut), false);
      EXPECT_TRUE(end == 0 || std::find(ends.begin(), ends.end(), end) != ends.end())
          << text << ", cut at " << cut;
    }
    EXPECT_EQ(csv_last_record_end(text, true), text.size());
  }
}

TEST(Csv, FieldsAreAsRfc4180HasThem) {
  EXPECT_EQ(csv_fields("a,b,"), (Strings{"a", "b", ""}));
  EXPECT_EQ(csv_fields(R"("a,""b""",c, d )"), (Strings{"a,\"b\"", "c", " d "}));
  EXPECT_EQ(csv_fields("\"x\r\ny\",\"\""), (Strings{"x\r\ny", ""}));
  EXPECT_EQ(csv_fields(""), (Strings{""}));
  EXPECT_EQ(csv_fields("a\"b"), std::nullopt);
  EXPECT_EQ(csv_fields("\"a"), std::nullopt);
}

TEST(Csv, TheKeyIsItsColumn) {
  EXPECT_EQ(parse_record("a,b").key, "a");
  EXPECT_EQ(parse_record("\"a,1\",b").key, "a,1");
  ParsedLine const doubled = parse_record(R"("say ""a""",b)");
  EXPECT_EQ(doubled.key, "say \"a\"");
  EXPECT_TRUE(doubled.key_is_copy);
  EXPECT_FALSE(parse_record("a,b").key_is_copy);
  EXPECT_EQ(parse_record("a,b", {.count = 2, .key = 1}).key, "b");
  EXPECT_EQ(parse_record(",b").key, "");
}

TEST(Csv, TheTimeIsItsColumn) {
  CsvColumns const columns{.count = 2, .key = 0, .time = 1};
  EXPECT_EQ(parse_record("a,1970-01-02T00:00:00Z", columns).time_s, 86'400);
  EXPECT_EQ(parse_record("a,\"1970-01-02 00:00:01\"", columns).time_s, 86'401);
  EXPECT_EQ(parse_record("a,soon", columns).problem, TimeFormat().problem());
}

TEST(Csv, WhatIsWrongIsNamed) {
  EXPECT_EQ(parse_record("a").problem, "fewer fields than the first row");
  EXPECT_EQ(parse_record("a,b,c").problem, "more fields than the first row");
  EXPECT_EQ(parse_record("").problem, "empty line");
  EXPECT_EQ(parse_record("", {.count = 1}).problem, "") << "the only field, empty";
  EXPECT_EQ(parse_record("a\"b,c").problem, "a quote inside a field that does not begin with one");
  EXPECT_EQ(parse_record("\"a\"b,c").problem, "more after a closing quote");
  EXPECT_EQ(parse_record("a,\"b").problem, "a quote is not closed");
}

TEST(Csv, AColumnIsFoundByNameOrNumber) {
  Strings const header{"who", "when", "2", "when"};
  EXPECT_EQ(csv_column(header, "who", "key"), 0u);
  EXPECT_EQ(csv_column(header, "2", "key"), 2u) << "a name before a number";
  EXPECT_EQ(csv_column(header, "4", "key"), 3u);
  auto const refusal = [&](std::string const& name) -> std::string {
    try {
      csv_column(header, name, "key");
    } catch (std::invalid_argument const& refused) {
      return refused.what();
    }
    return "";
  };
  EXPECT_EQ(refusal("when"), "key 'when': the header has this column 2 times; give its number, from 1");
  EXPECT_EQ(refusal("where"), "key 'where': no such column; the header has who, when, 2, when");
  EXPECT_NE(refusal("5"), "");
  EXPECT_NE(refusal("0"), "");
}

}  // namespace
}  // namespace tally
