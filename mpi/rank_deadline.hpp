// Until when a rank must be done: what it tells the process that watches over it.
#pragma once

#include <chrono>
#include <string>

#include "mpi/rank_watch.hpp"

namespace tally {

/// How much longer ranks wait for each other than the `within` that each is given for what it does, so that
/// whoever watches over the one that hangs says so first: three times as long, 5 s at most.
constexpr std::chrono::nanoseconds rank_slack(std::chrono::nanoseconds within) noexcept {
  constexpr std::chrono::nanoseconds most = std::chrono::seconds(5);
  return within < most / 3 ? 3 * within : most;  // `within` may be so long that three times it does not fit
}

/// While it lives, whoever watches over this rank ends it at the deadline: at once where it is at work
/// itself, and long after that where it waits for others, of whom one is late, who is to be named first.
class RankDeadline {
 public:
  using Clock = std::chrono::steady_clock;

  /// `watch`: null if nobody watches. Begins as one that waits.
  RankDeadline(RankWatch* watch, std::string const& doing, std::chrono::nanoseconds within)
      : watch_(watch),
        slack_ns_(rank_slack(within).count()),
        deadline_ns_(std::chrono::nanoseconds((Clock::now() + within).time_since_epoch()).count()) {
    if (watch_ == nullptr) return;
    RankWatch::write(watch_->doing, doing);
    waits();
  }
  ~RankDeadline() {
    if (watch_ != nullptr) watch_->deadline_ns.store(0);
  }
  RankDeadline(RankDeadline const&) = delete;
  RankDeadline& operator=(RankDeadline const&) = delete;

  void works() noexcept { set(deadline_ns_); }
  /// The same, where others were waited for so long, which is not held against this rank.
  void works_after(std::chrono::nanoseconds waited) noexcept {
    deadline_ns_ += waited.count();
    works();
  }
  void waits() noexcept { set(deadline_ns_ + 3 * slack_ns_); }

 private:
  void set(std::int64_t deadline_ns) noexcept {
    if (watch_ != nullptr) watch_->deadline_ns.store(deadline_ns);
  }

  RankWatch* watch_;
  std::int64_t slack_ns_;
  std::int64_t deadline_ns_;
};

}  // namespace tally
