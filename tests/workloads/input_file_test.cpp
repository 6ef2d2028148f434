// Files as they come: plain, gzip, cut off, damaged, not files at all; and the memory they are read into.
#include "workloads/input/input_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>

#include "workloads/base/memory.hpp"

namespace tally {
namespace {

namespace fs = std::filesystem;

/// A directory of the test's own, gone with it.
class InputFiles : public ::testing::Test {
 protected:
  InputFiles() {
    std::string pattern = (fs::temp_directory_path() / "tally_input_XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory " + pattern);
    directory_ = pattern;
  }
  ~InputFiles() override { fs::remove_all(directory_); }

  fs::path write(std::string_view bytes) const {
    fs::path const path = directory_ / "events.log";
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  fs::path const& directory() const noexcept { return directory_; }

 private:
  fs::path directory_;
};

std::string gzip(std::string_view bytes) {
  z_stream zlib{};
  if (deflateInit2(&zlib, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
  std::string out(deflateBound(&zlib, static_cast<uLong>(bytes.size())), '\0');
  zlib.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  zlib.avail_in = static_cast<uInt>(bytes.size());
  zlib.next_out = reinterpret_cast<Bytef*>(out.data());
  zlib.avail_out = static_cast<uInt>(out.size());
  int const status = deflate(&zlib, Z_FINISH);
  out.resize(zlib.total_out);
  deflateEnd(&zlib);
  if (status != Z_STREAM_END) throw std::runtime_error("deflate did not finish");
  return out;
}

/// Bytes that do not compress to nothing, of any length.
std::string sample_lines(std::size_t bytes) {
  std::string text;
  for (std::uint64_t i = 0; text.size() < bytes; ++i) text += "event " + std::to_string(i * i % 9973) + '\n';
  text.resize(bytes);
  return text;
}

std::string failure_of_file(fs::path const& path) {
  try {
    InputFile const file(path);
  } catch (InputFailed const& failed) {
    return failed.what();
  }
  return "";
}

void expect_holds(std::string const& message, std::string_view part) {
  EXPECT_NE(message.find(part), std::string::npos) << "'" << part << "' is not in: " << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << "more than one line: " << message;
}

TEST_F(InputFiles, PlainFileIsReadByteForByte) {
  std::string const bytes("a\0b\r\n\x1f\xff no newline at the end", 29);
  InputFile const file(write(bytes));
  EXPECT_EQ(file.text(), bytes);
  EXPECT_EQ(file.compression(), Compression::none);
}

TEST_F(InputFiles, EmptyFileIsEmptyText) { EXPECT_EQ(InputFile(write("")).text().size(), 0u); }

TEST_F(InputFiles, FileOfOneByteOfGzipsMagicNumberIsPlain) {
  EXPECT_EQ(InputFile(write("\x1f")).text(), "\x1f");
}

TEST_F(InputFiles, FilesAroundTheSizeOfPagesAreWhole) {
  for (std::size_t const size : {(4u << 20) - 1, 4u << 20, (4u << 20) + 1, (8u << 20) + 3}) {
    std::string const bytes = sample_lines(size);
    EXPECT_EQ(InputFile(write(bytes)).text(), bytes) << size;
  }
}

TEST_F(InputFiles, FilesWithoutASizeAreReadToTheirEnd) {
  std::string const bytes = sample_lines(9u << 20);
  fs::path const pipe = directory() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  std::jthread const writer([&] { std::ofstream(pipe, std::ios::binary) << bytes; });
  EXPECT_EQ(InputFile(pipe).text(), bytes);
}

TEST_F(InputFiles, TextStaysGoodWhenTheFileIsMoved) {
  InputFile first(write("events"));
  InputFile const second(std::move(first));
  EXPECT_EQ(second.text(), "events");
}

TEST_F(InputFiles, MissingFileIsNamedWithTheReason) {
  expect_holds(failure_of_file(directory() / "nowhere.log"), "nowhere.log: No such file or directory");
}

TEST_F(InputFiles, DirectoryIsNamedWithTheReason) {
  expect_holds(failure_of_file(directory()), "Is a directory");
}

TEST_F(InputFiles, GzipIsDecompressed) {
  for (std::size_t const size : {std::size_t{0}, std::size_t{1}, std::size_t{100}, std::size_t{9} << 20}) {
    std::string const bytes = sample_lines(size);
    InputFile const file(write(gzip(bytes)));
    EXPECT_EQ(file.text(), bytes) << size;
    EXPECT_EQ(file.compression(), Compression::gzip);
  }
}

TEST_F(InputFiles, GzipMembersOneAfterTheOtherAreOneFile) {
  std::string const large = sample_lines(5u << 20);
  EXPECT_EQ(InputFile(write(gzip("one\n") + gzip("") + gzip(large) + gzip("end"))).text(),
            "one\n" + large + "end");
}

TEST_F(InputFiles, CutOffGzipSaysHowFarItGot) {
  std::string const whole = gzip("an event\n");
  for (std::size_t length = 2; length < whole.size(); ++length) {
    std::string const message = failure_of_file(write(whole.substr(0, length)));
    expect_holds(message, "events.log: the gzip file is cut off: " + std::to_string(length) +
                              " bytes of it were read");
  }
  expect_holds(failure_of_file(write(whole.substr(0, whole.size() - 1))), "9 bytes came out");
}

TEST_F(InputFiles, GzipCutOffInALaterMemberIsAnError) {
  std::string const second = gzip("second\n");
  for (std::size_t length = 1; length < second.size(); ++length) {
    expect_holds(failure_of_file(write(gzip("first\n") + second.substr(0, length))), "cut off");
  }
}

TEST_F(InputFiles, DamagedGzipIsAnErrorThatSaysHowFarItGot) {
  std::string bytes = gzip(sample_lines(1000));
  bytes[bytes.size() - 6] ^= 1;  // in the check sum
  std::string const message = failure_of_file(write(bytes));
  expect_holds(message, "damaged (incorrect data check)");
  expect_holds(message, "1000 bytes came out");
}

TEST_F(InputFiles, ZerosAfterGzipAreIgnored) {
  EXPECT_EQ(InputFile(write(gzip("event\n") + std::string(600'000, '\0'))).text(), "event\n");
}

TEST_F(InputFiles, AnythingElseAfterGzipIsAnError) {
  std::string const whole = gzip("event\n");
  expect_holds(
      failure_of_file(write(whole + "garbage")),
      "something that is not gzip follows the gzip data: " + std::to_string(whole.size()) + " bytes");
  EXPECT_NE(failure_of_file(write(whole + std::string(600'000, '\0') + "x")), "");
}

TEST(SharedPages, NoBytesAreNoMemory) {
  SharedPages const pages(0);
  EXPECT_EQ(pages.data(), nullptr);
  EXPECT_EQ(pages.bytes(), 0u);
}

TEST(SharedPages, AreAlignedToHugePagesAndZero) {
  SharedPages const pages(3u << 20);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pages.data()) % (2u << 20), 0u);
  auto const* const bytes = static_cast<unsigned char const*>(pages.data());
  for (std::size_t i = 0; i < pages.bytes(); i += 4096) ASSERT_EQ(bytes[i], 0) << i;
}

TEST(SharedPages, KeepTheirContentAsTheyGrowAndShrink) {
  SharedPages pages(10);
  static_cast<char*>(pages.data())[9] = 'x';
  for (std::size_t const size :
       {std::size_t{5} << 20, std::size_t{64} << 20, std::size_t{10}, std::size_t{11}}) {
    pages.resize(size);
    ASSERT_EQ(pages.bytes(), size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pages.data()) % (2u << 20), 0u);
    EXPECT_EQ(static_cast<char const*>(pages.data())[9], 'x');
    static_cast<char*>(pages.data())[size - 1] = 'x';
  }
  pages.resize(0);
  EXPECT_EQ(pages.data(), nullptr);
}

TEST(SharedPages, MoreThanTheKernelHasIsBadAlloc) {
  EXPECT_THROW(SharedPages(SIZE_MAX), std::bad_alloc);
  EXPECT_THROW(SharedPages(SIZE_MAX / 4), std::bad_alloc);
  SharedPages pages(1);
  EXPECT_THROW(pages.resize(SIZE_MAX / 4), std::bad_alloc);
  EXPECT_EQ(pages.bytes(), 1u);
}

TEST(SharedPages, MovedFromAreEmpty) {
  SharedPages first(100);
  void* const data = first.data();
  SharedPages const second(std::move(first));
  EXPECT_EQ(second.data(), data);
  EXPECT_EQ(first.data(), nullptr);
  EXPECT_EQ(first.bytes(), 0u);
}

}  // namespace
}  // namespace tally
