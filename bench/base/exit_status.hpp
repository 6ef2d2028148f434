// How a command ends, as the shell sees it; 0 is success.
#pragma once

namespace tally {

/// A cell failed, or what was asked for could not be had.
inline constexpr int kFailedStatus = 1;
/// The command line is wrong.
inline constexpr int kUsageStatus = 2;
/// Ended by a signal that was asked for: what was finished is written.
inline constexpr int kInterruptedStatus = 130;

}  // namespace tally
