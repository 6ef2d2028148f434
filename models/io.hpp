// How a model that waits for many sockets at once is told of them by the kernel.
#pragma once

#include <array>
#include <string_view>
#include <utility>

namespace tally {

/// `epoll`: told what is ready, it asks for it, a system call each. `io_uring`: what it wants stands in a
/// ring that it shares with the kernel, and so does what came of it.
enum class Io { epoll, io_uring };

/// As on the command line.
inline constexpr std::array<std::pair<std::string_view, Io>, 2> kIos{
    {{"epoll", Io::epoll}, {"io_uring", Io::io_uring}}};
constexpr std::string_view name_of(Io io) noexcept { return io == Io::io_uring ? "io_uring" : "epoll"; }

}  // namespace tally
