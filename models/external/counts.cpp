#include "models/external/counts.hpp"

#include <charconv>
#include <limits>
#include <memory>
#include <optional>

#include "workloads/lookup/resp.hpp"

namespace tally {
namespace {

/// The number that `text` spells in decimal, without sign or leading zeros.
std::optional<std::uint64_t> number_in(std::string_view text) {
  std::uint64_t number = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  return number;
}

/// Seconds with up to nine decimals, in nanoseconds.
std::optional<std::int64_t> seconds_in(std::string_view text) {
  constexpr std::size_t kDecimals = 9;
  constexpr std::uint64_t kPerSecond = 1'000'000'000;
  auto const dot = text.find('.');
  auto const whole = number_in(text.substr(0, dot));
  if (!whole || *whole > std::uint64_t{std::numeric_limits<std::int64_t>::max()} / kPerSecond - 1)
    return std::nullopt;
  std::uint64_t ns = 0;
  if (dot != std::string_view::npos) {
    std::string_view const decimals = text.substr(dot + 1);
    if (decimals.empty() || decimals.size() > kDecimals) return std::nullopt;
    for (std::size_t i = 0; i < kDecimals; ++i) {
      char const digit = i < decimals.size() ? decimals[i] : '0';
      if (digit < '0' || digit > '9') return std::nullopt;
      ns = ns * 10 + static_cast<std::uint64_t>(digit - '0');
    }
  }
  return static_cast<std::int64_t>(*whole * kPerSecond + ns);
}

}  // namespace

CountReader::CountReader(CountRules const& rules, Counts& into) : rules_(rules), counts_(into) {}

void CountReader::refuse(std::string const& why) const {
  throw ExternalFailed("its counts cannot be read: " + why + ", in the line \"" + printable(line_) + "\"");
}

void CountReader::add(std::string_view bytes) {
  while (!bytes.empty()) {
    auto const end = bytes.find('\n');
    std::string_view const piece = bytes.substr(0, end);
    if (part_.size() + piece.size() > kMaxLineBytes) {
      part_.append(piece.substr(0, kMaxLineBytes - part_.size()));
      line_ = part_;
      refuse("longer than " + std::to_string(kMaxLineBytes) + " bytes");
    }
    if (end == std::string_view::npos) {
      part_.append(piece);
      return;
    }
    if (part_.empty()) {
      take(piece);
    } else {
      part_.append(piece);
      take(part_);
      part_.clear();
    }
    bytes.remove_prefix(end + 1);
  }
}

void CountReader::end() {
  line_ = part_;
  if (!part_.empty()) refuse("it has no end");
}

void CountReader::take(std::string_view line) {
  line_ = line;
  if (++lines_ > rules_.lines_max)
    refuse("more than the " + std::to_string(rules_.lines_max) + " lines that there can be");
  bool const windowed = rules_.window.count() > 0;
  std::int64_t start_ns = 0;
  if (windowed) {
    auto const tab = line.find('\t');
    if (tab == std::string_view::npos) refuse("expected window_start<TAB>count<TAB>key");
    auto const start = seconds_in(line.substr(0, tab));
    if (!start) refuse("a window's start is in seconds, with up to nine decimals");
    if (*start % rules_.window.count() != 0) refuse("no window starts there");
    start_ns = *start;
    line.remove_prefix(tab + 1);
  }
  auto const tab = line.find('\t');
  if (tab == std::string_view::npos)
    refuse(windowed ? "expected window_start<TAB>count<TAB>key" : "expected count<TAB>key");
  auto const count = number_in(line.substr(0, tab));
  if (!count || *count == 0) refuse("a count is a decimal number from 1 on");
  std::string_view const key = line.substr(tab + 1);
  if (key.empty()) refuse("the key is empty");
  if (key.size() > kMaxKeyBytes) refuse("the key is longer than " + std::to_string(kMaxKeyBytes) + " bytes");
  if (counts_.kind() == KeyKind::dense)
    count_dense(start_ns, key, *count);
  else
    count_text(start_ns, key, *count);
  counts_.events += *count;
}

void CountReader::count_dense(std::int64_t start_ns, std::string_view key, std::uint64_t count) {
  auto const number = number_in(key);
  if (!number || *number >= counts_.keys())
    refuse("keys are numbers from 0 to " + std::to_string(counts_.keys() - 1));
  std::uint64_t const window =
      rules_.window.count() > 0 ? static_cast<std::uint64_t>(start_ns / rules_.window.count()) : 0;
  if (window >= rules_.windows_max) refuse("no event is in that window");
  std::uint64_t& counted = counts_.dense_row(window)[*number];
  if (counted != 0) refuse("the key was there before");
  counted = count;
}

void CountReader::count_text(std::int64_t start_ns, std::string_view key, std::uint64_t count) {
  TextMap& map = counts_.text_window(start_ns);
  std::size_t const known = map.size();
  std::uint64_t& counted = counts_.count_of_copied(map, key, TextHash{}(key));
  if (map.size() == known) refuse("the key was there before");
  counted = count;
}

}  // namespace tally
