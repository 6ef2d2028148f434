// Counts: per window and key, how often. A tally is one worker's private Counts; tallies merge into the
// result.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "workloads/random.hpp"

namespace tally {

/// Hashes a text key, word by word: each is mixed in by the two halves of a product of 128 bits, so that
/// every bit of the key reaches every bit of the hash (folded multiplication; it avalanches, which the flat
/// map is told). Inline, which std::hash is not: keys are short, and the call is most of it.
struct TextHash {
  using is_avalanching = void;
  std::size_t operator()(std::string_view key) const noexcept {
    constexpr std::uint64_t kOne = 0x9e3779b97f4a7c15, kOther = 0xd6e8feb86659fd93;
    char const* at = key.data();
    std::size_t left = key.size();
    std::uint64_t hash = kOther ^ left;
    for (; left > 8; left -= 8, at += 8) hash = folded(hash ^ word_at(at, 8), kOne);
    return folded(hash ^ word_at(at, left), kOne ^ kOther);
  }
  /// The `bytes` bytes at `at`, 8 at most, as a number. None but these are read.
  static std::uint64_t word_at(char const* at, std::size_t bytes) noexcept {
    std::uint64_t word = 0;
    if (bytes == 8) {
      std::memcpy(&word, at, 8);
    } else if (bytes >= 4) {
      std::uint32_t low, high;
      std::memcpy(&low, at, 4);
      std::memcpy(&high, at + bytes - 4, 4);
      word = low | static_cast<std::uint64_t>(high) << 32;
    } else if (bytes > 0) {
      auto const byte = [&](std::size_t i) {
        return static_cast<std::uint64_t>(static_cast<unsigned char>(at[i]));
      };
      word = byte(0) | byte(bytes / 2) << 8 | byte(bytes - 1) << 16;
    }
    return word;
  }

