#include "mpi/communicator.hpp"

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "bench/advice/merge_model.hpp"

namespace tally {
namespace {

/// MPI counts in int: longer messages go in several.
constexpr std::size_t kMostAtOnce = std::size_t{1} << 28;

void check(int code, char const* what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw MpiFailed(std::string(what) + ": " + text);
}

int as_int(std::size_t n) { return static_cast<int>(n); }

/// Small messages to rank 0 of ranks that waited in vain: whoever sends one is there.
constexpr int kAliveTag = 79;
constexpr timespec kAnswerNap{0, 5'000'000};

/// What a rank does that waited in vain. At rank 0, returns who has not been heard of.
std::vector<int> missing_ranks(MPI_Comm comm, std::chrono::nanoseconds answer_within) {
  int rank = 0, size = 0;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &size);
  auto const until = Patience::Clock::now() + answer_within;
  if (rank != 0) {
    static char const byte = 1;  // it may be sent when this is over
    MPI_Request request;
    MPI_Isend(&byte, 1, MPI_BYTE, 0, kAliveTag, comm, &request);
    // Looked at for a while, since nothing is sent otherwise.
    for (int done = 0; Patience::Clock::now() < until; ::nanosleep(&kAnswerNap, nullptr))
      MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    return {};
  }
  std::vector<int> missing(static_cast<std::size_t>(size) - 1);
  std::iota(missing.begin(), missing.end(), 1);
  while (!missing.empty() && Patience::Clock::now() < until) {
    int there = 0;
    MPI_Status status;
    if (MPI_Iprobe(MPI_ANY_SOURCE, kAliveTag, comm, &there, &status) != MPI_SUCCESS) break;
    if (!there) {
      ::nanosleep(&kAnswerNap, nullptr);
      continue;
    }
    char byte = 0;
    MPI_Recv(&byte, 1, MPI_BYTE, status.MPI_SOURCE, kAliveTag, comm, MPI_STATUS_IGNORE);
    std::erase(missing, status.MPI_SOURCE);
  }
  return missing;
}

void wait_for(MPI_Request& request, MPI_Comm comm, Patience const& patience, char const* what) {
  constexpr int kTestsBetweenLooks = 64;
  constexpr timespec kNap{0, 200'000};
  for (int tests = 1;; ++tests) {
    int done = 0;
    check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), what);
    if (done) return;
    // Where there are more ranks than CPUs, whoever is waited for may need this one.
    if (!patience.sleeping) ::sched_yield();
    if (tests % kTestsBetweenLooks != 0) continue;
    if (patience.stop != nullptr && patience.stop->requested()) throw Interrupted("interrupted");
    if (Patience::Clock::now() >= patience.until)
      throw PeersLate(what, missing_ranks(comm, patience.answer_within));
    if (patience.sleeping) ::nanosleep(&kNap, nullptr);
  }
}

/// Bytes at an address as one MPI datatype, however many they are.
class BytesAt {
 public:
  BytesAt(void const* data, std::size_t bytes) {
    MPI_Datatype piece = MPI_DATATYPE_NULL;
    check(MPI_Type_contiguous(as_int(kMostAtOnce), MPI_BYTE, &piece), "MPI_Type_contiguous");
    std::size_t const pieces = bytes / kMostAtOnce;
    int const lengths[] = {as_int(pieces), as_int(bytes % kMostAtOnce)};
    MPI_Aint at = 0;
    MPI_Get_address(data, &at);
    MPI_Aint const addresses[] = {at, at + static_cast<MPI_Aint>(pieces * kMostAtOnce)};
    MPI_Datatype const types[] = {piece, MPI_BYTE};
    check(MPI_Type_create_struct(2, lengths, addresses, types, &type_), "MPI_Type_create_struct");
    check(MPI_Type_commit(&type_), "MPI_Type_commit");
    MPI_Type_free(&piece);
  }
  BytesAt(BytesAt&& other) noexcept : type_(std::exchange(other.type_, MPI_DATATYPE_NULL)) {}
  BytesAt& operator=(BytesAt&&) = delete;
  ~BytesAt() {
    if (type_ != MPI_DATATYPE_NULL) MPI_Type_free(&type_);
  }
  MPI_Datatype type() const noexcept { return type_; }

 private:
  MPI_Datatype type_ = MPI_DATATYPE_NULL;
};

}  // namespace

