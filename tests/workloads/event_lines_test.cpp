#include "workloads/text/event_lines.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace tally {
namespace {

using namespace std::chrono_literals;

TEST(EventLines, AKeyAloneIsTheWholeLine) {
  EventLine const line = parse_event_line("GET /index.html 200");
  EXPECT_EQ(line.problem, "");
  EXPECT_EQ(line.key, "GET /index.html 200");
  EXPECT_FALSE(line.timed);
}

TEST(EventLines, ATimeStandsBeforeTheTab) {
  for (auto const& [text, time] : {std::pair{"0\tk", 0ns},
                                   {"1714564800\tk", 1714564800s + 0ns},
                                   {"1714564800.25\tk", 1714564800s + 250ms},
                                   {"12.000000001\tk", 12s + 1ns}}) {
    EventLine const line = parse_event_line(text);
    EXPECT_EQ(line.problem, "") << text;
    EXPECT_EQ(line.key, "k");
    EXPECT_TRUE(line.timed);
    EXPECT_EQ(line.time, time) << text;
    EXPECT_FALSE(line.stamped);
  }
}

TEST(EventLines, WhatCannotBeReadSaysWhy) {
  for (auto const& [text, why] : {std::pair{"", "no key"},
                                  {"12\t", "no key"},
                                  {"12\t\t5\t6", "no key"},
                                  {"\tk", "no time"},
                                  {"12.\tk", "no time"},
                                  {"-1\tk", "no time"},
                                  {"+1\tk", "no time"},
                                  {"1e3\tk", "no time"},
                                  {" 1\tk", "no time"},
                                  {"1.2.3\tk", "no time"},
                                  {"1.0000000001\tk", "no time"},
                                  {"99999999999\tk", "no time"},
                                  {"99999999999999999999\tk", "no time"},
                                  {"1\tk\t5", "no stamp"},
                                  {"1\tk\t5\tx", "no stamp"},
                                  {"1\tk\t\t5", "no stamp"},
                                  {"1\tk\t5\t6\t7", "no stamp"},
                                  {"1\tk\t9223372036854775807\t1", "no stamp"}}) {
    EXPECT_NE(parse_event_line(text).problem.find(why), std::string_view::npos)
        << text << ": " << parse_event_line(text).problem;
  }
}

TEST(EventLines, WhatIsWrittenIsRead) {
  std::array<char, kMaxEventLineBytes> out{};
  std::size_t size = write_event_line(out, 4'294'967'295u);
  EXPECT_EQ(std::string(out.data(), size), "4294967295\n");
  size = write_event_line(out, 7, 3s + 5ns);
  EXPECT_EQ(std::string(out.data(), size), "3.000000005\t7\n");
  size = write_event_line(out, 4'294'967'295u, 9'000'000'000s - 1ns,
                          {std::chrono::nanoseconds(INT64_MAX - 1'000'000'000'000), 1'000s});
  ASSERT_LE(size, kMaxEventLineBytes);
  ASSERT_EQ(out[size - 1], '\n');
  EventLine const line = parse_event_line({out.data(), size - 1});
  EXPECT_EQ(line.problem, "");
  EXPECT_EQ(line.key, "4294967295");
  EXPECT_EQ(line.time, 9'000'000'000s - 1ns);
  EXPECT_TRUE(line.stamped);
  EXPECT_EQ(line.due.count(), INT64_MAX - 1'000'000'000'000);
  EXPECT_EQ(line.late, 1'000s);
}

TEST(EventLines, NoTwoShortKeysHaveTheSameWord) {
  using namespace std::string_literals;
  std::set<std::uint64_t> words;
  std::size_t keys = 0;
  for (std::string const& key : {"a"s, "b"s, "ab"s, "ba"s, "\0"s, "\0\0"s, "a\0"s, "\0a"s, "1234567"s,
                                 "123456"s, "\xff\xff\xff\xff\xff\xff\xff"s}) {
    std::string const padded = key + "garbage behind it";
    std::uint64_t const word = short_key(padded.data(), key.size());
    EXPECT_EQ(word, short_key((key + "something else").data(), key.size())) << "what follows does not matter";
    EXPECT_NE(word, 0u);
    words.insert(word);
    ++keys;
  }
  EXPECT_EQ(words.size(), keys);
}

}  // namespace
}  // namespace tally
