#include "workloads/ingest/live_tally.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include "workloads/base/clock.hpp"
#include "workloads/base/errno_failure.hpp"
#include "workloads/ingest/line_splitter.hpp"

namespace tally {
namespace {

constexpr std::string_view kTooManyWindows = "too many windows are open for another";
constexpr std::string_view kCutOff = "cut off by the end of its connection";
constexpr unsigned kFirstBits = 8;
constexpr unsigned kFirstWindowBits = 4;
constexpr std::size_t kTextBlockBytes = 4096;
constexpr std::size_t kLeastBlockBytes = 64;

constexpr std::size_t slots(unsigned bits) noexcept { return std::size_t{1} << bits; }
constexpr std::uint64_t spread_bits(std::uint64_t x) noexcept { return x * 0x9e3779b97f4a7c15ULL; }
/// Where a search for `hash` begins in a table of 2^bits slots: its upper bits, which multiplication has
/// mixed most.
constexpr std::size_t first_slot(std::uint64_t hash, unsigned bits) noexcept {
  return static_cast<std::size_t>(spread_bits(hash) >> (64 - bits));
}

}  // namespace

/// Holds a tally's mutex.
class LiveTally::Lock {
 public:
  explicit Lock(LiveTally& tally) : mutex_(tally.mutex_) {
    int const error = pthread_mutex_lock(&mutex_);
    if (error == 0) return;
    if (error == EOWNERDEAD) pthread_mutex_unlock(&mutex_);  // not made consistent: nobody gets it again
    if (error == EOWNERDEAD || error == ENOTRECOVERABLE)
      throw TallyLost("a process died in the middle of counting: its counts are lost");
    fail_with_error(error, "a tally's mutex");
  }
  ~Lock() { pthread_mutex_unlock(&mutex_); }
  Lock(Lock const&) = delete;
  Lock& operator=(Lock const&) = delete;

 private:
  pthread_mutex_t& mutex_;
};

/// Counts lines while the lock is held. The window that events fall into is looked up anew only when it
/// changes.
class LiveTally::Counting : public LineSplitter<Counting> {
 public:
  Counting(LiveTally& tally, LineRules const& rules) : LineSplitter(rules), tally_(tally) {}
  ~Counting() {
    tally_.record(stamps_);
    tally_.totals_.events += events_;
    tally_.totals_.pairs += pairs_;
  }

  std::uint64_t events() const noexcept { return events_; }

  /// Eight bytes from the key's first may be read.
  void add(std::string_view key, std::int64_t time_ns) {
    if (time_ns < from_ns_ || time_ns >= until_ns_) enter(time_ns);
    if (window_ == nullptr) {
      if (too_many_) return tally_.malformed(key, kTooManyWindows);
      ++tally_.totals_.late;
      return;
    }
    std::uint64_t word;
    if (key.size() <= kShortKeyBytes) {
      word = short_key(key.data(), key.size());
      std::size_t i = first_slot(word, window_->key_bits);
      while (window_->keys[i].key != word) {
        if (window_->keys[i].key == 0) {
          ++tally_.new_key(*window_, word).count;
          return counted(word, time_ns);
        }
        i = (i + 1) & (slots(window_->key_bits) - 1);
      }
      ++window_->keys[i].count;
    } else {
      if (key.size() > rules_.line_max) return tally_.malformed(key, kLineTooLong);
      word = long_key_hash(key);
      tally_.bump_long(*window_, key, word);
    }
    counted(word, time_ns);
  }

  void add_stamped(EventLine const& line) {
    add(line.key, line.time.count());
    stamp(line.due, line.late);
  }

  /// When the event that was last added was to be sent, and how late it was.
  void stamp(std::chrono::nanoseconds due, std::chrono::nanoseconds late) {
    stamps_.due_ns[stamps_.n] = due.count();
    stamps_.sent_ns[stamps_.n] = due.count() + late.count();
    if (++stamps_.n == Stamps::kMost || rules_.grain.iterations > 0) tally_.record(stamps_);
  }

  void malformed(std::string_view line, std::string_view why) noexcept { tally_.malformed(line, why); }

