// The protocol, the delays and the lookup stream, against known answers; no sockets.
#include "workloads/lookup/resp.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "workloads/lookup/lookup_wait.hpp"
#include "workloads/lookup/lookup_stream.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;
using State = RespRequest::State;
using Kind = RespReply::Kind;

TEST(RespRequest, ReadsAnArrayOfBulkStringsAndSaysWhereItEnds) {
  std::string const get = "*2\r\n$3\r\nGET\r\n$7\r\nevent:5\r\n";
  std::string const more = get + "*1\r\n";
  RespRequest const request = parse_resp_request(more);
  EXPECT_EQ(request.state, State::complete);
  EXPECT_EQ(request.length, get.size());
  ASSERT_EQ(request.count, 2U);
  EXPECT_EQ(request.words[0], "GET");
  EXPECT_EQ(request.words[1], "event:5");
}

TEST(RespRequest, IsIncompleteAtEveryByteBeforeItsLast) {
  for (std::string const whole :
       {"*2\r\n$3\r\nGET\r\n$7\r\nevent:5\r\n", "PING hello\r\n", "*1\r\n$0\r\n\r\n"}) {
    for (std::size_t n = 0; n < whole.size(); ++n)
      EXPECT_EQ(parse_resp_request(whole.substr(0, n)).state, State::incomplete) << whole << " cut at " << n;
    EXPECT_EQ(parse_resp_request(whole).state, State::complete) << whole;
    EXPECT_EQ(parse_resp_request(whole).length, whole.size()) << whole;
  }
}

TEST(RespRequest, ReadsInlineCommandsByBlanks) {
  RespRequest const request = parse_resp_request("  GET\t event:12 \r\nPING\r\n");
  EXPECT_EQ(request.state, State::complete);
  EXPECT_EQ(request.length, 18U);
  ASSERT_EQ(request.count, 2U);
  EXPECT_EQ(request.words[0], "GET");
  EXPECT_EQ(request.words[1], "event:12");
}

TEST(RespRequest, TakesEmptyRequestsAndCountsWordsThatItDoesNotKeep) {
  for (std::string const empty : {"\r\n", "\n", "*0\r\n", "*-1\r\n"}) {
    EXPECT_EQ(parse_resp_request(empty).state, State::complete) << empty;
    EXPECT_EQ(parse_resp_request(empty).count, 0U) << empty;
    EXPECT_EQ(parse_resp_request(empty).length, empty.size()) << empty;
  }
  EXPECT_EQ(parse_resp_request("a b c d e f\n").count, 6U);
}

TEST(RespRequest, NamesWhatIsBroken) {
  struct {
    std::string bytes, error;
  } const cases[] = {
      {"*x\r\n", "Protocol error: invalid multibulk length"},
      {"*1025\r\n", "Protocol error: invalid multibulk length"},
      {"*99999999999999999999999\r\n", "Protocol error: invalid multibulk length"},
      {"*1\rx", "Protocol error: invalid multibulk length"},
      {"*1\r\nGET\r\n", "Protocol error: expected '$', got 'G'"},
      {"*1\r\n\x01", "Protocol error: expected '$', got '\\x01'"},
      {"*1\r\n$-1\r\n", "Protocol error: invalid bulk length"},
      {"*1\r\n$3x\r\n", "Protocol error: invalid bulk length"},
      {"*1\r\n$536870912\r\n", "Protocol error: invalid bulk length"},
      {"*1\r\n$3\r\nGETxx", "Protocol error: bulk string is not followed by CRLF"},
      {std::string(kMaxRespRequestBytes, 'a'), "Protocol error: too big inline request"},
  };
  for (auto const& c : cases) {
    EXPECT_EQ(parse_resp_request(c.bytes).state, State::broken) << printable(c.bytes);
    EXPECT_EQ(parse_resp_request(c.bytes).error, c.error) << printable(c.bytes);
  }
}

TEST(RespRequest, IsNeverIncompleteAtItsGreatestLength) {
  std::string many = "*1024\r\n";
  while (many.size() < kMaxRespRequestBytes) many += "$100\r\n" + std::string(100, 'x') + "\r\n";
  for (std::size_t n = kMaxRespRequestBytes; n < many.size(); ++n)
    EXPECT_EQ(parse_resp_request(many.substr(0, n)).state, State::broken) << n;
}

