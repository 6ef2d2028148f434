// What merging over the ranks of an MPI job costs, fitted to merges that were measured; and what follows for
// numbers of ranks that nobody measured. docs/many-machines.md derives it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "workloads/counting/counts.hpp"

namespace tally {

/// "dense", "text"
std::string_view name_of(KeyKind kind);

/// A merge.
struct MergePoint {
  KeyKind kind = KeyKind::dense;
  std::uint64_t keys = 1000;  ///< different ones, of all ranks together
  int ranks = 2;
  bool disjoint = false;     ///< each rank has keys of its own; else each has all of them
  double key_bytes = 16;     ///< of a text key, in the mean
  bool remote = true;        ///< ranks are on hosts of their own; else all on one
  double way_s = 0;          ///< that a small message takes from one host to another
  double ranks_per_cpu = 1;  ///< at least 1; of more ranks than CPUs, in the mean
};

/// Beyond as many hosts nobody has measured anything like it.
inline constexpr int kMostHosts = 100'000;

/// Whether ranks sum so many bytes of counts in shares, or by MPI's reduction: mpi/communicator.cpp asks, and
/// so does the model. In shares, if they are as long as a message for which Open MPI asks first whether there
/// is room, and a share of them is worth a message.
bool sums_in_shares(std::size_t bytes, int ranks) noexcept;

/// What mpi/merge.cpp does in a merge, counted: what each costs is not in here.
struct MergeShape {
  double ways = 0;         ///< messages that wait for each other
  double messages = 0;     ///< that the busiest rank sends or takes
  double bytes = 0;        ///< that go through the busiest rank's link, one way
  double numbers = 0;      ///< that the busiest rank adds, of dense counts
  double keys = 0;         ///< of text, in a rank's table, which is gone through
  double uncached = 0;     ///< the same, times how often the table doubles beyond what caches hold
  double others_keys = 0;  ///< of text, that a rank sends, and as many that it takes in
};
MergeShape shape_of(MergePoint const& point);

/// What each of these takes, in seconds (LogGP: Alexandrov, Ionescu, Schauser & Scheiman, "LogGP:
/// Incorporating Long Messages into the LogP Model", SPAA 1995; L is measured and not in here, message_s is
/// o, byte_s is G).
struct MergeCosts {
  double fixed_s = 0;       ///< of a merge, however small
  double message_s = 0;     ///< of a message to another host
  double byte_s = 0;        ///< to another host
  double local_way_s = 0;   ///< that a small message takes on one host
  double local_byte_s = 0;  ///< on one host
  double number_s = 0;
  double key_s = 0;
  double uncached_s = 0;
  double others_key_s = 0;
};

/// A merge that was measured, in medians of its rounds.
struct MeasuredMerge {
  std::string path;  ///< of the file
  std::string name;
  std::string cpu_model;  ///< of rank 0
  MergePoint point;
  double median_s = 0, low_s = 0, high_s = 0;  ///< with the 95% interval of the median
};

/// Whether the file is one of `tally-mpi merge`.
bool is_merge_file(std::filesystem::path const& path);

/// The merges over two ranks and more in a file that `tally-mpi merge --out` wrote. Throws NoResultFile.
std::vector<MeasuredMerge> read_merge_file(std::filesystem::path const& path);

/// Merging, fitted.
class MergeModel {
 public:
  /// The least merges that say anything of costs.
  static constexpr std::size_t kLeastMerges = 8;

  /// Fits the costs to the merges by least squares of the log of their times. Costs that none of them has are
  /// 0. Throws std::invalid_argument below kLeastMerges.
  explicit MergeModel(std::vector<MeasuredMerge> merges);

  /// What a merge takes. With one rank 0.
  double predict_s(MergePoint const& point) const;
  MergeCosts const& costs() const noexcept { return costs_; }
  std::vector<MeasuredMerge> const& merges() const noexcept { return merges_; }
  /// The factor that nine of ten of the merges are within, each predicted by a fit without it.
  double typical_factor() const noexcept { return typical_factor_; }
  /// Merges between hosts were among them, so that others can be predicted.
  bool knows_hosts() const noexcept;
  /// The way of a small message between the hosts, at its shortest of all files.
  double shortest_way_s() const noexcept;

 private:
  std::vector<MeasuredMerge> merges_;
  MergeCosts costs_;
  double typical_factor_ = 1;
};

/// Hosts, each with one rank, that count and then merge.
struct Hosts {
  MergePoint merge;              ///< but for the number of ranks
  double events = 0;             ///< of all hosts together
  double events_per_second = 0;  ///< that one host counts
  bool events_of_each = false;   ///< `events` are of each host: the more hosts, the more there are

  double count_s(int ranks) const { return events / events_per_second / (events_of_each ? 1 : ranks); }
};

/// The fewest hosts with which merging takes as long as counting or longer; 0 if it does not up to `most`.
int merging_passes_counting(Hosts const& hosts, MergeModel const& model, int most);

}  // namespace tally
