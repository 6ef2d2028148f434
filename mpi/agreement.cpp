#include "mpi/agreement.hpp"

#include <algorithm>
#include <new>

#include "bench/base/usage_error.hpp"
#include "workloads/input/byte_source.hpp"

namespace tally {

std::string describe_rank(int rank, std::string const& host) {
  return "rank " + std::to_string(rank) + " (host " + host + ")";
}

std::string describe_late(PeersLate const& late, std::vector<std::string> const& hosts) {
  constexpr std::size_t kShown = 4;
  std::size_t const missing = late.missing.size(), shown = std::min(missing, kShown);
  if (missing == 0) return std::string("ranks waited in vain for each other, ") + late.what();
  std::string text;
  for (std::size_t i = 0; i < shown; ++i) {
    int const r = late.missing[i];
    text += (i == 0 ? "" : ", ") + (hosts.empty() ? "rank " + std::to_string(r)
                                                  : describe_rank(r, hosts[static_cast<std::size_t>(r)]));
  }
  if (missing > shown) text += " and " + std::to_string(missing - shown) + " more";
  return text + (missing > 1 ? " have" : " has") + " not been heard of in time, " + late.what() +
         ": hanging, or off the network";
}

void all_or_none(Communicator const& ranks, std::vector<std::string> const& hosts, Patience const& patience,
                 std::function<void()> const& act) {
  std::string why;
  bool usage = true;
  try {
    act();
  } catch (PeersLate const&) {
    throw;
  } catch (Interrupted const&) {
    throw;
  } catch (MpiFailed const&) {
    throw;
  } catch (UsageError const& e) {
    why = e.what();
  } catch (InputFailed const& e) {
    why = e.what();
  } catch (std::bad_alloc const&) {
    why = "out of memory";
    usage = false;
  } catch (std::exception const& e) {
    why = e.what();
    usage = false;
  }
  if (ranks.all_sum(why.empty() ? 0 : 1, patience, "whether all ranks go on") == 0) return;
  bool const all_usage = ranks.all_sum(usage ? 0 : 1, patience, "why a rank does not go on") == 0;
  auto const reasons = ranks.gather_texts(why, 0, patience, "why a rank does not go on");
  std::string text;
  int failed = 0;
  for (std::size_t r = 0; r < reasons.size(); ++r) {
    if (reasons[r].empty()) continue;
    if (failed++ == 0)
      text = (r == 0 ? "" : describe_rank(static_cast<int>(r), hosts[r]) + ": ") + reasons[r];
  }
  // What all ranks say, as of a wrong argument, is of none of them.
  bool const all_alike = std::all_of(reasons.begin(), reasons.end(),
                                     [&](auto const& other) { return other == reasons.front(); });
  if (failed > 1 && !all_alike)
    text += "; and " + std::to_string(failed - 1) + " more rank" + (failed > 2 ? "s" : "") + " could not";
  throw RankFailed(text, all_usage);
}

}  // namespace tally
