// MPI as Tally uses it: collectives that end, whatever becomes of the other ranks.
#pragma once

#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "bench/process/stop_signals.hpp"
#include "workloads/base/memory.hpp"

namespace tally {

/// Other ranks did not come to a collective in time. what() says what it was for.
struct PeersLate : std::runtime_error {
  PeersLate(char const* what, std::vector<int> missing_ranks)
      : std::runtime_error(what), missing(std::move(missing_ranks)) {}
  std::vector<int> missing;  ///< of the group, known at its rank 0 alone: have not been heard of since
};

/// An MPI call failed: what() names it, with MPI's own words.
struct MpiFailed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Bytes that are made to be filled. Few are not set to 0 first; many are in huge pages, since a message of
/// some megabytes waits longer for its pages than for its bytes.
class Bytes {
 public:
  Bytes() = default;
  /// Throws std::bad_alloc.
  explicit Bytes(std::size_t n) { resize(n); }
  /// Keeps what there is, up to `n`. Shorter, it keeps its memory. Throws std::bad_alloc, and is as it was.
  void resize(std::size_t n);
  char* data() const noexcept { return few_ ? few_.get() : static_cast<char*>(many_.data()); }
  std::size_t size() const noexcept { return size_; }

 private:
  static constexpr std::size_t kMany = std::size_t{4} << 20;
  std::size_t size_ = 0, room_ = 0;
  std::unique_ptr<char[]> few_;
  SharedPages many_;
};

/// How a rank waits for others.
struct Patience {
  using Clock = std::chrono::steady_clock;
  Clock::time_point until = Clock::time_point::max();  ///< then PeersLate
  StopSignals const* stop = nullptr;                   ///< then Interrupted; null: not heeded
  /// Sleep between looks, by some hundreds of microseconds: where nothing is timed, and others need the CPU.
  bool sleeping = true;
  /// After `until`, rank 0 waits so long to hear who is there, and all who waited in vain to be heard.
  std::chrono::nanoseconds answer_within = std::chrono::seconds(2);

  /// Waits for `time`, and then for answers half as long, 2 s at most.
  static Patience for_at_most(std::chrono::nanoseconds time, StopSignals const* stop = nullptr) {
    std::chrono::nanoseconds const answer_at_most = std::chrono::seconds(2);
    return {Clock::now() + time, stop, true, std::min(answer_at_most, time / 2)};
  }
};

/// A group of ranks that communicate. Every collective is MPI's own, nonblocking, and looked at until it is
/// done or patience ends: MPI's blocking calls would wait for ever for a rank that hangs. All functions throw
/// MpiFailed, PeersLate and Interrupted. Before PeersLate is thrown, while what is sent and received is still
/// there, whoever waited in vain tells rank 0 that it is there, and rank 0 finds out who does not; after it
/// the job can only be aborted, without another call of MPI's, since operations are under way whose memory is
/// gone. Collective calls are made by all its ranks in the same order. One thread at a time.
class Communicator {
 public:
  /// All ranks of the job. MPI must be initialized.
  static Communicator world(Patience const& patience = {});
  /// The first `ranks` ranks of this one; of those after them, an empty group. Collective, and the one call
  /// that waits without end, unless it is for all ranks: MPI has no other way to part a group.
  Communicator first(int ranks, Patience const& patience = {}) const;
  Communicator(Communicator&& other) noexcept;
  Communicator& operator=(Communicator&& other) noexcept;
  ~Communicator();

  bool empty() const noexcept { return comm_ == MPI_COMM_NULL; }
  int rank() const noexcept { return rank_; }
  int size() const noexcept { return size_; }

  void barrier(Patience const& patience, char const* what) const;
  /// `bytes` of root's to all. Any length.
  void broadcast(void* data, std::size_t bytes, int root, Patience const& patience, char const* what) const;
  template <class T>
  void broadcast(T& value, int root, Patience const& patience, char const* what) const {
    static_assert(std::is_trivially_copyable_v<T>);
    broadcast(&value, sizeof value, root, patience, what);
  }

