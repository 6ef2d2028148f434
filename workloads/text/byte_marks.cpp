#include "workloads/text/byte_marks.hpp"

#include <bit>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace tally {
namespace {

/// `marks_of_block(block)` are the places in a block of kMarkedBytes. Written four at a time, so that only a
/// block that has more of them is a branch to the processor.
template <class Marks>
[[gnu::always_inline]] inline std::size_t positions(char const* text, std::size_t bytes, std::uint16_t* out,
                                                    Marks const& marks_of_block) {
  std::size_t found = 0;
  for (std::size_t at = 0; at < bytes; at += kMarkedBytes) {
    std::size_t const left = bytes - at;
    std::uint64_t marks =
        left >= kMarkedBytes ? marks_of_block(text + at) : marks_of_rest<'\n', '"', '\\'>(text + at, left);
    auto const here = static_cast<std::size_t>(std::popcount(marks));
    for (std::size_t written = 0;;) {
      for (std::size_t i = 0; i < 4; ++i) {
        out[found + written + i] =
            static_cast<std::uint16_t>(at + static_cast<std::size_t>(std::countr_zero(marks)));
        marks &= marks - 1;
      }
      written += 4;
      if (written >= here) break;
    }
    found += here;
  }
  return found;
}

using Positions = std::size_t(char const*, std::size_t, std::uint16_t*) noexcept;

#ifdef __x86_64__
[[gnu::target("avx2,bmi,popcnt")]] std::size_t positions_avx2(char const* text, std::size_t bytes,
                                                              std::uint16_t* out) noexcept {
  return positions(
      text, bytes, out, [](char const* block) __attribute__((target("avx2,bmi,popcnt"))) {
        std::uint64_t marks = 0;
        for (unsigned i = 0; i < 2; ++i) {
          __m256i const some = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(block + 32 * i));
          __m256i const found =
              _mm256_or_si256(_mm256_or_si256(_mm256_cmpeq_epi8(some, _mm256_set1_epi8('\n')),
                                              _mm256_cmpeq_epi8(some, _mm256_set1_epi8('"'))),
                              _mm256_cmpeq_epi8(some, _mm256_set1_epi8('\\')));
          marks |= static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm256_movemask_epi8(found)))
                   << (32 * i);
        }
        return marks;
      });
}
#endif

Positions* best() noexcept {
#ifdef __x86_64__
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("popcnt"))
    return positions_avx2;
#endif
  return quote_positions_anywhere;
}

}  // namespace

std::size_t quote_positions_anywhere(char const* text, std::size_t bytes, std::uint16_t* out) noexcept {
  return positions(text, bytes, out, [](char const* block) { return marks_of<'\n', '"', '\\'>(block); });
}

std::size_t quote_positions(char const* text, std::size_t bytes, std::uint16_t* out) noexcept {
  static Positions* const positions = best();
  return positions(text, bytes, out);
}

}  // namespace tally
