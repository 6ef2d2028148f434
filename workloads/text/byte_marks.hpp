// Which bytes of a block of 64 are of a kind: how texts are looked through fast.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tally {

inline constexpr std::size_t kMarkedBytes = 64;

/// Bit i is set where block[i] is one of `kAny`, for all kMarkedBytes.
template <char... kAny>
inline std::uint64_t marks_of(char const* block) noexcept {
  std::uint64_t marks = 0;
#ifdef __SSE2__
  for (unsigned i = 0; i < 4; ++i) {
    __m128i const bytes = _mm_loadu_si128(reinterpret_cast<__m128i const*>(block + 16 * i));
    __m128i found = _mm_setzero_si128();
    ((found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(kAny)))), ...);
    marks |= static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm_movemask_epi8(found))) << (16 * i);
  }
#else
  for (unsigned i = 0; i < kMarkedBytes; ++i)
    marks |= static_cast<std::uint64_t>(((block[i] == kAny) || ...)) << i;
#endif
  return marks;
}

/// The same of the fewer than kMarkedBytes bytes at `begin`, beyond which nothing may be read.
template <char... kAny>
inline std::uint64_t marks_of_rest(char const* begin, std::size_t bytes) noexcept {
  if (bytes == 0) return 0;
  char block[kMarkedBytes];
  std::memcpy(block, begin, bytes);
  return marks_of<kAny...>(block) & ((std::uint64_t{1} << bytes) - 1);
}

/// Writes to `out` where newlines, quotes and backslashes stand in the `bytes` bytes of `text`, less than
/// 65,536, and gives how many there are. There must be room for 4 more than `bytes`. With the instructions
/// that the processor has: whoever reads quoted text waits for little else.
std::size_t quote_positions(char const* text, std::size_t bytes, std::uint16_t* out) noexcept;
/// The same with the instructions that all processors of this kind have.
std::size_t quote_positions_anywhere(char const* text, std::size_t bytes, std::uint16_t* out) noexcept;

}  // namespace tally
