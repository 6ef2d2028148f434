#include "bench/output/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

#include "bench/base/console.hpp"

namespace tally {
namespace {

constexpr std::chrono::seconds kBetweenLines{5};

/// Columns of the terminal: a longer line could not be written over.
std::size_t columns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1U : 79U;
}

std::string time_left(std::chrono::seconds left) {
  auto const s = left.count();
  if (s < 60) return std::to_string(s) + " s";
  return std::to_string(s / 60) + " min " + std::to_string(s % 60) + " s";
}

std::string heading(Progress::State const& state) {
  return "round " + std::to_string(state.round) + "/" + std::to_string(state.max_rounds) + ", " +
         std::to_string(static_cast<int>(state.done * 100)) + "% done, at most " + time_left(state.left) +
         " left";
}

}  // namespace

Progress::Style Progress::style(bool wanted) {
  if (!wanted) return Style::off;
  return ::isatty(STDERR_FILENO) ? Style::terminal : Style::lines;
}

Progress::~Progress() {
  if (line_standing_) std::fputs(kEraseLine, stderr);
}

void Progress::write(std::string const& line, bool now) {
  if (style_ == Style::off) return;
  if (style_ == Style::terminal) {
    std::fprintf(stderr, "%s%s", kEraseLine, line.substr(0, columns()).c_str());
    line_standing_ = true;
    std::fflush(stderr);
    return;
  }
  auto const time = std::chrono::steady_clock::now();
  if (!now && last_ && time - *last_ < kBetweenLines) return;
  last_ = time;
  std::fprintf(stderr, "%s\n", line.c_str());
}

void Progress::say(std::string const& step) { write(step, true); }

void Progress::warn(std::string const& what) {
  if (line_standing_) std::fputs(kEraseLine, stderr);
  line_standing_ = false;
  complain(what);
}

void Progress::sample(State const& state) {
  write(heading(state) + " | " + std::to_string(state.sample) + "/" + std::to_string(state.samples) + " " +
            std::string(state.cell),
        false);
}

void Progress::round_done(State const& state) {
  write(heading(state) + " | " + std::to_string(state.open) + " of " + std::to_string(state.cells) +
            " cells open",
        false);
}

}  // namespace tally
