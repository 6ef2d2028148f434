#include "workloads/lookup/lookup_stream.hpp"

#include <charconv>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "workloads/lookup/resp.hpp"

namespace tally {
namespace {

class SyntheticLookups final : public LookupStream {
 public:
  SyntheticLookups(KeySpec const& keys, std::uint64_t events, Grain grain, std::chrono::nanoseconds window,
                   LookupTarget service, std::uint64_t first)
      : keys_(keys),
        events_(events),
        first_(first),
        grain_(grain),
        window_(window),
        service_(std::move(service)) {
    if (service_.prefix.size() > LookupTarget::kMostPrefixBytes)
      throw std::invalid_argument("the prefix '" + service_.prefix + "' is longer than the " +
                                  std::to_string(LookupTarget::kMostPrefixBytes) +
                                  " bytes that a request has room for");
  }

  LookupTarget const& service() const noexcept override { return service_; }
  std::uint64_t events() const noexcept override { return events_; }
  std::chrono::nanoseconds grain() const noexcept override { return grain_.duration; }
  Counts empty_tally() const override { return Counts::dense(keys_.spec().keys); }
  std::uint64_t windows() const noexcept override { return synthetic_windows(first_ + events_, window_); }

  std::size_t request(std::uint64_t event, std::span<char, kMaxRequestBytes> out) const noexcept override {
    // The longest: 14 bytes to the length, 2 digits of it, CRLF, the prefix, 20 digits of 2^64 - 1, CRLF.
    static constexpr std::string_view kHead = "*2\r\n$3\r\nGET\r\n$";
    static_assert(kHead.size() + 2 + 2 + LookupTarget::kMostPrefixBytes + 20 + 2 <= kMaxRequestBytes);
    char digits[20];
    auto const count = static_cast<std::size_t>(
        std::to_chars(digits, digits + sizeof digits, service_.slot_of(first_ + event)).ptr - digits);
    std::size_t const key_bytes = service_.prefix.size() + count;
    char* p = out.data();
    p = append(p, kHead);
    if (key_bytes >= 10) *p++ = static_cast<char>('0' + key_bytes / 10);
    *p++ = static_cast<char>('0' + key_bytes % 10);
    p = append(p, "\r\n");
    p = append(p, service_.prefix);
    p = append(p, {digits, count});
    p = append(p, "\r\n");
    return static_cast<std::size_t>(p - out.data());
  }

  std::size_t reply_length(std::span<char const> received) const override {
    std::string_view const bytes{received.data(), received.size()};
    RespReply const reply = parse_resp_reply(bytes);
    switch (reply.kind) {
      case RespReply::Kind::bulk:
      case RespReply::Kind::null:
        if (reply.length <= kMaxReplyBytes) return reply.length;
        break;
      case RespReply::Kind::incomplete:
        if (reply.length <= kMaxReplyBytes && bytes.size() < kMaxReplyBytes) return 0;
        if (!bytes.starts_with('-')) break;
        throw LookupFailed("the lookup service answered with an error: " + printable(bytes.substr(1)));
      case RespReply::Kind::error:
        throw LookupFailed("the lookup service answered with an error: " + printable(reply.text, 256));
      case RespReply::Kind::other:
        throw LookupFailed("the lookup service answered a GET with something other than a string: \"" +
                           printable(bytes, 32) + "\"");
      case RespReply::Kind::broken:
        throw LookupFailed(
            "the lookup service does not speak the Redis protocol (RESP2): its answer begins \"" +
            printable(bytes, 32) + "\"");
    }
    throw LookupFailed("the lookup service's answer is longer than the " + std::to_string(kMaxReplyBytes) +
                       " bytes that an answer with a key can take: it begins \"" + printable(bytes, 32) +
                       "\"");
  }

  std::string_view key_in(std::uint64_t event, std::span<char const> reply) const override {
    std::uint32_t key = 0;
    return read_key(event, reply, key);
  }

  void accept(std::uint64_t event, std::span<char const> reply, Counts& tally) const override {
    std::uint32_t key = 0;
    read_key(event, reply, key);
    count(first_ + event, key, tally);
    tally.cover(first_ + event, first_ + event + 1);
  }

  Counts reference() const override {
    Counts counts = empty_tally();
    for (std::uint64_t event = first_; event < first_ + events_; ++event)
      count(event, keys_.key(service_.slot_of(event)), counts);
    if (events_ > 0) counts.cover(first_, first_ + events_);
    return counts;
  }

 private:
  /// The key in `reply` to the event at `position`, as text and as a number.
  std::string_view read_key(std::uint64_t position, std::span<char const> reply, std::uint32_t& key) const {
    std::uint64_t const event = first_ + position;
    RespReply const answer = parse_resp_reply({reply.data(), reply.size()});
    if (answer.kind == RespReply::Kind::null)
      throw LookupFailed("the lookup service has no value for event " + std::to_string(event) + ", key " +
                         service_.prefix + std::to_string(service_.slot_of(event)));
    std::string_view const text = answer.text;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), key);
    if (answer.kind != RespReply::Kind::bulk || error != std::errc{} || end != text.data() + text.size() ||
        key >= keys_.spec().keys)
      throw LookupFailed("the lookup service answered event " + std::to_string(event) + " with \"" +
                         printable(text) + "\", which is not a key: a decimal number below " +
                         std::to_string(keys_.spec().keys));
    return text;
  }

  static char* append(char* to, std::string_view text) noexcept {
    std::memcpy(to, text.data(), text.size());
    return to + text.size();
  }

  void count(std::uint64_t event, std::uint32_t key, Counts& tally) const {
    ++tally.dense_row(window_of(event))[key];
    ++tally.events;
    ++tally.replies;
    tally.pairs += Counts::pair_mark(event, key);
    tally.checksum += Grinder(grain_.iterations, tally.chain)(event);
  }

  std::uint64_t window_of(std::uint64_t event) const noexcept {
    if (window_.count() <= 0) return 0;
    return event * static_cast<std::uint64_t>(kEventSpacing.count()) /
           static_cast<std::uint64_t>(window_.count());
  }

  KeyGenerator keys_;
  std::uint64_t events_;
  std::uint64_t first_;
  Grain grain_;
  std::chrono::nanoseconds window_;
  LookupTarget service_;
};

}  // namespace

std::unique_ptr<LookupStream> make_lookup_stream(KeySpec const& keys, std::uint64_t events, Grain grain,
                                                 std::chrono::nanoseconds window, LookupTarget service,
                                                 std::uint64_t first) {
  return std::make_unique<SyntheticLookups>(keys, events, grain, window, std::move(service), first);
}

}  // namespace tally
