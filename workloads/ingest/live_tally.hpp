// One worker's counts of an event stream that does not end, by window, where another process can read them
// meanwhile.
#pragma once

#include <pthread.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "workloads/counting/counts.hpp"
#include "workloads/counting/latency_histogram.hpp"
#include "workloads/ingest/line_rules.hpp"

namespace tally {

/// A process died while it held a tally: what is in it cannot be trusted.
struct TallyLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What is left of a connection's bytes between two calls of LiveTally::count().
struct LineRest {
  std::string part{};     ///< the beginning of a line
  bool too_long = false;  ///< the line is longer than allowed, was reported, and is skipped to its end
};

/// An event whose key is to be looked up before it is counted.
struct PendingEvent {
  std::uint64_t number;  ///< which its line has in the place of the key
  std::chrono::nanoseconds time;
  bool stamped;
  std::chrono::nanoseconds due, late;  ///< as in EventLine, if `stamped`
};

/// The counts of one worker. Lives in memory of its own that is mapped shared, so that processes forked after
/// its making use it at the same address; a mutex in it, which they share too, is taken once for each call,
/// so that a worker meets nobody there but whoever collects a window that has ended.
///
/// Keys of up to kShortKeyBytes bytes are words in a flat table (open addressing, linear probing,
/// multiplicative hashing: Knuth, The Art of Computer Programming 3, 6.4), which is what makes counting as
/// fast as splitting lines; longer keys lie in another table with their bytes beside it.
class LiveTally {
 public:
  /// Bytes of address space that a tally may come to fill; memory is taken as it is needed.
  static constexpr std::size_t kReserveBytes = std::size_t{16} << 30;

  struct Unmap {
    void operator()(LiveTally* tally) const noexcept;
  };
  using Owner = std::unique_ptr<LiveTally, Unmap>;
  /// An empty one. Call before the fork of whoever is to share it. Throws std::system_error.
  static Owner make(std::size_t reserve_bytes = kReserveBytes);

  LiveTally(LiveTally const&) = delete;
  LiveTally& operator=(LiveTally const&) = delete;

  /// Counts the whole lines in `bytes`, which follow what the connection has sent before, of which `rest`
  /// remembers what is needed; kReadAheadBytes after the end of `bytes` must be there to be read. Returns how
  /// many events it counted. Throws TallyLost, std::bad_alloc.
  std::uint64_t count(std::string_view bytes, LineRest& rest, LineRules const& rules);
  /// Reads the lines as count() does, but counts none that is well formed: appends them to `events` instead.
  void read(std::string_view bytes, LineRest& rest, LineRules const& rules,
            std::vector<PendingEvent>& events);
  /// Counts an event that read() gave, by the key that was looked up. Throws TallyLost, std::bad_alloc.
  void count_looked_up(PendingEvent const& event, std::string_view key, LineRules const& rules);
  /// The connection has ended: a line that it did not end is malformed. True if there was one.
  bool end(LineRest& rest);

  /// What has been counted and not been taken. Throws TallyLost.
  struct Totals {
    std::uint64_t events = 0;     ///< in windows that were taken too
    std::uint64_t malformed = 0;  ///< lines that could not be counted
    std::uint64_t late = 0;       ///< events of a window that had been taken: in no window
    std::uint64_t checksum = 0;   ///< sum over events of grind()'s result
    std::uint64_t pairs = 0;      ///< sum over events of Counts::pair_mark() of time and key
    std::uint64_t looked_up = 0;  ///< of the events, those that count_looked_up() counted
    std::uint64_t cut_off = 0;    ///< of the malformed, those that their connection's end cut off
    /// Event times have come as far as this, or further within its window.
    std::chrono::nanoseconds newest{std::chrono::nanoseconds::min()};
    std::int64_t last_stamped_ns = 0;  ///< steady clock: when the last event with a stamp was counted
  };
  Totals totals();
  /// Some of the malformed lines, the first: as printable text, cut to some bytes, and why.
  struct BadLine {
    std::string text;
    std::string_view why;
  };
  std::vector<BadLine> bad_lines();

  /// Adds all windows that begin before `end` to `counts`, as text counts whose windows are called by their
  /// start in nanoseconds, and forgets them. From then on, events of such windows are late. Of the other
  /// figures, nothing is added. Throws TallyLost.
  void take_windows(std::chrono::nanoseconds end, Counts& counts);

  /// Corrected: from when an event was to be sent; uncorrected: from when it was. Both until it was counted.
  /// Stamped lines alone. Held by the same mutex as the counts: these are copies.
  void add_latencies(LatencyHistogram& corrected, LatencyHistogram& uncorrected);

  static constexpr std::size_t kBadLinesKept = 5;

 private:
  struct KeySlot {
    std::uint64_t key;  // 0: free
    std::uint64_t count;
  };
  struct LongSlot {
    std::uint64_t hash;
    char const* bytes;  // null: free
    std::size_t length;
    std::uint64_t count;
  };
  struct Text;
  struct Window {
    std::int64_t start_ns;
    unsigned key_bits, long_bits;  // a table has 2^bits slots; no long table before the first long key
    std::size_t keys_used, longs_used;
    KeySlot* keys;
    LongSlot* longs;
    Text* text;  // blocks of long keys' bytes
  };
  struct Text {
    Text* before;
    std::size_t bytes, used;  // of the block, this header included
  };
  struct Bad {
    char text[64];
    std::uint8_t length;
    std::string_view why;
  };
  /// Stamps of events that are counted, but whose latencies are not taken: the clock is read for many at
  /// once.
  struct Stamps {
    static constexpr int kMost = 64;
    std::int64_t due_ns[kMost], sent_ns[kMost];
    int n = 0;
  };
  class Lock;
  class Counting;
  class Keeping;

  explicit LiveTally(std::size_t reserve_bytes);
  ~LiveTally();

  // Memory, from the region that this object begins.
  void* allocate(std::size_t bytes);
  void release(void* block, std::size_t bytes) noexcept;

  // Windows: an open-addressed table of pointers, by start.
  Window* window(std::int64_t start_ns, std::size_t most);
  Window* make_window(std::int64_t start_ns);
  void place(Window* window) noexcept;
  void forget(Window* window) noexcept;
  void grow_windows();

  template <class Sink>
  void take_lines(std::string_view bytes, LineRest& rest, LineRules const& rules, Sink& sink);

  // Keys.
  KeySlot& new_key(Window& window, std::uint64_t key);
  void grow_keys(Window& window);
  void bump_long(Window& window, std::string_view key, std::uint64_t hash);
  void grow_longs(Window& window);
  char const* keep_text(Window& window, std::string_view text);

  void malformed(std::string_view line, std::string_view why) noexcept;
  void record(Stamps& stamps) noexcept;

  pthread_mutex_t mutex_;
  Totals totals_;
  std::uint64_t chain_ = 0;  // where the last event's grain ended
  std::int64_t taken_until_ns_ = std::numeric_limits<std::int64_t>::min();
  Window** windows_ = nullptr;
  unsigned window_bits_ = 0;
  std::size_t windows_used_ = 0;
  std::array<Bad, kBadLinesKept> bad_{};
  std::size_t bad_kept_ = 0;
  LatencyHistogram *corrected_ = nullptr, *uncorrected_ = nullptr;
  // The arena: what was never taken, and by power of two what was given back.
  std::size_t reserve_bytes_;
  std::size_t taken_bytes_;
  std::array<void*, 48> free_{};
};

}  // namespace tally
