#include "bench/base/atomic_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <system_error>

namespace {

std::string read_text(std::filesystem::path const& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// Told of each file that is synced, by its path.
std::function<void(std::filesystem::path const&)> on_sync;

}  // namespace

/// In place of the C library's.
extern "C" int fsync(int fd) {
  if (on_sync) on_sync("/proc/self/fd/" + std::to_string(fd));
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

namespace tally {
namespace {

class AtomicFile : public testing::Test {
 protected:
  AtomicFile() { std::filesystem::create_directory(directory_); }
  ~AtomicFile() override { std::filesystem::remove_all(directory_); }
  std::string content() const { return read_text(path_); }
  std::ptrdiff_t files() const {
    return std::distance(std::filesystem::directory_iterator(directory_),
                         std::filesystem::directory_iterator{});
  }
  std::filesystem::path directory_ =
      std::filesystem::temp_directory_path() / ("tally_atomic_" + std::to_string(::getpid()));
  std::filesystem::path path_ = directory_ / "out.json";
};

TEST_F(AtomicFile, ReplacesWhatWasThere) {
  write_whole(path_, "old");
  write_whole(path_, "new content");
  EXPECT_EQ(content(), "new content");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFile, IsOnDiskBeforeItTakesItsPlace) {
  write_whole(path_, "old");
  std::string synced, in_place;
  on_sync = [&](std::filesystem::path const& file) {
    synced = read_text(file);
    in_place = content();
  };
  write_whole(path_, "new");
  on_sync = nullptr;
  EXPECT_EQ(synced, "new");
  EXPECT_EQ(in_place, "old");
}

TEST_F(AtomicFile, ThatCannotBeWrittenWholeLeavesTheOldOneAlone) {
  write_whole(path_, "old");
  // A limit on the size of files is as a full disk: write(2) fails in the middle.
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit const small{.rlim_cur = 100'000, .rlim_max = before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  std::string message;
  try {
    write_whole(path_, std::string(1'000'000, 'x'));
  } catch (std::system_error const& e) {
    message = e.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find("cannot write " + path_.string()), std::string::npos) << message;
  EXPECT_EQ(content(), "old");
  EXPECT_EQ(files(), 1) << "nothing half-written is left";
}

TEST_F(AtomicFile, InAPlaceThatIsNoneSaysSo) {
  EXPECT_THROW(write_whole(directory_ / "missing" / "out.json", "x"), std::system_error);
  EXPECT_THROW(write_whole(directory_, "x"), std::system_error);
}

TEST_F(AtomicFile, KeepsALinkALinkAndItsModeItsMode) {
  write_whole(path_, "old");
  std::filesystem::permissions(path_,
                               std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  std::filesystem::create_symlink(path_, directory_ / "link");
  write_whole(directory_ / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(directory_ / "link"));
  EXPECT_EQ(content(), "new");
  EXPECT_EQ(std::filesystem::status(path_).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(AtomicFile, ALinkToNothingStaysALinkAndItsTargetIsWritten) {
  std::filesystem::create_symlink("out.json", directory_ / "link");
  std::filesystem::create_symlink("link", directory_ / "link to link");
  write_whole(directory_ / "link to link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(directory_ / "link"));
  EXPECT_TRUE(std::filesystem::is_symlink(directory_ / "link to link"));
  EXPECT_EQ(content(), "new");
  EXPECT_EQ(output_path(directory_ / "link to link"), std::filesystem::canonical(path_));
}

TEST_F(AtomicFile, LinksInACircleAreRefused) {
  std::filesystem::create_symlink("b", directory_ / "a");
  std::filesystem::create_symlink("a", directory_ / "b");
  EXPECT_THROW(write_whole(directory_ / "a", "x"), std::system_error);
}

TEST_F(AtomicFile, APipeIsWrittenThrough) {
  std::filesystem::path const pipe = directory_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  int const reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  write_whole(pipe, "through");
  char text[16] = {};
  EXPECT_EQ(::read(reader, text, sizeof text), 7);
  ::close(reader);
  EXPECT_STREQ(text, "through");
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
}

// Device nodes of the test's own, where it may make them: a fault must not reach those of the machine.
TEST_F(AtomicFile, ADeviceIsWrittenThroughAndStays) {
  std::filesystem::path const null = directory_ / "null", full = directory_ / "full";
  if (::mknod(null.c_str(), S_IFCHR | 0600, makedev(1, 3)) != 0 ||
      ::mknod(full.c_str(), S_IFCHR | 0600, makedev(1, 7)) != 0)
    GTEST_SKIP() << "device nodes cannot be made here";
  std::filesystem::create_symlink("null", directory_ / "link");
  try {
    write_whole(null, "x");
    write_whole(directory_ / "link", "x");
  } catch (std::system_error const& e) {
    if (e.code() == std::errc::permission_denied) GTEST_SKIP() << "devices cannot be opened here";
    throw;
  }
  EXPECT_THROW(write_whole(full, "x"), std::system_error);
  EXPECT_TRUE(std::filesystem::is_character_file(null));
  EXPECT_TRUE(std::filesystem::is_character_file(full));
  EXPECT_TRUE(std::filesystem::is_symlink(directory_ / "link"));
}

TEST_F(AtomicFile, AnOwnDescriptorIsWrittenToWhereItStands) {
  int const fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_EQ(::write(fd, "before ", 7), 7);
  std::filesystem::create_symlink("/dev/fd/" + std::to_string(fd), directory_ / "link");
  write_whole("/proc/self/fd/" + std::to_string(fd), "one ");
  write_whole(directory_ / "link", "two");
  ::close(fd);
  EXPECT_EQ(content(), "before one two");
}

}  // namespace
}  // namespace tally
