// A text that comes piece by piece, as blocks of whole records.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <future>
#include <string_view>
#include <vector>

#include "workloads/input/byte_source.hpp"
#include "workloads/text/records.hpp"

namespace tally {

/// Whole records.
struct Block {
  std::string_view records;
  std::uint64_t position = 0;    ///< of the first of them in the text
  std::uint64_t first_line = 1;  ///< the number, from 1, of the line where it begins
  std::uint64_t lines = 0;       ///< how many line ends there are
};

/// Reads a source that cannot be read at any place, a pipe or what is compressed, in blocks of some MiB. Two
/// of them are in memory, one being counted and one being read.
class BlockReader {
 public:
  static constexpr std::size_t kBlockBytes = std::size_t{16} << 20;

  /// Begins `records` with the source's first bytes. Both must outlive the reader. If `ahead`, the next block
  /// is read, and decompressed, by a thread while one is counted; else next() reads it, and there is no other
  /// thread: for models that fork. `block_bytes` >= 1. Throws as ByteSource::read() and Records::begin() do.
  BlockReader(ByteSource& source, Records& records, bool ahead, std::size_t block_bytes = kBlockBytes);
  BlockReader(BlockReader const&) = delete;
  BlockReader& operator=(BlockReader const&) = delete;

  /// False at the end. The block is good until the next call, and empty only if the text has no record.
  /// Throws as ByteSource::read() does, and InputFailed for a record longer than kMaxRecordBytes.
  bool next(Block& block);

 private:
  /// A buffer that begins with a record.
  struct Buffer {
    std::vector<char> bytes;
    std::size_t held = 0;     // of it, what is filled
    std::size_t records = 0;  // of that, whole records
    std::uint64_t lines = 0;  // line ends in these
    bool last = false;        // the source has ended
  };
  void fill(Buffer& buffer);
  void read_on(Buffer& buffer);
  void read_next();

  ByteSource& source_;
  Records& records_;
  bool ahead_;
  std::size_t block_bytes_;
  std::array<Buffer, 2> buffers_;
  std::size_t now_ = 0;  // which of them was given
  bool given_ = false;
  std::uint64_t position_ = 0;
  std::uint64_t line_ = 1;
  std::future<void> reading_;
};

}  // namespace tally
