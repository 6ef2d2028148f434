// Logarithm and exponential that give the same bits on every machine: libm's may differ in the last place
// between versions and processors, and with them the keys and waits that a seed stands for.
#pragma once

namespace tally {

/// Natural logarithm of a finite x > 0, within about 1e-15 relative or absolute.
double portable_log(double x) noexcept;
/// e to the x, within about 1e-15 relative; 0 below -708 and e^709 above 709.
double portable_exp(double x) noexcept;
/// log(1 + x) without cancellation near 0, for x > -1 (Kahan's correction, as in HP-15C Advanced Functions
/// Handbook).
double portable_log1p(double x) noexcept;
/// e^x - 1 without cancellation near 0 (Kahan's correction, likewise).
double portable_expm1(double x) noexcept;

}  // namespace tally
