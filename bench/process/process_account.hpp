// What the kernel says that this process has used so far: a sample's share is a difference of two accounts.
#pragma once

#include <cstdint>

namespace tally {

/// CPU time and context switches, of this process and its reaped children (getrusage(2)).
struct ProcessAccount {
  double user_s = 0, sys_s = 0;
  std::uint64_t voluntary = 0, involuntary = 0;

  /// `of_children`: without this process itself.
  static ProcessAccount now(bool of_children = false);
  ProcessAccount& operator-=(ProcessAccount const& before) noexcept;
};

/// VmHWM: the most memory that this process has had resident, in bytes, since it began or since
/// forget_peak_rss(). Throws std::runtime_error if the kernel does not tell.
std::uint64_t peak_rss_bytes();

/// From now on peak_rss_bytes() counts from what is resident now (proc(5), clear_refs). False if the kernel
/// does not let it.
bool forget_peak_rss() noexcept;

}  // namespace tally