void Bytes::resize(std::size_t n) {
  if (n > room_) {
    if (n < kMany) {
      auto few = std::make_unique_for_overwrite<char[]>(n);
      std::copy_n(data(), size_, few.get());
      few_ = std::move(few);
    } else if (many_.data() != nullptr) {
      many_.resize(n);
    } else {
      SharedPages many(n);
      std::copy_n(data(), size_, static_cast<char*>(many.data()));
      many_ = std::move(many);
      few_.reset();
    }
    room_ = n;
  }
  size_ = n;
}

Communicator::Communicator(MPI_Comm comm) : comm_(comm) {
  if (comm_ == MPI_COMM_NULL) return;
  MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
  MPI_Comm_rank(comm_, &rank_);
  MPI_Comm_size(comm_, &size_);
}

Communicator Communicator::duplicate_of(MPI_Comm of, Patience const& patience) {
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Request request;
  check(MPI_Comm_idup(of, &comm, &request), "MPI_Comm_idup");
  wait_for(request, of, patience, "making a group of all ranks");
  return Communicator(comm);
}

Communicator Communicator::world(Patience const& patience) { return duplicate_of(MPI_COMM_WORLD, patience); }

Communicator Communicator::first(int ranks, Patience const& patience) const {
  if (ranks == size_) return duplicate_of(comm_, patience);
  MPI_Comm comm = MPI_COMM_NULL;
  check(MPI_Comm_split(comm_, rank_ < ranks ? 0 : MPI_UNDEFINED, rank_, &comm), "MPI_Comm_split");
  return Communicator(comm);
}

Communicator::Communicator(Communicator&& other) noexcept { *this = std::move(other); }

Communicator& Communicator::operator=(Communicator&& other) noexcept {
  if (this == &other) return *this;
  free();
  comm_ = std::exchange(other.comm_, MPI_COMM_NULL);
  rank_ = other.rank_;
  size_ = other.size_;
  return *this;
}

Communicator::~Communicator() { free(); }

void Communicator::free() noexcept {
  int finalized = 0;
  MPI_Finalized(&finalized);
  // While an exception is on its way, others may not come to this collective call any more.
  if (comm_ != MPI_COMM_NULL && !finalized && std::uncaught_exceptions() == 0) MPI_Comm_free(&comm_);
  comm_ = MPI_COMM_NULL;
}

void Communicator::wait(MPI_Request& request, Patience const& patience, char const* what) const {
  wait_for(request, comm_, patience, what);
}

void Communicator::barrier(Patience const& patience, char const* what) const {
  MPI_Request request;
  check(MPI_Ibarrier(comm_, &request), what);
  wait(request, patience, what);
}

void Communicator::broadcast(void* data, std::size_t bytes, int root, Patience const& patience,
                             char const* what) const {
  in_pieces(bytes, patience, what, [&](std::size_t at, int count, MPI_Request& request) {
    return MPI_Ibcast(static_cast<char*>(data) + at, count, MPI_BYTE, root, comm_, &request);
  });
}

void Communicator::gather_bytes(void const* mine, std::size_t bytes, void* all, int root,
                                Patience const& patience, char const* what) const {
  MPI_Request request;
  check(MPI_Igather(mine, as_int(bytes), MPI_BYTE, all, as_int(bytes), MPI_BYTE, root, comm_, &request),
        what);
  wait(request, patience, what);
}

void Communicator::all_gather_bytes(void const* mine, std::size_t bytes, void* all, Patience const& patience,
                                    char const* what) const {
  MPI_Request request;
  check(MPI_Iallgather(mine, as_int(bytes), MPI_BYTE, all, as_int(bytes), MPI_BYTE, comm_, &request), what);
  wait(request, patience, what);
}

std::vector<std::string> Communicator::gather_texts(std::string const& mine, int root,
                                                    Patience const& patience, char const* what) const {
  std::vector<int> const sizes = gather(as_int(mine.size()), root, patience, what);
  std::vector<int> begins(sizes.size());
  std::exclusive_scan(sizes.begin(), sizes.end(), begins.begin(), 0);
  std::string all(sizes.empty() ? 0 : static_cast<std::size_t>(begins.back() + sizes.back()), '\0');
  MPI_Request request;
  check(MPI_Igatherv(mine.data(), as_int(mine.size()), MPI_BYTE, all.data(), sizes.data(), begins.data(),
                     MPI_BYTE, root, comm_, &request),
        what);
  wait(request, patience, what);
  std::vector<std::string> texts;
  for (std::size_t r = 0; r < sizes.size(); ++r)
    texts.push_back(all.substr(static_cast<std::size_t>(begins[r]), static_cast<std::size_t>(sizes[r])));
  return texts;
}

