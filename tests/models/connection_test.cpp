// Connections to the lookup service, and those of clients.
#include "models/runtime/io/connection.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "models/runtime/io/ingest_connection.hpp"
#include "workloads/base/owned_fd.hpp"
#include "workloads/ingest/ingest_stream.hpp"
#include "workloads/lookup/lookup_service.hpp"
#include "workloads/lookup/lookup_stream.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

void wait_readable(int fd) {
  pollfd readable{.fd = fd, .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&readable, 1, 10'000), 1);
}

TEST(Connection, PutsAReplyTogetherThatComesInPieces) {
  OwnedFd const listener(listen_on_loopback(0));
  auto const stream =
      make_lookup_stream({.keys = 100}, 1, {}, 0ns, LookupTarget({.port = local_port(listener.get())}));
  Connection connection = connect_non_blocking(stream->service());
  wait_readable(listener.get());
  OwnedFd const service(::accept(listener.get(), nullptr, nullptr));
  std::string_view const whole = "$2\r\n42\r\n";
  ReceiveBuffer buffer;
  for (std::size_t cut = 1; cut < whole.size(); ++cut) {
    std::string received;
    for (std::string_view const piece : {whole.substr(0, cut), whole.substr(cut)}) {
      ASSERT_EQ(received, "") << "before all of it had come";
      ASSERT_EQ(::send(service.get(), piece.data(), piece.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(piece.size()));
      wait_readable(connection.fd());
      auto const reply = connection.receive(*stream, buffer);
      received.assign(reply.begin(), reply.end());
    }
    EXPECT_EQ(received, whole) << "cut behind byte " << cut;
  }
}

TEST(ServedConnection, WhatHasArrivedByTheStopIsCounted) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  OwnedFd const client(ends[1]);
  ServedConnection served{.socket = OwnedFd(ends[0])};
  std::string_view const lines = "a\nb\na\ncut o";
  ASSERT_EQ(::send(client.get(), lines.data(), lines.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(lines.size()));
  IngestStream const stream(IngestSpec{});
  auto const buffer = std::make_unique<ReadBuffer>();
  receive_last(served, stream, 0, *buffer);
  Counts const counts = stream.counts();
  EXPECT_EQ(counts.events, 3u);
  EXPECT_EQ(counts.totals().at(0).count, 2u);
  EXPECT_EQ(counts.malformed, 1u) << "the line that the stop cuts off";
}

}  // namespace
}  // namespace tally
