#include "mpi/reference_check.hpp"

#include <algorithm>

#include "workloads/base/random.hpp"

namespace tally {
namespace {

/// Beyond it a part of a stream says nothing any more, and whatever it takes is not for want of halving.
constexpr std::uint64_t kLeastPart = std::uint64_t{1} << 40;

}  // namespace

void KeyDigest::add(std::int64_t window_start, std::uint64_t hash, std::uint64_t count) noexcept {
  std::uint64_t const window = mix64(static_cast<std::uint64_t>(window_start) + 0x9e3779b97f4a7c15ULL);
  std::uint64_t const key = mix64(hash ^ window) + count;
  one += mix64(key ^ 0xd1342543de82ef95ULL);
  other += mix64(mix64(key) + hash);
  ++keys;
}

KeyDigest KeyDigest::of(Counts& counts, std::uint64_t times) {
  KeyDigest digest;
  counts.each_text_window([&](std::int64_t start, TextMap const& map) {
    map.each_size([&](std::size_t, std::uint64_t hash, std::uint64_t count) {
      digest.add(start, hash, count * times);
    });
  });
  return digest;
}

std::uint64_t part_to_check(WholeStream const& whole) noexcept {
  auto const fits = [&](std::uint64_t one_in) {
    auto const part = static_cast<double>(one_in);
    // A part of the events has no more keys than events, and may have all keys.
    double const keys = std::min(static_cast<double>(whole.keys), static_cast<double>(whole.events) / part);
    return whole.seconds / part <= whole.most_seconds && keys * whole.key_bytes <= whole.most_bytes;
  };
  std::uint64_t one_in = 1;
  while (!fits(one_in) && one_in < kLeastPart) one_in *= 2;
  return one_in;
}

}  // namespace tally