 private:
  void counted(std::uint64_t word, std::int64_t time_ns) noexcept {
    ++events_;
    pairs_ += Counts::pair_mark(static_cast<std::uint64_t>(time_ns), word);
    if (rules_.grain.iterations > 0)
      tally_.totals_.checksum += Grinder(
          rules_.grain.iterations, tally_.chain_)(event_number(word, std::chrono::nanoseconds(time_ns)));
  }

  /// Goes to the window of this time; to none if it was taken.
  void enter(std::int64_t time_ns) {
    std::int64_t const span = rules_.window.count();
    from_ns_ = std::numeric_limits<std::int64_t>::min();
    until_ns_ = std::numeric_limits<std::int64_t>::max();
    std::int64_t start = 0;
    if (span > 0) {
      start = time_ns - time_ns % span;
      from_ns_ = start;
      if (span <= until_ns_ - start) until_ns_ = start + span;
    }
    tally_.totals_.newest = std::max(tally_.totals_.newest, std::chrono::nanoseconds(time_ns));
    too_many_ = false;
    window_ = nullptr;
    if (start < tally_.taken_until_ns_) return;
    window_ = tally_.window(start, rules_.windows_max);
    too_many_ = window_ == nullptr;
  }

  LiveTally& tally_;
  Window* window_ = nullptr;
  bool too_many_ = false;                    // windows, so that there is none
  std::int64_t from_ns_ = 0, until_ns_ = 0;  // of that window; empty at first
  std::uint64_t events_ = 0, pairs_ = 0;
  Stamps stamps_;
};

/// Keeps what is to be looked up before it is counted.
class LiveTally::Keeping : public LineSplitter<Keeping> {
 public:
  Keeping(LiveTally& tally, LineRules const& rules, std::vector<PendingEvent>& events)
      : LineSplitter(rules), tally_(tally), events_(events) {}

  void add(std::string_view key, std::int64_t time_ns) {
    EventLine line;
    line.key = key;
    line.time = std::chrono::nanoseconds(time_ns);
    add_stamped(line);
  }
  void add_stamped(EventLine const& line) {
    std::uint64_t number = 0;
    char const* const end = line.key.data() + line.key.size();
    if (auto const [read, error] = std::from_chars(line.key.data(), end, number);
        read != end || error != std::errc{})
      return malformed(line.key, "no number of an event to look up");
    events_.push_back({number, line.time, line.stamped, line.due, line.late});
  }
  void malformed(std::string_view line, std::string_view why) noexcept { tally_.malformed(line, why); }