 private:
  static std::uint64_t folded(std::uint64_t a, std::uint64_t b) noexcept {
    __extension__ using Wide = unsigned __int128;
    Wide const product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  }
};

/// Whether two keys are the same, inline for the same reason.
struct TextEqual {
  bool operator()(std::string_view one, std::string_view other) const noexcept {
    if (one.size() != other.size()) return false;
    char const *a = one.data(), *b = other.data();
    std::size_t left = one.size();
    for (; left > 8; left -= 8, a += 8, b += 8) {
      if (TextHash::word_at(a, 8) != TextHash::word_at(b, 8)) return false;
    }
    return TextHash::word_at(a, left) == TextHash::word_at(b, left);
  }
};
using TextMap = boost::unordered_flat_map<std::string_view, std::uint64_t, TextHash, TextEqual>;

/// A line that could not be parsed.
struct Malformed {
  std::uint64_t position;   ///< byte offset of the line in the stream
  std::string_view reason;  ///< a string literal
};

/// What a stream's events are keyed by, and so how they are counted: integers in [0, keys) in arrays, or text
/// in maps.
enum class KeyKind : std::uint8_t { dense, text };

/// Per-window counts of every key, and the evidence that every event was counted once.
///
/// Not synchronized: a tally belongs to one worker until it is merged. Text keys are views: whoever counts a
/// text stream keeps the stream's bytes alive as long as the counts (read_from() makes counts that own
/// theirs).
class alignas(
    128) Counts {  // a cache line and its neighbour to itself: tallies of several workers lie side by side
 public:
  /// Empty counts of keys 0 to `keys` - 1. Rows are made when a window is first met, `keys` * 8 bytes each.
  static Counts dense(std::uint32_t keys);
  /// Empty counts of text keys.
  static Counts text();

  Counts(Counts&&) noexcept;
  Counts& operator=(Counts&&) noexcept;
  Counts(Counts const&) = delete;
  Counts& operator=(Counts const&) = delete;
  ~Counts();

  KeyKind kind() const noexcept { return kind_; }
  /// The number of possible keys of dense counts.
  std::uint32_t keys() const noexcept { return keys_; }

  /// The array of `window`'s counts, indexed by key, made and zeroed if it is new. Dense counts only;
  /// `window` counts windows from 0. The pointer stays good until the counts go or are merged.
  std::uint64_t* dense_row(std::uint64_t window) {
    if (window < rows_.size() && rows_[window]) return rows_[window].get();
    return make_row(window);
  }

  /// The map of the window that starts at `window_start` (seconds since the epoch; 0 if there are no
  /// windows). Text counts only. The reference stays good until another window is asked for.
  TextMap& text_window(std::int64_t window_start) {
    if (last_window_ && last_window_start_ == window_start) return *last_window_;
    return make_window(window_start);
  }

  /// Adds an event of `key` to a map of text_window(), where `key` will not stay: a new one is copied, and
  /// the copy kept as long as these counts or those that they are merged into.
  void count_copied(TextMap& window, std::string_view key) {
    if (auto const found = window.find(key); found != window.end())
      ++found->second;
    else
      window.emplace(copy_of(key), 1);
  }

  /// Keeps the text that keys of these counts are views of, as long as the counts.
  void keep(std::shared_ptr<std::string const> keys) { owned_keys_.push_back(std::move(keys)); }

  /// Records that positions [begin, end) of the stream were taken and counted, in one task. The sum of
  /// mix(end) - mix(begin) over any exact partition of the stream telescopes to the same value, and over no
  /// other set of ranges but by a 2^-64 chance: events lost or doubled are found even where the counts would
  /// hide it.
  void cover(std::uint64_t begin, std::uint64_t end) noexcept {
    coverage += coverage_mark(end) - coverage_mark(begin);
    ++tasks;
  }

  /// Adds `other`, which is left empty. Both must be of the same kind and number of keys: throws
  /// std::logic_error.
  void merge(Counts&& other);

  /// As merge(), but takes copies of new keys, so that what backed those of `other` may go: for counts of a
  /// text that is there block after block.
  void merge_copying(Counts&& other);

  /// Remembers a malformed line; the first few by position are kept, all are counted.
  void add_malformed(Malformed const& line);

  std::uint64_t events = 0;     ///< events counted
  std::uint64_t malformed = 0;  ///< lines that could not be parsed
  std::uint64_t replies = 0;    ///< answers received (lookup)
  std::uint64_t tasks = 0;      ///< ranges counted; not compared, since models differ in it
  std::uint64_t checksum = 0;   ///< sum over events of grind()'s result
  std::uint64_t coverage = 0;   ///< see cover()

  /// The first malformed lines, in order of position; at most kMalformedKept.
  std::vector<Malformed> const& first_malformed() const noexcept { return first_malformed_; }
  static constexpr std::size_t kMalformedKept = 5;

  /// One key with its count.
  struct KeyCount {
    std::string key;
    std::uint64_t count;
  };
  /// One window's totals.
  struct WindowTotal {
    std::int64_t window;  ///< text: start in seconds since the epoch; dense: number of the window
    std::uint64_t events;
    std::uint64_t distinct_keys;
  };
  /// Totals per key over all windows, greatest first, equal counts by key bytes. All keys, or the first
  /// `top`.
  std::vector<KeyCount> totals(std::size_t top = SIZE_MAX) const;
  /// The same of one window, called as windows() calls it; of none that there is, nothing.
  std::vector<KeyCount> window_totals(std::int64_t window, std::size_t top = SIZE_MAX) const;
  /// Windows in which an event was counted, in order of time.
  std::vector<WindowTotal> windows() const;

  /// Empty if `got` equals `*this` (the expected counts) in every key of every window, events, malformed
  /// lines, replies, checksum and coverage; otherwise what differs, for a person: the first keys with
  /// expected and got.
  std::string difference(Counts const& got) const;

  /// The counts as bytes, for another process of this same program on this machine.
  std::vector<std::byte> write() const;
  /// Counts from write()'s bytes; owns its keys. Throws std::runtime_error when the bytes are not whole.
  static Counts read(std::span<std::byte const> bytes);

 private:
  struct Free {
    void operator()(std::uint64_t* p) const noexcept { std::free(p); }
  };
  using Row = std::unique_ptr<std::uint64_t[], Free>;
  struct TextWindow {
    std::int64_t start;
    std::unique_ptr<TextMap> map;
  };

  Counts(KeyKind kind, std::uint32_t keys);
  static constexpr std::uint64_t coverage_mark(std::uint64_t position) noexcept {
    return mix64(position + 0x9e3779b97f4a7c15ULL);
  }
  std::uint64_t* make_row(std::uint64_t window);
  TextMap& make_window(std::int64_t window_start);
  std::string_view copy_of(std::string_view key);
  void merge_figures(Counts const& other);
  std::vector<TextWindow const*> windows_in_order() const;

  KeyKind kind_;
  std::uint32_t keys_;
  std::vector<Row> rows_;            // by window; null where no event was met
  std::vector<TextWindow> windows_;  // in order of first meeting
  boost::unordered_flat_map<std::int64_t, std::size_t> window_index_;  // start -> index in windows_
  TextMap* last_window_ = nullptr;
  std::int64_t last_window_start_ = 0;
  std::vector<Malformed> first_malformed_;
  std::vector<std::shared_ptr<void const>> owned_keys_;  // backs views that no stream backs
  char* copies_ = nullptr;                               // room in the last block of copied keys
  std::size_t copies_left_ = 0;
};

}  // namespace tally
