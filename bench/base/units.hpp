// Numbers with units, as people write and read them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "bench/base/usage_error.hpp"

namespace tally {

/// The duration that `text` spells: a decimal number and `ns`, `us`, `ms` or `s`; a plain 0 needs no unit. It
/// must be a whole number of nanoseconds, at most 292 years. Throws UsageError that begins with `flag`.
std::chrono::nanoseconds parse_duration(std::string_view flag, std::string_view text);

/// The whole number that `text` spells, with `k` (1e3), `M` (1e6) or `G` (1e9) if wished; decimals are
/// allowed where the result is whole (1.5k). Throws UsageError that begins with `flag`, for anything else or
/// outside [least, most].
std::uint64_t parse_count(std::string_view flag, std::string_view text, std::uint64_t least = 0,
                          std::uint64_t most = UINT64_MAX);

/// The decimal number that `text` spells. Throws UsageError that begins with `flag`, for anything else or
/// outside [least, most].
double parse_number(std::string_view flag, std::string_view text, double least, double most);

/// Exactly `value`, in the largest unit that needs no more than three decimals: `1.5ms`, `250us`, `0`.
/// parse_duration() reads it back.
std::string format_duration(std::chrono::nanoseconds value);

/// `value` to three significant digits with a prefix: `204 k`, `3.52 G`, `12.5`. For events/s and counts.
std::string format_scaled(double value);

/// `seconds` to three significant digits in the unit that suits: `4.70 us`.
std::string format_seconds(double seconds);

/// `value` with so many decimals: `0.951`.
std::string format_fixed(double value, int decimals);

/// `part` of a whole as `2.5%`, with so many decimals.
std::string format_percent(double part, int decimals);

/// The half-width of an interval, relative to its median, that `text` spells: 0.03 or 3%, between 0 and 1.
/// Throws UsageError that begins with `flag`.
double parse_half_width(std::string_view flag, std::string_view text);

/// `bytes` to three significant digits in KiB, MiB or GiB.
std::string format_bytes(double bytes);

/// `n` cut to its two leading decimal digits; at least 1.
std::uint64_t two_digits(double n);

}  // namespace tally
