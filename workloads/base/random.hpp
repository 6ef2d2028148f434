// Random numbers that depend on (seed, index) alone, the same on every machine and compiler.
#pragma once

#include <cstdint>

namespace tally {

/// A bijective 64-bit finalizer with full avalanche: "Mix13" of David Stafford's variants of MurmurHash3's,
/// as used by SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).
constexpr std::uint64_t mix64(std::uint64_t x) noexcept {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  x ^= x >> 31;
  return x;
}

/// The two halves of a product of 128 bits, folded: every bit of either factor reaches every bit of it, in
/// one multiplication (as wyhash has it).
constexpr std::uint64_t folded_product(std::uint64_t a, std::uint64_t b) noexcept {
  __extension__ using Wide = unsigned __int128;
  Wide const product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// The random numbers of one index of one seeded sequence: SplitMix64 started at a hash of (seed, index), so
/// that any index can be drawn by itself, in any order, on any thread.
class IndexedRandom {
 public:
  constexpr IndexedRandom(std::uint64_t seed, std::uint64_t index) noexcept
      : state_(mix64(seed + 0x9e3779b97f4a7c15ULL) ^
               mix64(index * 0xd1342543de82ef95ULL + 0x632be59bd9b4e019ULL)) {}

  /// The next 64 uniform bits.
  constexpr std::uint64_t next() noexcept {
    state_ += 0x9e3779b97f4a7c15ULL;
    return mix64(state_);
  }

  /// The next double, uniform in [0, 1), a multiple of 2^-53.
  constexpr double uniform() noexcept { return static_cast<double>(next() >> 11) * 0x1p-53; }

  /// The next integer, uniform in [0, n), n >= 1. Lemire's multiply-shift (ACM TOMACS 29, 2019) without its
  /// rejection step: the bias is at most n / 2^64, below 1e-12 for every n that Tally takes.
  constexpr std::uint64_t below(std::uint64_t n) noexcept {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>((static_cast<Wide>(next()) * n) >> 64);
  }

 private:
  std::uint64_t state_;
};

}  // namespace tally
