#include "workloads/input/block_reader.hpp"

#include <algorithm>
#include <cstring>
#include <string>

namespace tally {

BlockReader::BlockReader(ByteSource& source, Records& records, bool ahead, std::size_t block_bytes)
    : source_(source), records_(records), ahead_(ahead), block_bytes_(block_bytes) {
  Buffer& first = buffers_[now_];
  first.bytes.resize(block_bytes_);
  read_on(first);
  while (!records_.begin({first.bytes.data(), first.held}, first.last)) {
    first.bytes.resize(2 * first.bytes.size());
    read_on(first);
  }
  // The buffer is to begin with a record.
  std::size_t const skipped = records_.first();
  line_ += count_newlines({first.bytes.data(), skipped});
  position_ = skipped;
  std::memmove(first.bytes.data(), first.bytes.data() + skipped, first.held - skipped);
  first.held -= skipped;
  fill(first);
}

void BlockReader::read_on(Buffer& buffer) {
  std::size_t const room = buffer.bytes.size() - buffer.held;
  std::size_t const n = source_.read({buffer.bytes.data() + buffer.held, room});
  buffer.held += n;
  buffer.last = buffer.last || n < room;
}

void BlockReader::fill(Buffer& buffer) {
  for (;;) {
    if (!buffer.last) read_on(buffer);
    buffer.records = records_.last_record_end({buffer.bytes.data(), buffer.held}, buffer.last);
    if (buffer.records > 0 || buffer.last) {
      buffer.lines = count_newlines({buffer.bytes.data(), buffer.records});
      return;
    }
    if (buffer.bytes.size() >= kMaxRecordBytes) {
      source_.fail("after line " + std::to_string(line_) + " there is a record longer than " +
                   std::to_string(kMaxRecordBytes) + " bytes");
    }
    buffer.bytes.resize(2 * buffer.bytes.size());
  }
}

void BlockReader::read_next() {
  Buffer& next = buffers_[1 - now_];
  Buffer const& from = buffers_[now_];
  std::size_t const rest = from.held - from.records;
  next.bytes.resize(std::max(block_bytes_, 2 * rest));
  std::memcpy(next.bytes.data(), from.bytes.data() + from.records, rest);
  next.held = rest;
  next.records = 0;
  next.last = from.last;
  fill(next);
}

bool BlockReader::next(Block& block) {
  if (given_) {
    Buffer const& before = buffers_[now_];
    if (before.last && before.records == before.held) return false;
    position_ += before.records;
    line_ += before.lines;
    if (reading_.valid())
      reading_.get();
    else
      read_next();
    now_ = 1 - now_;
  }
  given_ = true;
  Buffer const& now = buffers_[now_];
  block = {{now.bytes.data(), now.records}, position_, line_, now.lines};
  bool const more = !now.last || now.records < now.held;
  if (ahead_ && more) reading_ = std::async(std::launch::async, [this] { read_next(); });
  return true;
}

}  // namespace tally