std::vector<std::uint64_t> Communicator::gather_numbers(std::span<std::uint64_t const> mine, int root,
                                                        Patience const& patience, char const* what) const {
  // How many they are, and the first of them, in one message; the others' rest follows.
  constexpr std::size_t kFirst = 62;
  constexpr int kTag = 77;
  struct Message {
    std::uint64_t size = 0;
    std::array<std::uint64_t, kFirst> first{};
  } message;
  message.size = mine.size();
  std::copy_n(mine.begin(), std::min(kFirst, mine.size()), message.first.begin());
  auto const messages = gather(message, root, patience, what);
  if (rank_ != root) {
    if (mine.size() > kFirst) {
      auto const rest = mine.subspan(kFirst);
      send(rest.data(), rest.size_bytes(), root, kTag, patience, what);
    }
    return {};
  }
  std::vector<std::uint64_t> all;
  for (int r = 0; r < size_; ++r) {
    Message const& theirs = messages[static_cast<std::size_t>(r)];
    std::size_t const first = std::min<std::uint64_t>(kFirst, theirs.size), begin = all.size();
    all.insert(all.end(), theirs.first.begin(), theirs.first.begin() + static_cast<std::ptrdiff_t>(first));
    if (theirs.size <= kFirst) continue;
    all.resize(begin + theirs.size);
    std::uint64_t* const to = all.data() + begin + kFirst;
    if (r == root)
      std::copy(mine.begin() + kFirst, mine.end(), to);
    else
      receive(to, (theirs.size - kFirst) * sizeof(std::uint64_t), r, kTag, patience, what);
  }
  return all;
}

std::uint64_t Communicator::sum_to(std::span<std::uint64_t> values, int root, Patience const& patience,
                                   char const* what) const {
  if (size_ == 1) return 0;
  std::uint64_t sent = 0;
  bool const in_shares = sums_in_shares(values.size_bytes(), size_);
  constexpr std::size_t kMost = kMostAtOnce / sizeof(std::uint64_t);
  for (; !values.empty(); values = values.subspan(std::min(kMost, values.size()))) {
    auto const some = values.first(std::min(kMost, values.size()));
    if (in_shares) {
      sent += sum_by_shares(some, root, patience, what);
      continue;
    }
    bool const here = rank_ == root;
    MPI_Request request;
    check(MPI_Ireduce(here ? MPI_IN_PLACE : some.data(), here ? some.data() : nullptr, as_int(some.size()),
                      MPI_UINT64_T, MPI_SUM, root, comm_, &request),
          what);
    wait(request, patience, what);
    sent += here ? 0 : some.size_bytes();
  }
  return sent;
}

std::uint64_t Communicator::sum_two_to(std::span<std::uint64_t> few, std::span<std::uint64_t> many, int root,
                                       Patience const& patience, char const* what) const {
  bool const here = rank_ == root;
  std::vector<std::uint64_t> all(here ? few.size() * static_cast<std::size_t>(size_) : 0);
  MPI_Request request;
  check(MPI_Igather(few.data(), as_int(few.size()), MPI_UINT64_T, all.data(), as_int(few.size()),
                    MPI_UINT64_T, root, comm_, &request),
        what);
  std::uint64_t const sent = sum_to(many, root, patience, what);
  wait(request, patience, what);
  if (!here) return sent + few.size_bytes();
  std::fill(few.begin(), few.end(), 0);
  for (std::size_t i = 0; i < all.size(); ++i) few[i % few.size()] += all[i];
  return sent;
}

std::uint64_t Communicator::sum_by_shares(std::span<std::uint64_t> values, int root, Patience const& patience,
                                          char const* what) const {
  auto const ranks = static_cast<std::size_t>(size_);
  auto const me = static_cast<std::size_t>(rank_);
  std::vector<int> begins(ranks, 0), lengths(ranks, 0);
  if (size_ == 2) {
    lengths[static_cast<std::size_t>(root)] = as_int(values.size());
  } else {
    for (std::size_t r = 0; r < ranks; ++r) {
      begins[r] = as_int(values.size() * r / ranks);
      lengths[r] = as_int(values.size() * (r + 1) / ranks) - begins[r];
    }
  }
  auto const mine =
      values.subspan(static_cast<std::size_t>(begins[me]), static_cast<std::size_t>(lengths[me]));
  std::vector<int> sends = lengths, receives(ranks, lengths[me]), places(ranks, 0);
  sends[me] = receives[me] = 0;
  std::inclusive_scan(receives.begin(), receives.end() - 1, places.begin() + 1);
  Bytes const others(mine.size_bytes() * (ranks - 1));
  auto* const came = reinterpret_cast<std::uint64_t*>(others.data());
  MPI_Request request;
  check(MPI_Ialltoallv(values.data(), sends.data(), begins.data(), MPI_UINT64_T, came, receives.data(),
                       places.data(), MPI_UINT64_T, comm_, &request),
        what);
  wait(request, patience, what);
  for (std::size_t r = 0; r + 1 < ranks; ++r)
    for (std::size_t i = 0; i < mine.size(); ++i) mine[i] += came[r * mine.size() + i];
  std::uint64_t const sent = values.size_bytes() - mine.size_bytes();
  if (size_ == 2) return sent;
  bool const here = rank_ == root;
  check(MPI_Igatherv(here ? MPI_IN_PLACE : mine.data(), as_int(mine.size()), MPI_UINT64_T, values.data(),
                     lengths.data(), begins.data(), MPI_UINT64_T, root, comm_, &request),
        what);
  wait(request, patience, what);
  return sent + (here ? 0 : mine.size_bytes());
}

