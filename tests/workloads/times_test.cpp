// Event times: ISO 8601, since the epoch, and as patterns have them.
#include "workloads/text/times.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "workloads/text/line_formats.hpp"

namespace tally {
namespace {

std::optional<std::int64_t> read(std::string_view format, std::string_view text) {
  return TimeFormat(format).read(text);
}

constexpr std::int64_t kMayDay = 1'714'521'600;  // 2024-05-01T00:00:00Z

TEST(Times, IsoDatesAreRead) {
  EXPECT_EQ(read("iso", "2024-05-01"), kMayDay);
  EXPECT_EQ(read("", "2024-05-01T12:00:00Z"), kMayDay + 43'200);
  EXPECT_EQ(read("", "2024-05-01 12:00"), kMayDay + 43'200);
  EXPECT_EQ(read("", "2024-05-01T12:00:00.999+02:00"), kMayDay + 36'000);
  EXPECT_EQ(read("", "2024-05-01T12:00:00-0130"), kMayDay + 48'600);
  for (char const* const none : {"", "2024-5-1", "2024-02-30", "2024-05-01T", "2024-05-01T25:00",
                                 "2024-05-01T12:00:00 Z", "2024-05-01x", "20240501", "soon"})
    EXPECT_EQ(read("", none), std::nullopt) << none;
}

TEST(Times, EpochsAreReadInTheirUnit) {
  EXPECT_EQ(read("epoch-s", "1714521600"), kMayDay);
  EXPECT_EQ(read("epoch-ms", "1714521600999"), kMayDay);
  EXPECT_EQ(read("epoch-us", "1714521600999999"), kMayDay);
  EXPECT_EQ(read("epoch-ns", "1714521600999999999"), kMayDay);
  EXPECT_EQ(read("epoch-s", "+1714521600.5"), kMayDay);
  for (char const* const none :
       {"", "-", "+", "1.", ".5", "1e9", " 1", "1 ", "0x10", "99999999999999999999", "1714521600s"})
    EXPECT_EQ(read("epoch-s", none), std::nullopt) << none;
}

TEST(Times, FractionsAreCutOffDownwards) {
  EXPECT_EQ(read("epoch-s", "0.9"), 0);
  EXPECT_EQ(read("epoch-s", "-0.1"), -1);
  EXPECT_EQ(read("epoch-s", "-1.0"), -1);
  EXPECT_EQ(read("epoch-ms", "-1"), -1);
  EXPECT_EQ(read("epoch-ms", "-1000"), -1);
  EXPECT_EQ(read("epoch-ms", "-1000.5"), -2);
}

TEST(Times, PatternsAreReadAsStrptimeDoes) {
  EXPECT_EQ(read("%d/%b/%Y:%H:%M:%S %z", "01/May/2024:12:00:00 +0200"), kMayDay + 36'000);
  EXPECT_EQ(read("%Y%m%d%H%M%S", "20240501120000"), kMayDay + 43'200);
  EXPECT_EQ(read("%F %T", "2024-05-01 12:00:01"), kMayDay + 43'201);
  EXPECT_EQ(read("%a, %d %B %Y", "Wed, 1 may 2024"), kMayDay);
  EXPECT_EQ(read("%m/%d/%y %I:%M %p", "05/01/24 12:30 am"), kMayDay + 1'800);
  EXPECT_EQ(read("%m/%d/%y %I:%M %p", "05/01/24 12:30 PM"), kMayDay + 45'000);
  EXPECT_EQ(read("%Y-%jT%R", "2024-122T00:00"), kMayDay);
  EXPECT_EQ(read("%Y-%m-%dT%H:%M:%S.%f%z", "2024-05-01T00:00:00.123456Z"), kMayDay);
  EXPECT_EQ(read("%s", "1714521600"), kMayDay);
  EXPECT_EQ(read("%Y %%%n%m %e", "2024%  05  1"), kMayDay);
  EXPECT_EQ(read("%F %Z", "2024-05-01 UTC"), kMayDay);
  for (char const* const none : {"", "2024-02-30", "2024-13-01", "2024-05", "2024-05-01 ", "x2024-05-01"})
    EXPECT_EQ(read("%Y-%m-%d", none), std::nullopt) << none;
  EXPECT_EQ(read("%Y-%j", "2023-366"), std::nullopt);
  EXPECT_EQ(read("%F%z%e", "2024-05-01+02 7"), kMayDay + 6 * 86'400 - 7'200);
  EXPECT_EQ(read("%F%z:%S", "2024-05-01+02:"), std::nullopt);
  for (char const* const zone : {"+021", "+0260", "+02:1", "+02:60"}) {
    EXPECT_EQ(read("%F%z%S", std::string("2024-05-01") + zone), std::nullopt)
        << zone << ": digits of minutes";
  }
}

TEST(Times, WhatIsNoFormatIsRefused) {
  for (char const* const none : {"epoch", "rfc3339", "%", "%Y-%Q", "%H:%M", "%b %d %H:%M:%S", "%Y-%m"})
    EXPECT_THROW(TimeFormat{none}, std::invalid_argument) << none;
}

TEST(Times, APatternTakesAsManyBlankSeparatedFieldsAsItHas) {
  TimeFormat const format("%d %b %Y %H:%M");
  ParsedLine const parsed = parse_fields("ann 01 May 2024 12:00 GET", 1, 2, format);
  EXPECT_EQ(parsed.problem, "");
  EXPECT_EQ(parsed.time_s, kMayDay + 43'200);
  EXPECT_EQ(parse_fields("ann 01 May 2024 12:00x GET", 1, 2, format).problem, format.problem());
  EXPECT_EQ(parse_fields("1714521600 ann", 2, 1, TimeFormat("epoch-s")).time_s, kMayDay);
}

}  // namespace
}  // namespace tally
