// A plain file as a `cpu` stream that is not in memory: whoever counts a range of it reads that range.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "workloads/input/byte_source.hpp"
#include "workloads/stream.hpp"
#include "workloads/text/records.hpp"

namespace tally {

/// The records of a regular file, as it lies there. Ranges are read piece by piece into a buffer of the
/// thread's own, which stays in its cache, so that memory is bounded whatever the file's size, and reading is
/// shared by all workers; keys are copied where they are new. Where records may span lines (csv), where one
/// ends is decided from the beginning of the range before it, by the one reader; it then reads all of the
/// file, as workers do.
class FileStream final : public CpuStream {
 public:
  /// Told after each piece how many bytes of it were counted; by any thread, or process that a model has
  /// forked.
  using Counted = std::function<void(std::uint64_t bytes)>;

  /// `source` is a plain_file() of which nothing was read, and outlives the stream. What is appended to the
  /// file later is not counted. Throws as Records does, and InputFailed.
  FileStream(ByteSource const& source, TextSpec const& spec, Counted counted = {});

  std::uint64_t size() const noexcept override { return size_; }
  Counts empty_tally() const override { return Counts::text(); }
  /// Throws InputFailed: the file cannot be read, has become shorter, or has a record longer than
  /// kMaxRecordBytes.
  void count(Range range, Counts& tally) const override;
  /// size() if the file cannot be read: whoever counts the range will say why.
  std::uint64_t batch_end(std::uint64_t begin, std::uint64_t events) const noexcept override;
  std::vector<Range> split(std::size_t parts) const override;

  /// The number of the line, from 1, that begins at `position`. Reads the file up to there. Throws
  /// InputFailed.
  std::uint64_t line_number(std::uint64_t position) const;

 private:
  class Pieces;
  std::uint64_t record_end(std::uint64_t begin, std::uint64_t target) const;
  std::size_t read_at(std::uint64_t position, char* into, std::size_t bytes) const;

  ByteSource const& source_;
  Counted counted_;
  Records records_;
  std::uint64_t size_;
  std::uint64_t sampled_bytes_ = 1,
                sampled_lines_ = 1;  // of the file's beginning, for the mean length of a line
};

}  // namespace tally