std::uint64_t Communicator::all_max(std::uint64_t value, Patience const& patience, char const* what) const {
  std::uint64_t most = 0;
  MPI_Request request;
  check(MPI_Iallreduce(&value, &most, 1, MPI_UINT64_T, MPI_MAX, comm_, &request), what);
  wait(request, patience, what);
  return most;
}

std::uint64_t Communicator::all_sum(std::uint64_t value, Patience const& patience, char const* what) const {
  std::uint64_t sum = 0;
  MPI_Request request;
  check(MPI_Iallreduce(&value, &sum, 1, MPI_UINT64_T, MPI_SUM, comm_, &request), what);
  wait(request, patience, what);
  return sum;
}

std::vector<Bytes> Communicator::all_to_all(std::vector<Bytes> const& parts, Patience const& patience,
                                            char const* what) const {
  auto const ranks = static_cast<std::size_t>(size_);
  auto const me = static_cast<std::size_t>(rank_);
  std::vector<std::uint64_t> to(ranks), from(ranks);
  for (std::size_t r = 0; r < ranks; ++r) to[r] = r == me ? 0 : parts[r].size();
  MPI_Request request;
  check(MPI_Ialltoall(to.data(), 1, MPI_UINT64_T, from.data(), 1, MPI_UINT64_T, comm_, &request), what);
  wait(request, patience, what);
  std::vector<Bytes> came;
  for (std::uint64_t const bytes : from) came.emplace_back(bytes);
  // One buffer for each rank, at its own address, so that nothing is copied into one for all.
  std::vector<BytesAt> out, in;
  std::vector<int> sends(ranks), receives(ranks), nowhere(ranks, 0);
  std::vector<MPI_Datatype> out_types(ranks, MPI_BYTE), in_types(ranks, MPI_BYTE);
  for (std::size_t r = 0; r < ranks; ++r) {
    sends[r] = to[r] > 0;
    receives[r] = from[r] > 0;
    if (to[r] > 0) out_types[r] = out.emplace_back(parts[r].data(), to[r]).type();
    if (from[r] > 0) in_types[r] = in.emplace_back(came[r].data(), from[r]).type();
  }
  check(MPI_Ialltoallw(MPI_BOTTOM, sends.data(), nowhere.data(), out_types.data(), MPI_BOTTOM,
                       receives.data(), nowhere.data(), in_types.data(), comm_, &request),
        what);
  wait(request, patience, what);
  return came;
}

void Communicator::in_pieces(std::size_t bytes, Patience const& patience, char const* what,
                             std::function<int(std::size_t at, int count, MPI_Request&)> const& begin) const {
  for (std::size_t at = 0; at < bytes; at += kMostAtOnce) {
    MPI_Request request;
    check(begin(at, as_int(std::min(kMostAtOnce, bytes - at)), request), what);
    wait(request, patience, what);
  }
}

void Communicator::send(void const* data, std::size_t bytes, int to, int tag, Patience const& patience,
                        char const* what) const {
  in_pieces(bytes, patience, what, [&](std::size_t at, int count, MPI_Request& request) {
    return MPI_Isend(static_cast<char const*>(data) + at, count, MPI_BYTE, to, tag, comm_, &request);
  });
}

void Communicator::receive(void* data, std::size_t bytes, int from, int tag, Patience const& patience,
                           char const* what) const {
  in_pieces(bytes, patience, what, [&](std::size_t at, int count, MPI_Request& request) {
    return MPI_Irecv(static_cast<char*>(data) + at, count, MPI_BYTE, from, tag, comm_, &request);
  });
}

}  // namespace tally
