// Links with a delay and a rate between network namespaces, for kernels without netem (scripts/with_hosts).
//
//   delayed_links PREFIX HOSTS DELAY_NS BITS_PER_S NETWORK
//
// Makes the network devices PREFIX1 to PREFIX<HOSTS> (tun(4)), prints "ready", and carries packets between
// them until its standard input ends: a packet to NETWORK.i goes to device i. Each device has a link of its
// own, as fast both ways: packets leave it one after the other at BITS_PER_S (0: at once), and DELAY_NS later
// arrive, one after the other at the same rate, whoever sent them. Where more is sent than the link takes,
// the device is not read, and its kernel makes the sender wait; what more hosts send to one than its link
// takes waits in between, as in a switch that drops nothing.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

/// So much may wait to leave a device: as much as a network card's ring holds, in time.
constexpr std::chrono::microseconds kQueue{500};
constexpr std::size_t kLargestPacket = 65'536;

[[noreturn]] void fail(std::string const& what) {
  std::fprintf(stderr, "delayed_links: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

struct Packet {
  Clock::time_point due;
  std::vector<char> bytes;
};

struct Link {
  int device = -1;
  Clock::time_point left{};         ///< when the last packet has left
  Clock::time_point arrived{};      ///< when the last packet to here has
  std::deque<Packet> on_the_way{};  ///< to here, in order of time
};

int open_device(std::string const& name) {
  int const device = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (device < 0) fail("/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  if (::ioctl(device, TUNSETIFF, &request) != 0) fail("making the device " + name);
  return device;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: delayed_links PREFIX HOSTS DELAY_NS BITS_PER_S NETWORK\n");
    return 2;
  }
  std::string const prefix = argv[1];
  auto const hosts = static_cast<std::size_t>(std::atoi(argv[2]));
  nanoseconds const delay(std::atoll(argv[3]));
  double const bits_per_s = std::atof(argv[4]);
  std::array<unsigned char, 3> network{};
  if (std::sscanf(argv[5], "%hhu.%hhu.%hhu", &network[0], &network[1], &network[2]) != 3) {
    std::fprintf(stderr, "delayed_links: the network '%s' is not three numbers with dots between\n", argv[5]);
    return 2;
  }
  std::vector<Link> links(hosts);
  for (std::size_t i = 0; i < hosts; ++i) links[i].device = open_device(prefix + std::to_string(i + 1));
  // On time, as an interrupt would be; where that is not allowed, as well as may be.
  sched_param const param{.sched_priority = 1};
  ::sched_setscheduler(0, SCHED_RR, &param);
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  std::puts("ready");
  std::fflush(stdout);

  std::vector<pollfd> fds(hosts + 1);
  std::vector<char> buffer(kLargestPacket);
  for (;;) {
    auto now = Clock::now();
    auto next = now + std::chrono::hours(1);
    for (Link& link : links) {
      while (!link.on_the_way.empty() && link.on_the_way.front().due <= now) {
        Packet const& packet = link.on_the_way.front();
        // A device that takes no more loses it, as a network does.
        [[maybe_unused]] auto const written = ::write(link.device, packet.bytes.data(), packet.bytes.size());
        link.on_the_way.pop_front();
      }
      if (!link.on_the_way.empty()) next = std::min(next, link.on_the_way.front().due);
    }
    for (std::size_t i = 0; i < hosts; ++i) {
      bool const full = links[i].left > now + kQueue;
      if (full) next = std::min(next, links[i].left - kQueue);
      fds[i] = {links[i].device, static_cast<short>(full ? 0 : POLLIN), 0};
    }
    fds[hosts] = {STDIN_FILENO, POLLIN, 0};
    auto const left = std::max(nanoseconds(0), nanoseconds(next - Clock::now()));
    timespec const wait{static_cast<time_t>(left.count() / 1'000'000'000), left.count() % 1'000'000'000};
    if (::ppoll(fds.data(), fds.size(), &wait, nullptr) < 0 && errno != EINTR) fail("poll");
    if ((fds[hosts].revents & (POLLIN | POLLHUP)) != 0) {
      char byte;
      if (::read(STDIN_FILENO, &byte, 1) <= 0) return 0;
    }
    for (std::size_t i = 0; i < hosts; ++i) {
      if ((fds[i].revents & POLLIN) == 0) continue;
      Link& link = links[i];
      for (;;) {
        now = Clock::now();
        if (link.left > now + kQueue) break;
        ssize_t const n = ::read(link.device, buffer.data(), buffer.size());
        if (n <= 0) break;
        auto const* const bytes = reinterpret_cast<unsigned char const*>(buffer.data());
        // IPv4 of this network alone.
        if (n < 20 || bytes[0] >> 4 != 4 || std::memcmp(bytes + 16, network.data(), network.size()) != 0)
          continue;
        std::size_t const to = bytes[19];
        if (to < 1 || to > hosts) continue;
        nanoseconds const sending(
            bits_per_s > 0 ? static_cast<std::int64_t>(8e9 * static_cast<double>(n) / bits_per_s) : 0);
        link.left = std::max(link.left, now) + sending;
        // Its first bit comes when its first bit left, and the delay; where the link is not busy with
        // another.
        Link& there = links[to - 1];
        there.arrived = std::max(link.left + delay, there.arrived + sending);
        there.on_the_way.push_back({there.arrived, {buffer.data(), buffer.data() + n}});
      }
    }
  }
}
