#include "bench/base/units.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>

namespace tally {
namespace {

/// What is left of the text after its decimal number, and the number as digits * 10^-decimals.
struct Decimal {
  std::uint64_t digits = 0;
  int decimals = 0;
  std::string_view suffix;
};

/// None if `text` does not begin with an unsigned decimal number, or it has more digits than 64 bits hold.
std::optional<Decimal> read_decimal(std::string_view text) {
  Decimal number;
  bool any = false, point = false;
  std::size_t i = 0;
  for (; i < text.size(); ++i) {
    char const c = text[i];
    if (c == '.' && !point) {
      point = true;
      continue;
    }
    if (c < '0' || c > '9') break;
    any = true;
    auto const digit = static_cast<std::uint64_t>(c - '0');
    if (number.digits > (std::numeric_limits<std::uint64_t>::max() - digit) / 10) return std::nullopt;
    number.digits = number.digits * 10 + digit;
    if (point) ++number.decimals;
  }
  if (!any || (point && number.decimals == 0)) return std::nullopt;
  number.suffix = text.substr(i);
  return number;
}

/// digits * 10^(power - decimals), if that is whole and fits.
std::optional<std::uint64_t> scale(Decimal number, int power) {
  int exponent = power - number.decimals;
  for (; exponent < 0; ++exponent) {
    if (number.digits % 10 != 0) return std::nullopt;
    number.digits /= 10;
  }
  for (; exponent > 0; --exponent) {
    if (number.digits > std::numeric_limits<std::uint64_t>::max() / 10) return std::nullopt;
    number.digits *= 10;
  }
  return number.digits;
}

struct Unit {
  std::string_view name;
  int power;
};
constexpr std::array<Unit, 4> kTimeUnits{{{"ns", 0}, {"us", 3}, {"ms", 6}, {"s", 9}}};
constexpr std::array<Unit, 4> kPrefixes{{{"", 0}, {"k", 3}, {"M", 6}, {"G", 9}}};

std::optional<int> power_of(std::string_view name, std::array<Unit, 4> const& units) {
  auto const unit = std::find_if(units.begin(), units.end(), [&](Unit const& u) { return u.name == name; });
  return unit == units.end() ? std::nullopt : std::optional(unit->power);
}

[[noreturn]] void refuse_value(std::string_view flag, std::string_view text, std::string const& why) {
  throw UsageError(std::string(flag) + " '" + std::string(text) + "': " + why);
}

std::string three_digits(double value) {
  return format_fixed(value, value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2);
}

}  // namespace

std::chrono::nanoseconds parse_duration(std::string_view flag, std::string_view text) {
  auto const number = read_decimal(text);
  if (!number)
    refuse_value(flag, text, "write a duration of 0 or more with its unit ns, us, ms or s, such as 1.5ms");
  if (number->digits == 0 && number->suffix.empty()) return std::chrono::nanoseconds{0};
  auto const power = power_of(number->suffix, kTimeUnits);
  if (!power) {
    refuse_value(flag, text,
                 (number->suffix.empty() ? "the unit is missing"
                                         : "no such unit '" + std::string(number->suffix) + "'") +
                     "; write ns, us, ms or s, such as 1.5ms");
  }
  auto const ns = scale(*number, *power);
  if (!ns || *ns > static_cast<std::uint64_t>(std::chrono::nanoseconds::max().count())) {
    refuse_value(flag, text, "write a whole number of nanoseconds of at most 9.2e9 s");
  }
  return std::chrono::nanoseconds{static_cast<std::int64_t>(*ns)};
}

std::uint64_t parse_count(std::string_view flag, std::string_view text, std::uint64_t least,
                          std::uint64_t most) {
  std::string const range = most == UINT64_MAX
                                ? std::to_string(least) + " or more"
                                : "from " + std::to_string(least) + " to " + std::to_string(most);
  auto const number = read_decimal(text);
  auto const power = number ? power_of(number->suffix, kPrefixes) : std::nullopt;
  auto const value = power ? scale(*number, *power) : std::nullopt;
  if (!value) {
    refuse_value(flag, text,
                 "write a whole number " + range + ", with k, M or G for 1e3, 1e6 or 1e9 if you like");
  }
  if (*value < least || *value > most) refuse_value(flag, text, "write a number " + range);
  return *value;
}

double parse_number(std::string_view flag, std::string_view text, double least, double most) {
  double value = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value) || value < least ||
      value > most) {
    std::array<char, 96> range{};
    std::snprintf(range.data(), range.size(), "write a number from %g to %g", least, most);
    refuse_value(flag, text, range.data());
  }
  return value;
}

