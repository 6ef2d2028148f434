// Single lines: what they are keyed by, when they happened, what is wrong with them.
#include "workloads/text/line_formats.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "workloads/base/random.hpp"

namespace tally {
namespace {

constexpr std::string_view kCombined =
    R"~(::1 id frank [10/Oct/2000:13:55:36 -0700] "GET /a?b=c HTTP/1.0" 200 2326 "http://x/" "Mozilla (\"q\")")~";
constexpr ClfKey kAllKeys[] = {ClfKey::host, ClfKey::method, ClfKey::target, ClfKey::status, ClfKey::agent};

ParsedLine parse_clf(std::string_view line, ClfKey key) {
  ClfClock clock;
  return parse_clf(line, key, clock);
}

/// A Common line around `request`.
std::string with_request(std::string_view request) {
  return "h - - [10/Oct/2000:13:55:36 -0700] \"" + std::string(request) + "\" 200 -";
}

std::string_view problem_with(std::string_view line) { return parse_clf(line, ClfKey::host).problem; }

TEST(CommonLogFormat, EveryFieldOfACombinedLineCanBeTheKey) {
  EXPECT_EQ(parse_clf(kCombined, ClfKey::host).key, "::1");
  EXPECT_EQ(parse_clf(kCombined, ClfKey::method).key, "GET");
  EXPECT_EQ(parse_clf(kCombined, ClfKey::target).key, "/a?b=c");
  EXPECT_EQ(parse_clf(kCombined, ClfKey::status).key, "200");
  EXPECT_EQ(parse_clf(kCombined, ClfKey::agent).key, R"(Mozilla (\"q\"))");
  for (ClfKey const key : kAllKeys) EXPECT_EQ(parse_clf(kCombined, key).problem, "");
}

TEST(CommonLogFormat, KeysHaveTheirNames) {
  EXPECT_EQ(clf_key("host"), ClfKey::host);
  EXPECT_EQ(clf_key("method"), ClfKey::method);
  EXPECT_EQ(clf_key("target"), ClfKey::target);
  EXPECT_EQ(clf_key("status"), ClfKey::status);
  EXPECT_EQ(clf_key("agent"), ClfKey::agent);
  EXPECT_EQ(clf_key(""), std::nullopt);
  EXPECT_EQ(clf_key("Host"), std::nullopt);
}

TEST(CommonLogFormat, CommonLineHasAllButTheAgent) {
  std::string const line = with_request("GET / HTTP/1.1");
  EXPECT_EQ(parse_clf(line, ClfKey::status).key, "200");
  EXPECT_EQ(parse_clf(line, ClfKey::status).problem, "");
  EXPECT_EQ(parse_clf(line, ClfKey::agent).problem, "no agent: a line of the Common Log Format");
}

TEST(CommonLogFormat, RequestsAreTakenApartOrLeftWhole) {
  struct Case {
    std::string_view request, method, target;
  };
  for (Case const& c : {
           Case{"GET /x HTTP/1.1", "GET", "/x"},
           Case{"GET /x", "GET", "/x"},
           Case{"OPTIONS * HTTP/1.0", "OPTIONS", "*"},
           Case{"VERSION-CONTROL /x HTTP/1.1", "VERSION-CONTROL", "/x"},
           Case{R"(GET /\"q\" HTTP/1.1)", "GET", R"(/\"q\")"},
           Case{"-", "-", "-"},
           Case{"", "-", ""},
           Case{R"(\x16\x03\x01)", "-", R"(\x16\x03\x01)"},
           Case{R"(\x16\x03 /x)", "-", R"(\x16\x03 /x)"},
           Case{"GET", "-", "GET"},
           Case{"GET ", "-", "GET "},
           Case{" /x", "-", " /x"},
           Case{"GET  HTTP/1.1", "-", "GET  HTTP/1.1"},
           Case{"GET /a b HTTP/1.1", "-", "GET /a b HTTP/1.1"},
           Case{"GET /a HTTP/1.1 ", "-", "GET /a HTTP/1.1 "},
           Case{"GET /a RTSP/1.0", "-", "GET /a RTSP/1.0"},
       }) {
    std::string const line = with_request(c.request);
    EXPECT_EQ(parse_clf(line, ClfKey::method).key, c.method) << c.request;
    EXPECT_EQ(parse_clf(line, ClfKey::target).key, c.target) << c.request;
    EXPECT_EQ(parse_clf(line, ClfKey::target).problem, "") << c.request;
  }
}

TEST(CommonLogFormat, BackslashEscapesQuoteAndBackslash) {
  EXPECT_EQ(parse_clf(with_request(R"(GET /\\)"), ClfKey::target).key, R"(/\\)")
      << "two do not escape the quote";
  EXPECT_EQ(parse_clf(with_request(R"~(GET /\\\")~"), ClfKey::target).key, R"(/\\\")") << "the third does";
  EXPECT_EQ(parse_clf(with_request(R"~(\")~"), ClfKey::target).key, R"~(\")~");
  EXPECT_EQ(problem_with(with_request(R"(GET /\)")), "quoted field has no closing quote");
}

TEST(CommonLogFormat, WhatIsWrongWithALineIsSaid) {
  constexpr std::string_view kBegin = "does not begin with host, ident, user and a bracketed time";
  constexpr std::string_view kTime = "time is not like [10/Oct/2000:13:55:36 -0700]";
  constexpr std::string_view kOpen = "quoted field has no closing quote";
  struct Case {
    std::string_view line, problem;
  };
  for (Case const& c : {
           Case{"", "empty line"},
           Case{"h", kBegin},
           Case{"h - -", kBegin},
           Case{" h - - [10/Oct/2000:13:55:36 -0700] \"-\" 200 -", kBegin},
           Case{"v:80 h - - [10/Oct/2000:13:55:36 -0700] \"-\" 200 -", kBegin},
           Case{"h - - 10/Oct/2000:13:55:36 -0700 \"-\" 200 -", kBegin},
           Case{"h - - [", kTime},
           Case{"h - - [10/Oct/2000:13:55:36 -0700", kTime},
           Case{"h - - [10/Oct/2000:13:55:36 -070] \"-\" 200 -", kTime},
           Case{"h - - [10/Oct/2000:13:55:36 -0700]", "no quoted request after the time"},
           Case{"h - - [10/Oct/2000:13:55:36 -0700] GET / 200 -", "no quoted request after the time"},
           Case{"h - - [10/Oct/2000:13:55:36 -0700] \"GET / 200 -", kOpen},
           Case{"h - - [10/Oct/2000:13:55:36 -0700] \"-\"", "status is not three digits"},
           Case{"h - - [10/Oct/2000:13:55:36 -0700] \"-\" 20", "status is not three digits"},
           Case{"h - - [10/Oct/2000:13:55:36 -0700] \"-\" 20x -", "status is not three digits"},
           Case{"h - - [10/Oct/2000:13:55:36 -0700] \"-\" - -", "status is not three digits"},
           Case{"h - - [10/Oct/2000:13:55:36 -0700] \"-\" 2000 -",
                "no size after the status, or a status longer than three digits"},
           Case{"h - - [10/Oct/2000:13:55:36 -0700] \"-\" 200",
                "no size after the status, or a status longer than three digits"},
           Case{"h - - [10/Oct/2000:13:55:36 -0700] \"-\" 200 ", "size is neither a number nor -"},
           Case{"h - - [10/Oct/2000:13:55:36 -0700] \"-\" 200 x", "size is neither a number nor -"},
           Case{"h - - [10/Oct/2000:13:55:36 -0700] \"-\" 200 1x", "no quoted referer after the size"},
           Case{"h - - [10/Oct/2000:13:55:36 -0700] \"-\" 200 1 ", "no quoted referer after the size"},
           Case{"h - - [10/Oct/2000:13:55:36 -0700] \"-\" 200 1 \"r", kOpen},
           Case{"h - - [10/Oct/2000:13:55:36 -0700] \"-\" 200 1 \"r\"", "no quoted agent after the referer"},
           Case{"h - - [10/Oct/2000:13:55:36 -0700] \"-\" 200 1 \"r\" \"a", kOpen},
           Case{"h - - [10/Oct/2000:13:55:36 -0700] \"-\" 200 1 \"r\" \"a\" x",
                "more after the agent, the last field"},
       }) {
    EXPECT_EQ(problem_with(c.line), c.problem) << c.line;
  }
}

TEST(CommonLogFormat, LineIsMalformedUnderEveryKeyOrNone) {
  for (std::uint64_t i = 0; i < 50'000; ++i) {
    IndexedRandom random(11, i);
    std::string line(kCombined);
    for (std::uint64_t edits = 1 + random.below(3); edits != 0; --edits) {
      std::size_t const at = random.below(line.size());
      if (random.below(2) == 0) {
        line.erase(at, 1 + random.below(30));
        if (line.empty()) line = "x";
      } else {
        line[at] = "\" []\\-/:0Ax\0\xff"[random.below(14)];
      }
    }
    bool const is_malformed = !parse_clf(line, ClfKey::host).problem.empty();
    for (ClfKey const key : {ClfKey::method, ClfKey::target, ClfKey::status}) {
      ASSERT_EQ(!parse_clf(line, key).problem.empty(), is_malformed) << line;
    }
  }
}

TEST(CommonLogFormat, TimesAreSecondsSinceTheEpoch) {
  ClfClock clock;
  struct Case {
    char const* text;
    std::int64_t time_s;
  };
  for (Case const& c : {
           Case{"01/Jan/1970:00:00:00 +0000", 0},
           Case{"10/Oct/2000:13:55:36 -0700", 971211336},
           Case{"10/Oct/2000:13:55:37 -0700", 971211337},
           Case{"10/Oct/2000:13:55:37 +0000", 971186137},
           Case{"10/Oct/2000:13:55:37 +0530", 971166337},
           Case{"17/May/2015:10:05:03 +0000", 1431857103},
           Case{"29/Feb/2016:23:59:59 +0000", 1456790399},
           Case{"31/Dec/2016:23:59:60 +0000", 1483228800},
           Case{"31/Dec/1969:23:59:59 +0000", -1},
       }) {
    std::int64_t time_s = 0;
    EXPECT_TRUE(clock.read(c.text, time_s)) << c.text;
    EXPECT_EQ(time_s, c.time_s) << c.text;
  }
}

TEST(CommonLogFormat, TimesThatAreNoneAreRefused) {
  ClfClock clock;
  std::int64_t time_s = 0;
  for (char const* text : {
           "30/Feb/2015:10:05:03 +0000",
           "00/May/2015:10:05:03 +0000",
           "17/may/2015:10:05:03 +0000",
           "17/May/2015:24:05:03 +0000",
           "17/May/2015:10:60:03 +0000",
           "17/May/2015:10:05:61 +0000",
           "17/May/2015:10:05:03 +2400",
           "17/May/2015:10:05:03 +0060",
           "17/May/2015:10:05:03 00000",
           "17-May-2015:10:05:03 +0000",
           "17/May/2015 10:05:03 +0000",
           "17/May/2015:10.05:03 +0000",
           "17/May/2015:10:05.03 +0000",
           "17/May/2015:10:05:03_+0000",
           "1x/May/2015:10:05:03 +0000",
           "17/May/2015:10:0x:03 +0000",
           "01/Jan/1970:00:00:0x +0000",
       }) {
    EXPECT_FALSE(clock.read(text, time_s)) << text;
  }
  EXPECT_FALSE(clock.read(std::string(ClfClock::kTimeBytes, '\0').c_str(), time_s));
}

TEST(Fields, AreSeparatedByRunsOfSpacesAndTabs) {
  EXPECT_EQ(parse_fields("  a\tb \t c  ", 1, 0).key, "a");
  EXPECT_EQ(parse_fields("  a\tb \t c  ", 2, 0).key, "b");
  EXPECT_EQ(parse_fields("  a\tb \t c  ", 3, 0).key, "c");
  EXPECT_EQ(parse_fields("  a\tb \t c  ", 0, 0).key, "  a\tb \t c  ");
  EXPECT_EQ(parse_fields("  a\tb \t c  ", 4, 0).problem, "no such field: the line has fewer");
  EXPECT_EQ(parse_fields("", 1, 0).problem, "no such field: the line has fewer");
  EXPECT_EQ(parse_fields("", 0, 0).problem, "");
}

TEST(Fields, TimeIsAnIsoDateWithOrWithoutTimeOfDay) {
  struct Case {
    std::string_view line;
    std::int64_t time_s;
  };
  for (Case const& c : {
           Case{"1970-01-01", 0},
           Case{"2024-05-01 12:00:00", 1714564800},
           Case{"2024-05-01\t12:00:00 status installed x", 1714564800},
           Case{"2024-05-01T12:00:00", 1714564800},
           Case{"2024-05-01T12:00:00Z x", 1714564800},
           Case{"2024-05-01T12:00:00.999Z", 1714564800},
           Case{"2024-05-01 12:00:00,123 INFO", 1714564800},
           Case{"2024-05-01T12:00", 1714564800},
           Case{"2024-05-01T12:00+02:00", 1714557600},
           Case{"2024-05-01T12:00:00-0530", 1714584600},
           Case{"2024-05-01 12:00:00.5+02", 1714557600},
           Case{"2024-05-01 startup packages", 1714521600},
           Case{"2024-05-01", 1714521600},
       }) {
    ParsedLine const parsed = parse_fields(c.line, 0, 1);
    EXPECT_EQ(parsed.problem, "") << c.line;
    EXPECT_EQ(parsed.time_s, c.time_s) << c.line;
  }
  ParsedLine const later = parse_fields("x 2024-05-01 12:00:00 y", 4, 2);
  EXPECT_EQ(later.time_s, 1714564800);
  EXPECT_EQ(later.key, "y");
}

TEST(Fields, TimeThatIsNoneIsMalformed) {
  for (std::string_view const line :
       {"now", "2024-05", "2024-02-30", "2024-13-01", "2024/05/01", "2024-05-01x", "2024-05-01T",
        "2024-05-01T12", "2024-05-01T24:00", "2024-05-01T12:60", "2024-05-01T12:00:61", "2024-05-01T12:00:0",
        "2024-05-01T12:00:00.", "2024-05-01T12:00:00+2", "2024-05-01T12:00:00+25:00", "2024-05-01T12:00:00X",
        "2024-05-01 12:0x"}) {
    EXPECT_EQ(parse_fields(line, 0, 1).problem,
              "time is not like 2024-05-01 12:00:00 or 2024-05-01T12:00:00Z")
        << line;
  }
}

TEST(CommonLogFormat, LinesReadInOneGoSayWhatEachSaysAlone) {
  // Lines as they are, with some bytes changed, taken out or doubled: nearly all that can be wrong with a
  // line, and much that is not.
  constexpr std::string_view kBytes = "\"\\ -[]/:0aé\r";
  std::vector<std::string> const whole{
      std::string(kCombined),
      R"~(10.0.0.1 - - [01/May/2024:12:00:00 +0000] "GET /index.html HTTP/1.1" 200 2326 "-" "Mozilla/5.0 (X11; Linux x86_64)")~",
      R"(a-host.example.com - - [01/May/2024:12:00:00 +0000] "POST /x y HTTP/1.1" 404 - "-" "")",
      with_request("GET / HTTP/1.1"), with_request("-")};
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    IndexedRandom random(seed, 0);
    std::vector<std::string> lines;
    std::string text;
    for (int i = 0; i < 50; ++i) {
      std::string line = whole[random.below(whole.size())];
      for (auto changes = random.below(3); changes > 0; --changes) {
        std::size_t const at = random.below(line.size());
        if (random.below(3) == 0)
          line.erase(at, 1);
        else
          line[at] = kBytes[random.below(kBytes.size())];
      }
      if (random.below(20) == 0) line.clear();
      text += line + (i % 3 == 0 ? "\r\n" : "\n");
      lines.push_back(line);
      if (i % 3 != 0 && !line.empty() && line.back() == '\r') lines.back().pop_back();
    }
    text.pop_back();  // the last has no end
    ClfClock one, other;
    std::size_t n = 0;
    ClfLines reader(text);
    for (ClfLine line; reader.next(line); ++n) {
      ASSERT_EQ(line.text, lines.at(n));
      for (ClfKey const key : kAllKeys) {
        ParsedLine const fast = parse_clf(line, key, one), alone = parse_clf(lines[n], key, other);
        EXPECT_EQ(fast.key, alone.key) << line.text;
        EXPECT_EQ(fast.problem, alone.problem) << line.text;
        EXPECT_TRUE(!fast.problem.empty() || fast.time_s == alone.time_s) << line.text;
      }
    }
    // Of a last line that is empty and has no end, nothing is there.
    EXPECT_EQ(n, lines.size() - (lines.back().empty() ? 1 : 0));
  }
}

}  // namespace
}  // namespace tally
