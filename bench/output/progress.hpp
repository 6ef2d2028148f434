// What runs, how much is done and the time left, on stderr.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace tally {

/// Empties a terminal's line.
inline constexpr char kEraseLine[] = "\r\033[K";

/// On a terminal, one line that is written over; elsewhere plain lines, at most one every few seconds and one
/// at each round's end; or nothing. Writes between samples alone, so that no sample is disturbed.
class Progress {
 public:
  enum class Style { off, terminal, lines };
  /// Style::off unless `wanted`; otherwise as standard error is a terminal or not.
  static Style style(bool wanted);

  explicit Progress(Style style) : style_(style) {}
  /// Leaves the terminal's line empty.
  ~Progress();
  Progress(Progress const&) = delete;
  Progress& operator=(Progress const&) = delete;

  /// A step of set-up.
  void say(std::string const& step);
  /// What a person must see, also without progress: "tally: …".
  void warn(std::string const& what);

  /// Where a campaign stands, before a sample.
  struct State {
    int round = 0;  ///< from 1
    int max_rounds = 0;
    std::size_t sample = 0;   ///< of this round, from 1
    std::size_t samples = 0;  ///< in this round
    std::size_t open = 0;     ///< cells still open
    std::size_t cells = 0;
    double done = 0;               ///< share of the time, 0 to 1
    std::chrono::seconds left{0};  ///< at most
    std::string_view cell;
  };
  void sample(State const& state);
  void round_done(State const& state);

 private:
  void write(std::string const& line, bool now);

  Style style_;
  bool line_standing_ = false;
  std::optional<std::chrono::steady_clock::time_point> last_;
};

}  // namespace tally