TEST(RespReply, TellsStringsNullErrorsAndRubbishApart) {
  EXPECT_EQ(parse_resp_reply("$3\r\n123\r\n$").kind, Kind::bulk);
  EXPECT_EQ(parse_resp_reply("$3\r\n123\r\n$").text, "123");
  EXPECT_EQ(parse_resp_reply("$3\r\n123\r\n$").length, 9U);
  EXPECT_EQ(parse_resp_reply("$0\r\n\r\n").kind, Kind::bulk);
  EXPECT_EQ(parse_resp_reply("$-1\r\n").kind, Kind::null);
  EXPECT_EQ(parse_resp_reply("$-1\r\n").length, 5U);
  EXPECT_EQ(parse_resp_reply("-ERR no\r\n").kind, Kind::error);
  EXPECT_EQ(parse_resp_reply("-ERR no\r\n").text, "ERR no");
  for (std::string const other : {"+OK\r\n", ":1\r\n", "*1\r\n"})
    EXPECT_EQ(parse_resp_reply(other).kind, Kind::other);
  for (std::string const rubbish : {"HTTP/1.1", "$x\r\n", "$-2\r\n", "$3\r\n123xx", "$\r\n", "\xff"})
    EXPECT_EQ(parse_resp_reply(rubbish).kind, Kind::broken) << rubbish;
  for (std::string const part :
       {"", "$", "$3", "$3\r", "$3\r\n", "$3\r\n123", "$3\r\n123\r", "-ERR", "-ERR x\r"})
    EXPECT_EQ(parse_resp_reply(part).kind, Kind::incomplete) << part;
}

TEST(RespReply, EscapesWhatAnErrorMayNotHold) {
  std::string out;
  append_resp_error(out, "unknown 'a\r\n\x7f'");
  EXPECT_EQ(out, "-ERR unknown 'a\\r\\n\\x7f'\r\n");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
}

// Delays. All draws are seeded, so each figure is the same in every run; tolerances are several standard
// errors.

struct Draws {
  double mean_us, median_us, p99_us;
};
Draws draw(WaitDistribution distribution) {
  constexpr std::uint64_t kDraws = 200'000;
  std::vector<double> us;
  us.reserve(kDraws);
  double sum = 0;
  for (std::uint64_t event = 0; event < kDraws; ++event) {
    us.push_back(std::chrono::duration<double, std::micro>(draw_wait({1ms, distribution}, 7, event)).count());
    sum += us.back();
  }
  std::sort(us.begin(), us.end());
  return {sum / kDraws, us[kDraws / 2], us[kDraws / 100 * 99]};
}

TEST(DrawWait, ExponentialHasItsMeanAndQuantiles) {
  Draws const draws = draw(WaitDistribution::exponential);
  EXPECT_NEAR(draws.mean_us, 1000, 10);
  EXPECT_NEAR(draws.median_us, 1000 * std::log(2), 10);
  EXPECT_NEAR(draws.p99_us, 1000 * std::log(100), 100);
}

TEST(DrawWait, LognormalOfSigmaOneHasItsMeanAndQuantiles) {
  Draws const draws = draw(WaitDistribution::lognormal);
  EXPECT_NEAR(draws.mean_us, 1000, 15);
  EXPECT_NEAR(draws.median_us, 1000 * std::exp(-0.5), 10);
  EXPECT_NEAR(draws.p99_us, 1000 * std::exp(2.3263 - 0.5), 200);
}

TEST(DrawWait, FixedIsTheMeanAndNoMeanIsNoWait) {
  EXPECT_EQ(draw_wait({1ms, WaitDistribution::fixed}, 1, 99), 1ms);
  for (auto const distribution :
       {WaitDistribution::fixed, WaitDistribution::exponential, WaitDistribution::lognormal})
    EXPECT_EQ(draw_wait({0ns, distribution}, 1, 99), 0ns);
}

