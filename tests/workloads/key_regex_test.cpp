// Lines keyed by a regular expression.
#include "workloads/text/key_regex.hpp"

#include <gtest/gtest.h>

#include <string>

namespace tally {
namespace {

std::string refusal_of_pattern(std::string const& pattern, std::string const& time = "") {
  try {
    KeyRegex(pattern, time);
  } catch (std::invalid_argument const& refused) {
    return refused.what();
  }
  return "";
}

TEST(KeyRegex, TheKeyIsTheGroupWhereverItMatches) {
  KeyRegex const regex("user=(\\w*)", "");
  EXPECT_EQ(regex.parse("at 12:00 user=ann user=bob", {}).key, "ann") << "the first match";
  EXPECT_EQ(regex.parse("user=", {}).key, "");
  EXPECT_EQ(regex.parse("nobody", {}).problem, "the regex does not match");
  EXPECT_EQ(KeyRegex("a|(b)", "").parse("a", {}).problem, "the key's group took no part in the match");
}

TEST(KeyRegex, ASecondGroupThatHasANameIsTheTime) {
  for (char const* const pattern : {"(?P<t>\\d+) (\\w+)", "(?P<t>\\d+) (?P<key>\\w+)"}) {
    ParsedLine const parsed = KeyRegex(pattern, "t").parse("60 ann", TimeFormat("epoch-s"));
    EXPECT_EQ(parsed.key, "ann");
    EXPECT_EQ(parsed.time_s, 60);
  }
  EXPECT_EQ(KeyRegex("(\\w+) (?P<t>.*)", "t").parse("ann soon", {}).problem, TimeFormat().problem());
  EXPECT_EQ(KeyRegex("(\\w+)(?: (?P<t>.*)|)", "t").parse("ann", {}).problem,
            "the time's group took no part in the match");
}

TEST(KeyRegex, OtherGroupsAreRefused) {
  EXPECT_NE(refusal_of_pattern("user"), "");
  EXPECT_NE(refusal_of_pattern("(a)(b)").find("has 2 groups"), std::string::npos);
  EXPECT_EQ(refusal_of_pattern("(a)(?:b)"), "");
  EXPECT_NE(refusal_of_pattern("(a)(b)", "t").find("no group called 't'"), std::string::npos);
  EXPECT_NE(refusal_of_pattern("(?P<t>a)", "t"), "");
}

TEST(KeyRegex, WhatIsNoRegexIsRefusedWithTheReason) {
  EXPECT_NE(refusal_of_pattern("(a").find("missing )"), std::string::npos) << refusal_of_pattern("(a");
  EXPECT_NE(refusal_of_pattern("(a)\\1"), "") << "not in linear time";
}

}  // namespace
}  // namespace tally