 private:
  LiveTally& tally_;
  std::vector<PendingEvent>& events_;
};

void LiveTally::Unmap::operator()(LiveTally* tally) const noexcept {
  std::size_t const bytes = tally->reserve_bytes_;
  // Not destroyed: other processes may be using it.
  munmap(tally, bytes);
}

LiveTally::Owner LiveTally::make(std::size_t reserve_bytes) {
  void* const memory =
      mmap(nullptr, reserve_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail_with_error(errno, "no shared memory for counts");
  return Owner(new (memory) LiveTally(reserve_bytes));
}

LiveTally::LiveTally(std::size_t reserve_bytes)
    : reserve_bytes_(reserve_bytes), taken_bytes_((sizeof(LiveTally) + 4095) / 4096 * 4096) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  int const error = pthread_mutex_init(&mutex_, &attributes);
  pthread_mutexattr_destroy(&attributes);
  if (error != 0) fail_with_error(error, "a mutex that processes share");
  // Zeroed pages are empty histograms.
  corrected_ = static_cast<LatencyHistogram*>(allocate(sizeof(LatencyHistogram)));
  uncorrected_ = static_cast<LatencyHistogram*>(allocate(sizeof(LatencyHistogram)));
  window_bits_ = kFirstWindowBits;
  windows_ = static_cast<Window**>(allocate(slots(window_bits_) * sizeof(Window*)));
}

LiveTally::~LiveTally() = default;

void* LiveTally::allocate(std::size_t bytes) {
  bytes = std::bit_ceil(std::max(bytes, kLeastBlockBytes));
  void*& first = free_[static_cast<std::size_t>(std::countr_zero(bytes))];
  if (first != nullptr) {
    void* const block = first;
    std::memcpy(&first, block, sizeof first);
    std::memset(block, 0, bytes);
    return block;
  }
  if (bytes > reserve_bytes_ - taken_bytes_) throw std::bad_alloc();
  return reinterpret_cast<std::byte*>(this) + std::exchange(taken_bytes_, taken_bytes_ + bytes);
}

void LiveTally::release(void* block, std::size_t bytes) noexcept {
  bytes = std::bit_ceil(std::max(bytes, kLeastBlockBytes));
  void*& first = free_[static_cast<std::size_t>(std::countr_zero(bytes))];
  std::memcpy(block, &first, sizeof first);
  first = block;
}

/// Hands the lines of `bytes` to `lines`, of which the first may have begun in `rest`, where the last may be
/// left.
template <class Sink>
void LiveTally::take_lines(std::string_view bytes, LineRest& rest, LineRules const& rules, Sink& lines) {
  char const* begin = bytes.data();
  char const* const end = begin + bytes.size();
  if (rest.too_long || !rest.part.empty()) {
    auto const* const line_end = static_cast<char const*>(std::memchr(begin, '\n', bytes.size()));
    std::size_t const more = line_end == nullptr ? bytes.size() : static_cast<std::size_t>(line_end - begin);
    if (!rest.too_long && rest.part.size() + more > rules.line_max + 1) {  // CR is no part of the line
      malformed(rest.part, kLineTooLong);
      rest.too_long = true;
      std::string().swap(rest.part);  // what is skipped is not kept
    }
    if (!rest.too_long) rest.part.append(begin, more);
    if (line_end == nullptr) return;
    if (!rest.too_long) {
      std::size_t const length = rest.part.size();
      rest.part.append(sizeof(std::uint64_t), '\0');  // which a key's word may be read from
      lines.one(std::string_view(rest.part).substr(0, length));
    }
    rest = {};
    begin = line_end + 1;
  }
  char const* const left = lines.split(begin, end);
  if (left == end) return;
  if (static_cast<std::size_t>(end - left) > rules.line_max + 1) {
    malformed({left, static_cast<std::size_t>(end - left)}, kLineTooLong);
    rest.too_long = true;
  } else {
    rest.part.assign(left, end);
  }
}

std::uint64_t LiveTally::count(std::string_view bytes, LineRest& rest, LineRules const& rules) {
  Lock const lock(*this);
  Counting lines(*this, rules);
  take_lines(bytes, rest, rules, lines);
  return lines.events();
}

void LiveTally::read(std::string_view bytes, LineRest& rest, LineRules const& rules,
                     std::vector<PendingEvent>& events) {
  Lock const lock(*this);
  Keeping lines(*this, rules, events);
  take_lines(bytes, rest, rules, lines);
}

void LiveTally::count_looked_up(PendingEvent const& event, std::string_view key, LineRules const& rules) {
  // Eight bytes from a key's first are read.
  std::string const readable = std::string(key) + std::string(sizeof(std::uint64_t), '\0');
  Lock const lock(*this);
  Counting lines(*this, rules);
  lines.add(std::string_view(readable).substr(0, key.size()), event.time.count());
  if (event.stamped) lines.stamp(event.due, event.late);
  totals_.looked_up += lines.events();
}

bool LiveTally::end(LineRest& rest) {
  bool const cut_off = !rest.part.empty();
  if (cut_off) {
    Lock const lock(*this);
    malformed(rest.part, kCutOff);
    ++totals_.cut_off;
  }
  rest = {};
  return cut_off;
}

LiveTally::Totals LiveTally::totals() {
  Lock const lock(*this);
  return totals_;
}

std::vector<LiveTally::BadLine> LiveTally::bad_lines() {
  Lock const lock(*this);
  std::vector<BadLine> lines;
  for (std::size_t i = 0; i < bad_kept_; ++i) lines.push_back({{bad_[i].text, bad_[i].length}, bad_[i].why});
  return lines;
}

void LiveTally::take_windows(std::chrono::nanoseconds end, Counts& counts) {
  Lock const lock(*this);
  taken_until_ns_ = std::max(taken_until_ns_, end.count());
  std::vector<Window*> kept;
  for (std::size_t i = 0; i < slots(window_bits_); ++i) {
    Window* const w = std::exchange(windows_[i], nullptr);
    if (w == nullptr) continue;
    if (w->start_ns >= end.count()) {
      kept.push_back(w);
      continue;
    }
    auto names = std::make_shared<std::string>();
    std::size_t bytes = w->keys_used * kShortKeyBytes;
    for (Text* text = w->text; text != nullptr; text = text->before) bytes += text->used;
    names->reserve(bytes);  // so that views stay good
    TextMap& map = counts.text_window(w->start_ns);
    map.reserve(map.size() + w->keys_used + w->longs_used);
    auto const add = [&](char const* key, std::size_t length, std::uint64_t n) {
      std::size_t const at = names->size();
      names->append(key, length);
      map[std::string_view(names->data() + at, length)] += n;
    };
    for (std::size_t k = 0; k < slots(w->key_bits); ++k)
      if (w->keys[k].key != 0)
        add(reinterpret_cast<char const*>(&w->keys[k].key), w->keys[k].key >> 56, w->keys[k].count);
    for (std::size_t k = 0; w->longs != nullptr && k < slots(w->long_bits); ++k)
      if (w->longs[k].bytes != nullptr) add(w->longs[k].bytes, w->longs[k].length, w->longs[k].count);
    counts.keep(std::move(names));
    forget(w);
  }
  windows_used_ = kept.size();
  for (Window* const w : kept) place(w);
}

void LiveTally::add_latencies(LatencyHistogram& corrected, LatencyHistogram& uncorrected) {
  Lock const lock(*this);
  corrected.merge(*corrected_);
  uncorrected.merge(*uncorrected_);
}

LiveTally::Window* LiveTally::window(std::int64_t start_ns, std::size_t most) {
  std::size_t i = first_slot(static_cast<std::uint64_t>(start_ns), window_bits_);
  for (; windows_[i] != nullptr; i = (i + 1) & (slots(window_bits_) - 1))
    if (windows_[i]->start_ns == start_ns) return windows_[i];
  if (windows_used_ >= most) return nullptr;
  if ((windows_used_ + 1) * 2 > slots(window_bits_)) grow_windows();
  Window* const made = make_window(start_ns);
  place(made);
  ++windows_used_;
  return made;
}

void LiveTally::place(Window* w) noexcept {
  std::size_t i = first_slot(static_cast<std::uint64_t>(w->start_ns), window_bits_);
  while (windows_[i] != nullptr) i = (i + 1) & (slots(window_bits_) - 1);
  windows_[i] = w;
}

LiveTally::Window* LiveTally::make_window(std::int64_t start_ns) {
  auto* const w = new (allocate(sizeof(Window))) Window{};
  w->start_ns = start_ns;
  w->key_bits = kFirstBits;
  w->keys = static_cast<KeySlot*>(allocate(slots(kFirstBits) * sizeof(KeySlot)));
  return w;
}

void LiveTally::grow_windows() {
  std::size_t const before = slots(window_bits_);
  Window** const smaller =
      std::exchange(windows_, static_cast<Window**>(allocate(2 * before * sizeof(Window*))));
  ++window_bits_;
  for (std::size_t k = 0; k < before; ++k)
    if (smaller[k] != nullptr) place(smaller[k]);
  release(smaller, before * sizeof(Window*));
}

void LiveTally::forget(Window* w) noexcept {
  release(w->keys, slots(w->key_bits) * sizeof(KeySlot));
  if (w->longs != nullptr) release(w->longs, slots(w->long_bits) * sizeof(LongSlot));
  for (Text* text = w->text; text != nullptr;) {
    Text* const before = text->before;
    release(text, text->bytes);
    text = before;
  }
  release(w, sizeof(Window));
}

LiveTally::KeySlot& LiveTally::new_key(Window& w, std::uint64_t key) {
  // At most half full: a search then looks at 1.5 slots on average, and at 2.5 for a new key.
  if ((w.keys_used + 1) * 2 > slots(w.key_bits)) grow_keys(w);
  ++w.keys_used;
  std::size_t i = first_slot(key, w.key_bits);
  while (w.keys[i].key != 0) i = (i + 1) & (slots(w.key_bits) - 1);
  w.keys[i].key = key;
  return w.keys[i];
}

void LiveTally::grow_keys(Window& w) {
  std::size_t const before = slots(w.key_bits);
  auto* const larger = static_cast<KeySlot*>(allocate(2 * before * sizeof(KeySlot)));
  ++w.key_bits;
  for (std::size_t k = 0; k < before; ++k) {
    if (w.keys[k].key == 0) continue;
    std::size_t i = first_slot(w.keys[k].key, w.key_bits);
    while (larger[i].key != 0) i = (i + 1) & (slots(w.key_bits) - 1);
    larger[i] = w.keys[k];
  }
  release(w.keys, before * sizeof(KeySlot));
  w.keys = larger;
}

void LiveTally::bump_long(Window& w, std::string_view key, std::uint64_t hash) {
  if (w.longs == nullptr || (w.longs_used + 1) * 2 > slots(w.long_bits)) grow_longs(w);
  std::size_t i = first_slot(hash, w.long_bits);
  for (; w.longs[i].bytes != nullptr; i = (i + 1) & (slots(w.long_bits) - 1)) {
    LongSlot& slot = w.longs[i];
    if (slot.hash == hash && std::string_view(slot.bytes, slot.length) == key) {
      ++slot.count;
      return;
    }
  }
  char const* const text = keep_text(w, key);
  w.longs[i] = {hash, text, key.size(), 1};
  ++w.longs_used;
}

void LiveTally::grow_longs(Window& w) {
  unsigned const bits = w.longs == nullptr ? kFirstBits : w.long_bits + 1;
  auto* const larger = static_cast<LongSlot*>(allocate(slots(bits) * sizeof(LongSlot)));
  for (std::size_t k = 0; w.longs != nullptr && k < slots(w.long_bits); ++k) {
    if (w.longs[k].bytes == nullptr) continue;
    std::size_t i = first_slot(w.longs[k].hash, bits);
    while (larger[i].bytes != nullptr) i = (i + 1) & (slots(bits) - 1);
    larger[i] = w.longs[k];
  }
  if (w.longs != nullptr) release(w.longs, slots(w.long_bits) * sizeof(LongSlot));
  w.longs = larger;
  w.long_bits = bits;
}

char const* LiveTally::keep_text(Window& w, std::string_view text) {
  if (w.text == nullptr || w.text->bytes - w.text->used < text.size()) {
    std::size_t const bytes = std::bit_ceil(std::max(kTextBlockBytes, sizeof(Text) + text.size()));
    w.text = new (allocate(bytes)) Text{.before = w.text, .bytes = bytes, .used = sizeof(Text)};
  }
  char* const at = reinterpret_cast<char*>(w.text) + w.text->used;
  std::memcpy(at, text.data(), text.size());
  w.text->used += text.size();
  return at;
}

void LiveTally::malformed(std::string_view line, std::string_view why) noexcept {
  ++totals_.malformed;
  if (bad_kept_ == kBadLinesKept) return;
  Bad& bad = bad_[bad_kept_++];
  bad.length = static_cast<std::uint8_t>(std::min(line.size(), sizeof bad.text));
  for (std::size_t i = 0; i < bad.length; ++i) bad.text[i] = line[i] >= ' ' && line[i] < 0x7f ? line[i] : '?';
  bad.why = why;
}

void LiveTally::record(Stamps& stamps) noexcept {
  if (stamps.n == 0) return;
  std::int64_t const now_ns = steady_ns();
  for (int i = 0; i < stamps.n; ++i) {
    corrected_->record(std::chrono::nanoseconds(now_ns - stamps.due_ns[i]));
    uncorrected_->record(std::chrono::nanoseconds(now_ns - stamps.sent_ns[i]));
  }
  totals_.last_stamped_ns = now_ns;
  stamps.n = 0;
}

}  // namespace tally
