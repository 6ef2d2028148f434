#include "workloads/text/text_stream.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

namespace tally {
namespace {

std::uint64_t count_lines(std::string_view text) noexcept {
  return count_newlines(text) + (!text.empty() && text.back() != '\n' ? 1 : 0);
}

/// Copies of a text, one after the other. Each begins with what `records` says precedes its first record; a
/// block has no such beginning, and `base` is its position in the text that it is of.
class TextStream final : public CpuStream {
 public:
  TextStream(std::string_view text, std::uint64_t lines, std::uint64_t repeat, Records const& records,
             std::size_t first, std::uint64_t base)
      : text_(text),
        size_(text.size() * repeat),
        lines_(std::max<std::uint64_t>(lines, 1)),
        records_(records),
        first_(first),
        base_(base),
        every_line_(records.are_lines() || text.find('"') == std::string_view::npos) {}

  std::uint64_t size() const noexcept override { return size_; }
  Counts empty_tally() const override { return Counts::text(); }
  void count(Range range, Counts& tally) const override { count_bytes(range, nullptr, tally); }
  std::size_t message_bytes(Range range) const override { return range.end - range.begin; }
  void write_message(Range range, std::byte* out) const override;
  void count_message(Range range, std::span<std::byte const> message, Counts& tally) const override {
    count_bytes(range, reinterpret_cast<char const*>(message.data()), tally);
  }
  std::uint64_t batch_end(std::uint64_t begin, std::uint64_t events) const noexcept override;
  std::vector<Range> split(std::size_t parts) const override;

 private:
  /// Counts `range`, whose bytes lie at `copied`, and will not stay there, or if null in the text.
  void count_bytes(Range range, char const* copied, Counts& tally) const;
  /// Calls `visit(position, piece)` for the pieces of the text that `range` is made of, `position` being that
  /// of the piece in the stream.
  template <class Visit>
  void each_piece(Range range, Visit visit) const {
    for (std::uint64_t position = range.begin; position < range.end;) {
      std::uint64_t const offset = position % text_.size();
      std::uint64_t const length = std::min(text_.size() - offset, range.end - position);
      visit(position, text_.substr(offset, length));
      position += length;
    }
  }
  /// The end of the record that holds the byte at `target`, which is before size(); `begin` is where a
  /// record, or a copy, begins, and not after it.
  std::uint64_t record_end(std::uint64_t begin, std::uint64_t target) const noexcept;

  std::string_view text_;
  std::uint64_t size_;
  std::uint64_t lines_;
  Records records_;
  std::size_t first_;  // in each copy, where its first record begins
  std::uint64_t base_;
  bool every_line_;  // a record ends at every line end
};

void TextStream::write_message(Range range, std::byte* out) const {
  each_piece(range, [&](std::uint64_t position, std::string_view piece) {
    std::memcpy(out + (position - range.begin), piece.data(), piece.size());
  });
}

void TextStream::count_bytes(Range range, char const* copied, Counts& tally) const {
  if (range.empty()) return;
  each_piece(range, [&](std::uint64_t position, std::string_view piece) {
    std::uint64_t const offset = position % text_.size();
    std::uint64_t const skipped =
        offset < first_ ? std::min<std::uint64_t>(first_ - offset, piece.size()) : 0;
    if (copied != nullptr) piece = {copied + (position - range.begin), piece.size()};
    records_.count(piece.substr(skipped), base_ + position + skipped, copied == nullptr, tally);
  });
  tally.cover(base_ + range.begin, base_ + range.end);
}

std::uint64_t TextStream::record_end(std::uint64_t begin, std::uint64_t target) const noexcept {
  std::uint64_t const offset = target % text_.size();
  std::uint64_t const copy = target - offset;
  // What precedes the first record goes with it.
  std::size_t const least = std::max<std::size_t>(offset, std::min(first_, text_.size() - 1));
  if (every_line_) return copy + records_.record_end(text_, least, true).value_or(text_.size());
  std::size_t at = std::max<std::size_t>(begin > copy ? begin - copy : 0, first_);
  while (at <= least && at < text_.size()) at = records_.record_end(text_, at, true).value_or(text_.size());
  return copy + at;
}

std::uint64_t TextStream::batch_end(std::uint64_t begin, std::uint64_t events) const noexcept {
  if (begin >= size_) return size_;
  // The record that the last event falls into, were all lines of mean length; for one event, that at `begin`.
  std::uint64_t const ahead = share(events - 1, text_.size(), lines_);
  if (ahead >= size_ - begin) return size_;
  return record_end(begin, begin + ahead);
}

std::vector<Range> TextStream::split(std::size_t parts) const {
  return split_at_records(size_, parts,
                          [this](std::uint64_t begin, std::uint64_t at) { return record_end(begin, at); });
}

}  // namespace

std::uint64_t share(std::uint64_t a, std::uint64_t b, std::uint64_t c) noexcept {
  __extension__ using Wide = unsigned __int128;
  Wide const result = static_cast<Wide>(a) * b / c;
  return result > UINT64_MAX ? UINT64_MAX : static_cast<std::uint64_t>(result);
}

std::unique_ptr<CpuStream> make_text_stream(std::string_view text, TextSpec const& spec, Grain grain) {
  Records records(spec, grain);
  if (!text.empty() && spec.repeat > INT64_MAX / text.size()) {
    throw std::invalid_argument(
        "repeat " + std::to_string(spec.repeat) + " of " + std::to_string(text.size()) +
        " bytes is more than 2^63 bytes: give at most " + std::to_string(INT64_MAX / text.size()));
  }
  records.begin(text, true);
  return std::make_unique<TextStream>(text, count_lines(text), spec.repeat, records, records.first(), 0);
}

std::unique_ptr<CpuStream> make_block_stream(std::string_view block, std::uint64_t position,
                                             std::uint64_t lines, Records const& records,
                                             std::uint64_t repeat) {
  return std::make_unique<TextStream>(block, lines, repeat, records, 0, position);
}

std::uint64_t line_number(std::string_view text, std::uint64_t position) {
  if (text.empty()) return 1;
  return count_newlines(text.substr(0, position % text.size())) + 1;
}

}  // namespace tally