  /// Each rank's value, by rank; at root alone.
  template <class T>
  std::vector<T> gather(T const& mine, int root, Patience const& patience, char const* what) const {
    static_assert(std::is_trivially_copyable_v<T>);
    std::vector<T> all(rank_ == root ? static_cast<std::size_t>(size_) : 0);
    gather_bytes(&mine, sizeof mine, all.data(), root, patience, what);
    return all;
  }
  /// The same, at every rank.
  template <class T>
  std::vector<T> all_gather(T const& mine, Patience const& patience, char const* what) const {
    static_assert(std::is_trivially_copyable_v<T>);
    std::vector<T> all(static_cast<std::size_t>(size_));
    all_gather_bytes(&mine, sizeof mine, all.data(), patience, what);
    return all;
  }
  /// Each rank's numbers, one rank's after the other, at root alone: in one message of each, where they are
  /// few.
  std::vector<std::uint64_t> gather_numbers(std::span<std::uint64_t const> mine, int root,
                                            Patience const& patience, char const* what) const;
  /// Each rank's text, by rank, at root alone.
  std::vector<std::string> gather_texts(std::string const& mine, int root, Patience const& patience,
                                        char const* what) const;
  /// Sums, element by element: root's `values` become those of all ranks, the others' become anything. Any
  /// length, the same at every rank.
  ///
  /// Short ones by MPI's reduction. Long ones (sums_in_shares()), for which Open MPI's nonblocking one takes
  /// about twice as long, so that no link carries them more than twice in few messages: each rank sums a
  /// share of all ranks' values, and root collects the shares (Thakur, Rabenseifner & Gropp, "Optimization of
  /// Collective Communication Operations in MPICH", IJHPCA 19(1), 2005, 3.4; theirs exchange by halves, ours
  /// all with all). Of two ranks, root has the only share. Returns how many bytes this rank sent.
  std::uint64_t sum_to(std::span<std::uint64_t> values, int root, Patience const& patience,
                       char const* what) const;
  /// The same of two, at once, since each takes as long as messages take; `few` go to root from each rank
  /// directly, which is the shortest way and, for a few, the cheapest.
  std::uint64_t sum_two_to(std::span<std::uint64_t> few, std::span<std::uint64_t> many, int root,
                           Patience const& patience, char const* what) const;
  std::uint64_t all_max(std::uint64_t value, Patience const& patience, char const* what) const;
  std::uint64_t all_sum(std::uint64_t value, Patience const& patience, char const* what) const;

  /// parts[r] goes to rank r. Returns what came, by rank; this rank's own part is not sent, and comes back
  /// empty. Any length.
  std::vector<Bytes> all_to_all(std::vector<Bytes> const& parts, Patience const& patience,
                                char const* what) const;

  void send(void const* data, std::size_t bytes, int to, int tag, Patience const& patience,
            char const* what) const;
  void receive(void* data, std::size_t bytes, int from, int tag, Patience const& patience,
               char const* what) const;

  MPI_Comm get() const noexcept { return comm_; }

 private:
  explicit Communicator(MPI_Comm comm);
  static Communicator duplicate_of(MPI_Comm comm, Patience const& patience);
  void wait(MPI_Request& request, Patience const& patience, char const* what) const;
  /// Begins, and waits for, an operation on each piece of `bytes` that MPI can count.
  void in_pieces(std::size_t bytes, Patience const& patience, char const* what,
                 std::function<int(std::size_t at, int count, MPI_Request&)> const& begin) const;
  void gather_bytes(void const* mine, std::size_t bytes, void* all, int root, Patience const& patience,
                    char const* what) const;
  void all_gather_bytes(void const* mine, std::size_t bytes, void* all, Patience const& patience,
                        char const* what) const;
  /// sum_to() of long ones.
  std::uint64_t sum_by_shares(std::span<std::uint64_t> values, int root, Patience const& patience,
                              char const* what) const;
  void free() noexcept;

  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = -1, size_ = 0;
};

}  // namespace tally
