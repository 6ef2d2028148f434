// What advice for one host comes to on many, each with one rank: they count their part, and merge.
#pragma once

#include <string>
#include <vector>

#include "bench/advice/advice.hpp"
#include "bench/advice/merge_model.hpp"
#include "bench/base/json.hpp"

namespace tally {

/// What is asked.
struct HostsQuestion {
  int hosts = 2;
  double events = 1e9;  ///< of all hosts together
  MergePoint merge;     ///< but for the number of ranks
};

/// What is said of a model.
struct HostsAdvice {
  std::string model;
  double count_s = 0, merge_s = 0;
  double items_per_second = 0;  ///< of all hosts together
  double low = 0, high = 0;     ///< where both predictions are at the ends of their intervals
  int merging_passes =
      0;  ///< the fewest hosts with which merging takes as long as counting; 0: none looked at
};

/// Of every model of `advice` that is not excluded, in its order.
std::vector<HostsAdvice> advise_hosts(Advice const& advice, HostsQuestion const& question,
                                      MergeModel const& model);

std::string hosts_table(HostsQuestion const& question, std::vector<HostsAdvice> const& advice);
Json hosts_json(HostsQuestion const& question, std::vector<HostsAdvice> const& advice);

}  // namespace tally
