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

#include "workloads/counting/text_map.hpp"
#include "workloads/base/random.hpp"

namespace tally {

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

  /// Of dense counts without rows: these shall lie in `room`, as far as it reaches, that of window w
  /// w * keys() words from its begin, so that whoever shares the memory need not be sent them. `room` is
  /// zeroed, and stays as long as these counts and those that they are merged into.
  void place_rows(std::span<std::uint64_t> room) noexcept { room_ = room; }

  /// The array of `window`'s counts, indexed by key, made and zeroed if it is new. Dense counts only;
  /// `window` counts windows from 0. The pointer stays good until the counts go or are merged.
  std::uint64_t* dense_row(std::uint64_t window) {
    if (window < rows_.size() && rows_[window]) return rows_[window].get();
    return make_row(window);
  }

  /// Dense counts: one more than the last window that has a row; 0 of text counts.
  std::uint64_t dense_windows() const noexcept { return rows_.size(); }
  /// The array of `window`'s counts; null where there is none.
  std::uint64_t const* dense_row_if(std::uint64_t window) const noexcept {
    return window < rows_.size() ? rows_[window].get() : nullptr;
  }

  /// Calls `visit(window_start, map)` for the map of every window, in order of their first meeting. Text
  /// counts only. `visit` may change a map, and makes no window.
  template <class Visit>
  void each_text_window(Visit visit) {
    for (auto& window : windows_) visit(window.start, *window.map);
  }

  /// The map of the window that starts at `window_start` (seconds since the epoch; 0 if there are no
  /// windows). Text counts only. The reference stays good until the counts go or are merged.
  TextMap& text_window(std::int64_t window_start) {
    if (last_window_ && last_window_start_ == window_start) return *last_window_;
    return make_window(window_start);
  }

  /// The count of `key` in a map of text_window(), where `key` will not stay: a new one is copied, and the
  /// copy kept as long as these counts or those that they are merged into. `hash` is its TextHash. The
  /// reference is good until the next new key.
  std::uint64_t& count_of_copied(TextMap& window, std::string_view key, std::uint64_t hash) {
    return window.count_of_hashed(key, hash, [this](std::string_view is_new) { return copy_of(is_new); });
  }

  /// Keeps the text that keys of these counts are views of, as long as the counts.
  void keep(std::shared_ptr<void const> keys) { owned_keys_.push_back(std::move(keys)); }

  /// Records that positions [begin, end) of the stream were taken and counted, in one task. The sum of
  /// mix(end) - mix(begin) over any exact partition of the stream telescopes to the same value, and over no
  /// other set of ranges but by a 2^-64 chance: events lost or doubled are found even where the counts would
  /// hide it.
  void cover(std::uint64_t begin, std::uint64_t end) noexcept {
    coverage += coverage_mark(end) - coverage_mark(begin);
    ++tasks;
  }

  /// What binds an event (its number, position or time) to its key (a number, or a hash): keys that were
  /// swapped between two events have the same counts, and another sum of this.
  static constexpr std::uint64_t pair_mark(std::uint64_t event, std::uint64_t key) noexcept {
    return folded_product(event ^ 0xa0761d6478bd642fULL, key ^ 0xe7037ed1a0b428dbULL);
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
  std::uint64_t chain = 0;      ///< where the worker's grain ended (Grinder); no part of the result
  std::uint64_t pairs = 0;      ///< sum over events of what binds each to its key, such as pair_mark()

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
  /// lines, replies, checksum, coverage and pairs; otherwise what differs, for a person: the first keys with
  /// expected and got.
  std::string difference(Counts const& got) const;

  /// The counts as bytes, for another process of this same program on this machine; without the rows that
  /// place_rows() placed, which it finds where they are.
  std::vector<std::byte> write() const;
  /// Counts from write()'s bytes, and the rows in `room`, to which place_rows() applies; owns its keys.
  /// Throws std::runtime_error when the bytes are not whole.
  static Counts read(std::span<std::byte const> bytes, std::span<std::uint64_t> room = {});

 private:
  struct Free {
    void operator()(std::uint64_t* p) const noexcept {
      if (!is_placed) std::free(p);
    }
    bool is_placed = false;  ///< in memory that others own
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
  std::span<std::uint64_t> room_;    // for rows
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