std::string format_duration(std::chrono::nanoseconds value) {
  std::int64_t const ns = value.count();
  if (ns == 0) return "0";
  for (auto unit = kTimeUnits.rbegin(); unit != kTimeUnits.rend(); ++unit) {
    std::int64_t step = 1;
    for (int i = 0; i < unit->power; ++i) step *= 10;
    if (ns < step || (ns % step) % std::max<std::int64_t>(step / 1000, 1) != 0) continue;
    std::string text = std::to_string(ns / step);
    if (std::int64_t const rest = ns % step; rest != 0) {
      std::string decimals = std::to_string(rest / (step / 1000) + 1000).substr(1);
      decimals.erase(decimals.find_last_not_of('0') + 1);
      text += "." + decimals;
    }
    return text + std::string(unit->name);
  }
  return std::to_string(ns) + "ns";
}

std::string format_scaled(double value) {
  constexpr std::array<std::string_view, 5> kNames{"", " k", " M", " G", " T"};
  std::size_t i = 0;
  for (; value >= 999.5 && i + 1 < kNames.size(); ++i) value /= 1000;
  if (i == 0 && value == std::floor(value)) return std::to_string(static_cast<int>(value));
  return three_digits(value) + std::string(kNames[i]);
}

std::string format_seconds(double seconds) {
  constexpr std::array<std::string_view, 4> kNames{" ns", " us", " ms", " s"};
  double value = seconds * 1e9;
  std::size_t i = 0;
  for (; value >= 999.5 && i + 1 < kNames.size(); ++i) value /= 1000;
  return three_digits(value) + std::string(kNames[i]);
}

std::string format_bytes(double bytes) {
  constexpr std::array<std::string_view, 4> kNames{" KiB", " MiB", " GiB", " TiB"};
  double value = bytes / 1024;
  std::size_t i = 0;
  for (; value >= 999.5 && i + 1 < kNames.size(); ++i) value /= 1024;
  return three_digits(value) + std::string(kNames[i]);
}

std::string format_fixed(double value, int decimals) {
  std::array<char, 400> out{};  // the greatest double has 309 digits
  std::snprintf(out.data(), out.size(), "%.*f", decimals, value);
  return out.data();
}

std::string format_percent(double part, int decimals) { return format_fixed(part * 100, decimals) + "%"; }

double parse_half_width(std::string_view flag, std::string_view text) {
  bool const percent = text.ends_with('%');
  double const part = percent ? parse_number(flag, text.substr(0, text.size() - 1), 0, 100) / 100
                              : parse_number(flag, text, 0, 1);
  if (part <= 0 || part >= 1)
    throw UsageError(std::string(flag) + " '" + std::string(text) +
                     "': write a part between 0 and 1, as 0.03 or 3%");
  return part;
}

std::uint64_t two_digits(double n) {
  if (!(n >= 1)) return 1;
  // A hair more than the number, so that 0.2 s of 5e5/s are 100,000 and not 99,000.
  auto whole = static_cast<std::uint64_t>(n * (1 + 1e-9));
  std::uint64_t unit = 1;
  while (whole >= 100) {
    whole /= 10;
    unit *= 10;
  }
  return whole * unit;
}

}  // namespace tally