TEST(DrawWait, DependsOnSeedAndEventAloneAndSaysNothingOfTheKey) {
  WaitSpec const spec{1ms, WaitDistribution::exponential};
  EXPECT_EQ(draw_wait(spec, 1, 5), draw_wait(spec, 1, 5));
  EXPECT_NE(draw_wait(spec, 1, 5), draw_wait(spec, 2, 5));
  EXPECT_NE(draw_wait(spec, 1, 5), draw_wait(spec, 1, 6));
  // Mean wait of the events with low keys and with high keys: alike, if key and wait are drawn apart.
  KeyGenerator const keys({.seed = 1, .keys = 2});
  double sum[2] = {}, count[2] = {};
  for (std::uint64_t event = 0; event < 100'000; ++event) {
    auto const key = keys.key(event);
    sum[key] += static_cast<double>(draw_wait(spec, 1, event).count());
    ++count[key];
  }
  EXPECT_NEAR(sum[0] / count[0] / (sum[1] / count[1]), 1, 0.03);
}

TEST(DrawWait, IsTheSameOnEveryMachine) {
  EXPECT_EQ(draw_wait({1ms, WaitDistribution::exponential}, 1, 0).count(), 4661);
  EXPECT_EQ(draw_wait({1ms, WaitDistribution::exponential}, 42, 1'000'000).count(), 995212);
  EXPECT_EQ(draw_wait({1ms, WaitDistribution::lognormal}, 1, 0).count(), 536241);
  EXPECT_EQ(draw_wait({1ms, WaitDistribution::lognormal}, 42, 1'000'000).count(), 1133414);
}

// The lookup stream.

KeySpec const kKeys{.seed = 3, .keys = 100, .skew = 1};

std::string request_of(LookupStream const& stream, std::uint64_t event) {
  char bytes[LookupStream::kMaxRequestBytes];
  return {bytes, stream.request(event, bytes)};
}

std::string why_not_resp(auto&& action) {
  try {
    action();
  } catch (LookupFailed const& failure) {
    return failure.what();
  }
  return "no LookupFailed";
}

TEST(LookupStream, WritesRequestsThatTheParserReads) {
  auto const stream = make_lookup_stream(kKeys, 10, {}, 0ns, {});
  EXPECT_EQ(request_of(*stream, 7), "*2\r\n$3\r\nGET\r\n$7\r\nevent:7\r\n");
  for (std::uint64_t const event : {0UL, 9UL, 10UL, 999UL, 1000UL, 9999UL, 10000UL, ~0UL}) {
    std::string const bytes = request_of(*stream, event);
    RespRequest const request = parse_resp_request(bytes);
    EXPECT_EQ(request.length, bytes.size());
    EXPECT_EQ(request.words[0], "GET");
    EXPECT_EQ(request.words[1], "event:" + std::to_string(event));
  }
}

TEST(LookupStream, CountsByTheKeyInTheReplyAsTheReferenceDoes) {
  Grain const grain{1ns, 3};
  auto const stream = make_lookup_stream(kKeys, 5000, grain, 1ms, {});
  KeyGenerator const keys(kKeys);
  Counts tally = stream->empty_tally();
  for (std::uint64_t event = 5000; event-- > 0;) {
    std::string reply;
    append_resp_bulk(reply, std::to_string(keys.key(event)));
    ASSERT_EQ(stream->reply_length(reply), reply.size());
    stream->accept(event, reply, tally);
  }
  EXPECT_EQ(stream->reference().difference(tally), "");
  EXPECT_EQ(tally.events, 5000U);
  EXPECT_EQ(tally.replies, 5000U);
  EXPECT_EQ(tally.windows().size(), 5U);  // 1000 events of 1 us each in a millisecond
  // And a reply with another key is seen.
  Counts other = stream->empty_tally();
  for (std::uint64_t event = 0; event < 5000; ++event) {
    std::string reply;
    append_resp_bulk(reply, std::to_string(event == 17 ? (keys.key(event) + 1) % 100 : keys.key(event)));
    stream->accept(event, reply, other);
  }
  EXPECT_NE(stream->reference().difference(other), "");
}

TEST(LookupStream, AnswersSwappedBetweenTwoEventsAreSeenThoughTheirKeysHaveTheSameCounts) {
  auto const stream = make_lookup_stream(kKeys, 1000, {}, 0ns, {});
  KeyGenerator const keys(kKeys);
  std::uint64_t const one = 17;
  std::uint64_t other = one + 1;
  while (keys.key(other) == keys.key(one)) ++other;
  Counts tally = stream->empty_tally();
  for (std::uint64_t event = 0; event < 1000; ++event) {
    std::string reply;
    append_resp_bulk(reply, std::to_string(keys.key(event == one ? other : event == other ? one : event)));
    stream->accept(event, reply, tally);
  }
  EXPECT_TRUE(stream->reference().difference(tally).starts_with("checksum of events with their keys"))
      << stream->reference().difference(tally);
}

