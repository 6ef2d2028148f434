#include "mpi/agreement.hpp"

#include <algorithm>
#include <new>

#include "bench/usage_error.hpp"
#include "workloads/byte_source.hpp"

namespace tally {

std::string describe_rank(int rank, std::string const& host) {
  return "rank " + std::to_string(rank) + " (host " + host + ")";
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
  if (failed > 1)
    text += "; and " + std::to_string(failed - 1) + " more rank" + (failed > 2 ? "s" : "") + " could not";
  throw RankFailed(text, all_usage);
}

}  // namespace tally
