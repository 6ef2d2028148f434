#include "workloads/input/file_stream.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>

#include "workloads/text/text_stream.hpp"

namespace tally {
namespace {

/// Read at once: little enough to stay in a core's cache, so much that the system call is none of the cost.
constexpr std::size_t kPiece = std::size_t{256} << 10;
/// A batch is at least so long: finding where it ends costs a system call.
constexpr std::uint64_t kLeastBatch = std::uint64_t{256} << 10;
/// Read to find a line's end.
constexpr std::size_t kPeek = std::size_t{4} << 10;

/// Memory to read into, which is used again by the next range that the same thread counts.
std::vector<char>& buffer_of_this_thread() {
  static thread_local std::vector<char> buffer;
  return buffer;
}

}  // namespace

/// A range of the file as pieces of whole records.
class FileStream::Pieces {
 public:
  Pieces(FileStream const& stream, Range range) : stream_(stream), position_(range.begin), end_(range.end) {
    if (buffer_.size() < kPiece) buffer_.resize(kPiece);
  }

  /// False at the range's end. The piece is good until the next call.
  bool next(std::string_view& piece) {
    position_ += given_;
    std::memmove(buffer_.data(), buffer_.data() + given_, held_ - given_);
    held_ -= given_;
    given_ = 0;
    if (position_ >= end_) return false;
    for (;;) {
      std::size_t const room = std::min<std::uint64_t>(buffer_.size() - held_, end_ - position_ - held_);
      if (stream_.read_at(position_ + held_, buffer_.data() + held_, room) < room)
        stream_.source_.fail("it has become shorter while it was read");
      held_ += room;
      piece = {buffer_.data(), held_};
      given_ = position_ + held_ == end_ ? held_ : stream_.records_.last_record_end(piece, false);
      if (given_ > 0) break;
      if (buffer_.size() >= kMaxRecordBytes) {
        stream_.source_.fail("the record at byte " + std::to_string(position_) + " is longer than " +
                             std::to_string(kMaxRecordBytes) + " bytes");
      }
      buffer_.resize(2 * buffer_.size());
    }
    piece = piece.substr(0, given_);
    return true;
  }
  /// Where the piece begins.
  std::uint64_t position() const noexcept { return position_; }

 private:
  FileStream const& stream_;
  std::vector<char>& buffer_ = buffer_of_this_thread();
  std::uint64_t position_, end_;
  std::size_t held_ = 0;   // of the buffer, what is filled
  std::size_t given_ = 0;  // of that, the piece
};

FileStream::FileStream(ByteSource const& source, TextSpec const& spec, Counted counted)
    : source_(source), counted_(std::move(counted)), records_(spec, {}), size_(source.file_bytes()) {
  posix_fadvise(source_.descriptor(), 0, 0, POSIX_FADV_SEQUENTIAL);
  std::string head;
  for (std::size_t bytes = kPiece;; bytes *= 2) {
    head.resize(std::min<std::uint64_t>(bytes, size_));
    head.resize(read_at(0, head.data(), head.size()));
    if (records_.begin(head, head.size() == size_)) break;
    if (bytes >= kMaxRecordBytes)
      source_.fail("its first row is longer than " + std::to_string(kMaxRecordBytes) + " bytes");
  }
  sampled_bytes_ = std::max<std::uint64_t>(head.size(), 1);
  sampled_lines_ = std::max<std::uint64_t>(count_newlines(head), 1);
}

std::size_t FileStream::read_at(std::uint64_t position, char* into, std::size_t bytes) const {
  std::size_t filled = 0;
  while (filled < bytes) {
    ssize_t const n =
        pread(source_.descriptor(), into + filled, bytes - filled, static_cast<off_t>(position + filled));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      source_.fail(std::generic_category().message(errno) + " after " + std::to_string(position + filled) +
                   " bytes");
    }
    if (n == 0) break;
    filled += static_cast<std::size_t>(n);
  }
  return filled;
}

void FileStream::count(Range range, Counts& tally) const {
  if (range.empty()) return;
  std::uint64_t const first =
      std::max<std::uint64_t>(range.begin, std::min<std::uint64_t>(records_.first(), range.end));
  Pieces pieces(*this, {first, range.end});
  if (counted_ && first > range.begin) counted_(first - range.begin);
  for (std::string_view piece; pieces.next(piece);) {
    records_.count(piece, pieces.position(), false, tally);
    if (counted_) counted_(piece.size());
  }
  tally.cover(range.begin, range.end);
}

std::uint64_t FileStream::record_end(std::uint64_t begin, std::uint64_t target) const {
  std::uint64_t const first = std::min<std::uint64_t>(records_.first(), size_);
  target = std::max(target, first);
  if (target >= size_) return size_;
  if (!records_.are_lines()) {
    Pieces pieces(*this, {std::max(begin, first), size_});
    for (std::string_view piece; pieces.next(piece);) {
      if (pieces.position() + piece.size() <= target) continue;
      std::size_t at = 0;
      while (pieces.position() + at <= target)
        at = records_.record_end(piece, at, true).value_or(piece.size());
      return pieces.position() + at;
    }
    return size_;
  }
  char peeked[kPeek];
  for (std::uint64_t at = target; at < size_;) {
    std::size_t const n = read_at(at, peeked, std::min<std::uint64_t>(kPeek, size_ - at));
    if (n == 0) break;
    if (auto const* const newline = static_cast<char const*>(std::memchr(peeked, '\n', n)))
      return at + static_cast<std::uint64_t>(newline - peeked) + 1;
    at += n;
  }
  return size_;
}

std::uint64_t FileStream::batch_end(std::uint64_t begin, std::uint64_t events) const noexcept {
  std::uint64_t const ahead = std::max(share(events, sampled_bytes_, sampled_lines_), kLeastBatch) - 1;
  if (begin >= size_ || ahead >= size_ - begin) return size_;
  try {
    return record_end(begin, begin + ahead);
  } catch (std::exception const&) {
    return size_;
  }
}

std::vector<Range> FileStream::split(std::size_t parts) const {
  return split_at_records(size_, parts,
                          [this](std::uint64_t begin, std::uint64_t at) { return record_end(begin, at); });
}

std::uint64_t FileStream::line_number(std::uint64_t position) const {
  std::vector<char> piece(kPiece);
  std::uint64_t lines = 0;
  for (std::uint64_t at = 0; at < position;) {
    std::size_t const n = read_at(at, piece.data(), std::min<std::uint64_t>(kPiece, position - at));
    if (n == 0) break;
    lines += count_newlines({piece.data(), n});
    at += n;
  }
  return lines + 1;
}

}  // namespace tally
