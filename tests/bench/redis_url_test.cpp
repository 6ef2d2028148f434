#include "bench/services/redis_url.hpp"

#include <gtest/gtest.h>

#include "bench/base/usage_error.hpp"
#include "bench/services/ping.hpp"
#include "bench/services/redis_connection.hpp"

namespace tally {
namespace {

RedisUrl parse_url(std::string_view text) { return parse_redis_url("--service", text); }

std::string refusal_of_url(std::string_view text) {
  try {
    parse_url(text);
  } catch (UsageError const& error) {
    return error.what();
  }
  return "";
}

TEST(RedisUrl, EachOfItsPartsIsRead) {
  RedisUrl const plain = parse_url("redis://127.0.0.1:6379");
  EXPECT_EQ(plain.host, "127.0.0.1");
  EXPECT_EQ(plain.port, 6379);
  EXPECT_EQ(plain.user, "");
  EXPECT_EQ(plain.password, "");
  EXPECT_FALSE(plain.database);

  RedisUrl const whole = parse_url("redis://ada:pass@db-1.example.org:7000/12");
  EXPECT_EQ(whole.user, "ada");
  EXPECT_EQ(whole.password, "pass");
  EXPECT_EQ(whole.host, "db-1.example.org");
  EXPECT_EQ(whole.port, 7000);
  EXPECT_EQ(whole.database, 12);

  EXPECT_EQ(parse_url("redis://:pass@h:1").password, "pass");
  EXPECT_EQ(parse_url("redis://:pass@h:1").user, "");
  EXPECT_EQ(parse_url("redis://ada@h:1").user, "ada");
  EXPECT_FALSE(parse_url("redis://h:1/").database);
  EXPECT_EQ(parse_url("redis://h:1/0").database, 0);
}

TEST(RedisUrl, WhatIsPercentEncodedIsDecodedAndAPasswordMayHoldAnything) {
  EXPECT_EQ(parse_url("redis://a%40b:c%3Ad%2f%25@h:1").user, "a@b");
  EXPECT_EQ(parse_url("redis://a%40b:c%3Ad%2f%25@h:1").password, "c:d/%");
  EXPECT_EQ(parse_url("redis://:a:b@c/d@h:1").password, "a:b@c/d");
  for (auto const* text : {"redis://:%@h:1", "redis://:%4@h:1", "redis://:%zz@h:1", "redis://:a%4"}) {
    EXPECT_NE(refusal_of_url(text), "") << text;
  }
}

TEST(RedisUrl, WhatIsNoneIsRefusedInALineThatSaysWhatToWrite) {
  for (auto const* text : {"",
                           "redis",
                           "redis://",
                           "redis://h",
                           "redis://h:",
                           "redis://h:0",
                           "redis://h:65536",
                           "redis://h:1k",
                           "redis://h:-1",
                           "redis://:6379",
                           "redis://h h:1",
                           "redis://h:1/x",
                           "redis://h:1/-1",
                           "redis://h:1/1/2",
                           "redis://[::1]:6379",
                           "rediss://h:1",
                           "http://h:1",
                           "h:1",
                           "unix:///run/redis.sock",
                           "redis://a:b@:1",
                           "redis://h:1/99999999999"}) {
    std::string const said = refusal_of_url(text);
    EXPECT_NE(said, "") << text << " was taken";
    EXPECT_EQ(said.find('\n'), std::string::npos) << said;
    EXPECT_NE(said.find("--service"), std::string::npos) << said;
    EXPECT_NE(said.find("redis://HOST:PORT"), std::string::npos) << said;
  }
}

TEST(RedisUrl, IsShownWithoutItsPassword) {
  EXPECT_EQ(parse_url("redis://:p@h:1").shown(), "redis://h:1");
  EXPECT_EQ(parse_url("redis://ada:p@h:1/3").shown(), "redis://ada@h:1/3");
  EXPECT_EQ(parse_url("redis://a%40b:p@h:1").shown(), "redis://a%40b@h:1");
  for (auto const& [text, shown] : std::initializer_list<std::pair<char const*, char const*>>{
           {"redis://:p@h:1", "redis://h:1"},
           {"redis://ada:p@h:1/3", "redis://ada@h:1/3"},
           {"redis://ada@h:1", "redis://ada@h:1"},
           {"redis://h:1", "redis://h:1"},
           {"--service=redis://:p@q@h:1", "--service=redis://h:1"},
           {"rediss://:p@h:1", "rediss://h:1"},
           {"redis://:p", "redis://..."},
           {"--grain=1us", "--grain=1us"}})
    EXPECT_EQ(without_password(text), shown);
  EXPECT_EQ(refusal_of_url("redis://:secret@h:x").find("secret"), std::string::npos);
  EXPECT_EQ(refusal_of_url("redis://:secret%zz@h:1").find("secret"), std::string::npos);
}

TEST(RedisUrl, IsOverwrittenWhereItStands) {
  std::string argument = "--service=redis://ada:secret@h:1";
  hide_password(argument.data());
  EXPECT_EQ(argument, "--service=redis://ada:******@h:1");
  std::string other = "--seed=1";
  hide_password(other.data());
  EXPECT_EQ(other, "--seed=1");
}

TEST(RedisUrl, SaysFirstWhatItsUserAndItsDatabaseAsk) {
  EXPECT_TRUE(greeting_of(parse_url("redis://h:1")).empty());
  EXPECT_EQ(greeting_of(parse_url("redis://:p@h:1")), (std::vector<RedisCommand>{{"AUTH", "p"}}));
  EXPECT_EQ(greeting_of(parse_url("redis://ada:p@h:1/3")),
            (std::vector<RedisCommand>{{"AUTH", "ada", "p"}, {"SELECT", "3"}}));
  EXPECT_EQ(as_request({"SELECT", "3"}), "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
}

TEST(RedisUrl, ItsNameIsLookedUp) {
  EXPECT_EQ(describe(resolve(parse_url("redis://localhost:7"))), "127.0.0.1:7");
  EXPECT_EQ(describe(resolve(parse_url("redis://10.1.2.3:65535"))), "10.1.2.3:65535");
  try {
    resolve(parse_url("redis://no-such-host.invalid:1"));
    FAIL() << "it has an address";
  } catch (ServiceFailed const& failed) {
    EXPECT_TRUE(
        std::string(failed.what()).starts_with("no lookup service at redis://no-such-host.invalid:1: "))
        << failed.what();
  }
}

}  // namespace
}  // namespace tally
