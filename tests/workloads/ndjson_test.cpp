// NDJSON lines: the string at a path, and what stands there instead.
#include "workloads/text/ndjson.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "workloads/text/utf8.hpp"

namespace tally {
namespace {

/// Says the same whatever stands behind the line, such as what would complete it.
ParsedLine parse_ndjson(std::string_view line, std::string_view key = "a.b") {
  for (std::string_view const behind : {"}", "\"}}", "1", "e", "]", ",", "\\", "\xff"}) {
    std::string text(line);
    while (text.size() < line.size() + 100) text += behind;
    ParsedLine const copied = parse_ndjson(line, JsonPath(key), {}, {});
    std::string const wanted(copied.key);
    ParsedLine const in_place =
        parse_ndjson(std::string_view(text).substr(0, line.size()), JsonPath(key), {}, {}, 100);
    EXPECT_EQ(in_place.key, wanted) << text;
    EXPECT_EQ(in_place.problem, copied.problem) << text;
  }
  return parse_ndjson(line, JsonPath(key), {}, {});
}

std::int64_t time_of(std::string_view line, std::string_view format) {
  ParsedLine const parsed = parse_ndjson(line, JsonPath("k"), JsonPath("t"), TimeFormat(format));
  EXPECT_EQ(parsed.problem, "") << line;
  return parsed.time_s;
}

TEST(Ndjson, TheKeyIsTheStringAtThePath) {
  EXPECT_EQ(parse_ndjson(R"({"x": 1, "a": {"c": [2], "b": "key"}, "y": {}})").key, "key");
  EXPECT_EQ(parse_ndjson(R"({"a": "key"})", "a").key, "key");
  EXPECT_EQ(parse_ndjson(R"({"a": ""})", "a").key, "");
  EXPECT_EQ(parse_ndjson(R"( {"a":"key"} )", "a").key, "key");
}

TEST(Ndjson, EscapesAreResolved) {
  EXPECT_EQ(parse_ndjson(R"({"a": "\"\\\/\n\u00e9\ud83d\ude00"})", "a").key,
            "\"\\/\n\xc3\xa9\xf0\x9f\x98\x80");
  EXPECT_EQ(parse_ndjson(R"({"\u0061": "key"})", "a").key, "key") << "in names too";
}

TEST(Ndjson, WhatIsNoStringIsNamed) {
  EXPECT_EQ(parse_ndjson(R"({"a": {}})").problem, "the key is missing");
  EXPECT_EQ(parse_ndjson(R"({"a": 1})").problem, "the key is missing") << "nothing is in a number";
  EXPECT_EQ(parse_ndjson(R"(["a"])").problem, "the key is missing");
  EXPECT_EQ(parse_ndjson(R"({"a": {"b": null}})").problem, "the key is null, not a string");
  EXPECT_EQ(parse_ndjson(R"({"a": {"b": 1}})").problem, "the key is a number, not a string");
  EXPECT_EQ(parse_ndjson(R"({"a": {"b": 1.5}})").problem, "the key is a number, not a string");
  EXPECT_EQ(parse_ndjson(R"({"a": {"b": true}})").problem, "the key is true or false, not a string");
  EXPECT_EQ(parse_ndjson(R"({"a": {"b": {}}})").problem, "the key is nested, not a string");
  EXPECT_EQ(parse_ndjson(R"({"a": {"b": []}})").problem, "the key is nested, not a string");
  EXPECT_EQ(parse_ndjson(R"({"a": {"b": "x", "b": "y"}})").problem, "the key stands there twice");
}

TEST(Ndjson, ABrokenLineIsSeenWhereverItBreaks) {
  for (std::string_view const line :
       {R"({"a": "x")", R"({"a": "x"} trailing)", R"({"a": "x"}{"a": "y"})", R"({"a": "x", })", R"({"a": x})",
        "{'a': 'x'}", R"({"a": "x", "z": NaN})", R"({"a": "x", "z": "\ud800"})", "nonsense"}) {
    EXPECT_TRUE(parse_ndjson(line, "a").problem.starts_with("broken JSON"))
        << line << ": " << parse_ndjson(line, "a").problem;
  }
  EXPECT_EQ(parse_ndjson(R"({"a": "x)", "a").problem, "broken JSON: a string is not closed");
  EXPECT_EQ(parse_ndjson("", "a").problem, "empty line");
  EXPECT_EQ(parse_ndjson("  ", "a").problem, "empty line");
  EXPECT_EQ(parse_ndjson("{\"a\": \"x\", \"z\": \"\xff\"}", "a").problem, "invalid UTF-8");
}

TEST(Ndjson, TimesAreStringsOrForEpochsNumbers) {
  EXPECT_EQ(time_of(R"({"k": "x", "t": "1970-01-01T00:01:00Z"})", "iso"), 60);
  EXPECT_EQ(time_of(R"({"k": "x", "t": 60})", "epoch-s"), 60);
  EXPECT_EQ(time_of(R"({"k": "x", "t": 60.75})", "epoch-s"), 60);
  EXPECT_EQ(time_of(R"({"k": "x", "t": -0.5})", "epoch-s"), -1);
  EXPECT_EQ(time_of(R"({"k": "x", "t": "60999"})", "epoch-ms"), 60);
  EXPECT_EQ(time_of(R"({"k": "x", "t": 1714564800123456789})", "epoch-ns"), 1'714'564'800);
  EXPECT_EQ(parse_ndjson(R"({"k": "x", "t": 60})", JsonPath("k"), JsonPath("t"), {}).problem,
            "the time is not a string");
  EXPECT_EQ(
      parse_ndjson(R"({"k": "x", "t": null})", JsonPath("k"), JsonPath("t"), TimeFormat("epoch-s")).problem,
      TimeFormat("epoch-s").problem());
  EXPECT_EQ(parse_ndjson(R"({"k": "x"})", JsonPath("k"), JsonPath("t"), {}).problem, "the time is missing");
}

TEST(Ndjson, APathWithAnEmptyNameIsRefused) {
  for (char const* const path : {"", ".", "a.", ".a", "a..b"})
    EXPECT_THROW(JsonPath{path}, std::invalid_argument) << path;
  EXPECT_EQ(JsonPath("a.b c.d").names(), (std::vector<std::string>{"a", "b c", "d"}));
}

TEST(Utf8, IsToldFromOtherBytes) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("a\xc3\xa9\xf0\x9f\x98\x80"));
  for (std::string_view const bad : {"\xff", "\xc3", "\xed\xa0\x80", "\xc0\xaf", "\xf5\x80\x80\x80"})
    EXPECT_FALSE(is_utf8(bad));
}

}  // namespace
}  // namespace tally
