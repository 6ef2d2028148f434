// What a program prints as its counts, read strictly and in bounded memory.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "workloads/counting/counts.hpp"

namespace tally {

/// A program that is run as a model broke off, or did not keep to the protocol. what() is one line that says
/// how.
struct ExternalFailed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What a program may print.
struct CountRules {
  std::chrono::nanoseconds window{0};  ///< 0: lines have no window
  /// No more lines: whoever prints without end is stopped, and fills no memory.
  std::uint64_t lines_max = UINT64_MAX;
  /// Windows of dense counts begin before this many; rows are made for these alone.
  std::uint64_t windows_max = 1;
};

/// Reads lines
///
///     count<TAB>key                  as `tally count` prints them, without windows
///     window_start<TAB>count<TAB>key with windows: starts in seconds, with up to nine decimals
///
/// in any order, each key of a window once. Counts are decimal numbers from 1 on, without sign or leading
/// zeros; keys have 1 to kMaxKeyBytes bytes; every line ends with LF.
class CountReader {
 public:
  static constexpr std::size_t kMaxKeyBytes = 4096;
  static constexpr std::size_t kMaxLineBytes = kMaxKeyBytes + 64;

  /// Adds to `into`, which is empty, and outlives this. Keys of dense counts are numbers below its keys, and
  /// its windows are called by their number; those of text by their start in nanoseconds.
  CountReader(CountRules const& rules, Counts& into);
  /// Takes what was printed next. Throws ExternalFailed that quotes the line and says what is wrong with it.
  void add(std::string_view bytes);
  /// Nothing more is printed. Throws ExternalFailed if a line is cut off.
  void end();

 private:
  void take(std::string_view line);
  void count_dense(std::int64_t start_ns, std::string_view key, std::uint64_t count);
  void count_text(std::int64_t start_ns, std::string_view key, std::uint64_t count);
  [[noreturn]] void refuse(std::string const& why) const;

  CountRules rules_;
  Counts& counts_;
  std::string part_;       // of a line
  std::string_view line_;  // that is being taken
  std::uint64_t lines_ = 0;
};

}  // namespace tally