TEST(LookupStream, AsksForAsManyKeysAsTheServiceHasAgainAndAgain) {
  LookupTarget target;
  target.prefix = "tally:0123456789ab:";
  target.slots = 1000;
  auto const stream = make_lookup_stream(kKeys, 2500, {}, 0ns, target);
  EXPECT_EQ(request_of(*stream, 2023), "*2\r\n$3\r\nGET\r\n$21\r\ntally:0123456789ab:23\r\n");
  KeyGenerator const keys(kKeys);
  Counts tally = stream->empty_tally();
  for (std::uint64_t event = 0; event < 2500; ++event) {
    std::string reply;
    append_resp_bulk(reply, std::to_string(keys.key(event % 1000)));
    stream->accept(event, reply, tally);
  }
  EXPECT_EQ(stream->reference().difference(tally), "");
  EXPECT_NE(make_lookup_stream(kKeys, 2500, {}, 0ns, {})->reference().difference(tally), "");
}

TEST(LookupStream, LongestRequestHasRoom) {
  LookupTarget target;
  target.prefix.assign(LookupTarget::kMostPrefixBytes, 'p');
  EXPECT_EQ(request_of(*make_lookup_stream(kKeys, 1, {}, 0ns, target), ~0UL).size(),
            LookupStream::kMaxRequestBytes);
  target.prefix += 'p';
  EXPECT_THROW(make_lookup_stream(kKeys, 1, {}, 0ns, target), std::invalid_argument);
}

TEST(LookupStream, WaitsForTheWholeReply) {
  auto const stream = make_lookup_stream(kKeys, 10, {}, 0ns, {});
  std::string const reply = "$2\r\n42\r\n";
  for (std::size_t n = 0; n < reply.size(); ++n)
    EXPECT_EQ(stream->reply_length(std::span{reply}.first(n)), 0U) << n;
  EXPECT_EQ(stream->reply_length(std::string{"$2\r\n42\r\n$3"}), reply.size());
}

TEST(LookupStream, NamesWhatTheServiceAnsweredInstead) {
  auto const stream = make_lookup_stream(kKeys, 10, {}, 0ns, {});
  struct {
    std::string reply, says;
  } const replies[] = {
      {"-ERR out of\x1b order\r\n", "the lookup service answered with an error: ERR out of\\x1b order"},
      {"-" + std::string(100, 'e'),
       "the lookup service answered with an error: " + std::string(64, 'e') + "..."},
      {"HTTP/1.1 400 Bad Request\r\n",
       "the lookup service does not speak the Redis protocol (RESP2): its answer begins \"HTTP/1.1 400 Bad "
       "Request\\r\\n\""},
      {"+OK\r\n", "the lookup service answered a GET with something other than a string: \"+OK\\r\\n\""},
      {"$100\r\n",
       "the lookup service's answer is longer than the 64 bytes that an answer with a key can take: it "
       "begins "
       "\"$100\\r\\n\""},
  };
  for (auto const& c : replies) EXPECT_EQ(why_not_resp([&] { stream->reply_length(c.reply); }), c.says);

  Counts tally = stream->empty_tally();
  EXPECT_EQ(stream->reply_length(std::string{"$-1\r\n"}), 5U);
  EXPECT_EQ(why_not_resp([&] { stream->accept(7, std::string{"$-1\r\n"}, tally); }),
            "the lookup service has no value for event 7, key event:7");
  for (std::string const key : {"100", "x", "", "1 ", "-1", "99999999999"}) {
    std::string reply;
    append_resp_bulk(reply, key);
    EXPECT_EQ(why_not_resp([&] { stream->accept(7, reply, tally); }),
              "the lookup service answered event 7 with \"" + key +
                  "\", which is not a key: a decimal number below 100");
  }
  EXPECT_EQ(tally.events, 0U);
}

}  // namespace
}  // namespace tally
