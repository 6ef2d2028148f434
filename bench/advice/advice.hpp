// Which model to take at a point: what each would do there, ranked, and what speaks against it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/advice/cost_model.hpp"
#include "bench/advice/result_file.hpp"
#include "bench/plan/slo.hpp"

namespace tally {

/// What is asked.
struct Question {
  Point point;
  std::optional<Slo> slo;                     ///< of lookups: so many percent of events within so long
  std::optional<std::uint64_t> memory_bytes;  ///< that the model may take, events not included
};

/// What is said of a model.
struct ModelAdvice {
  std::string model;
  std::optional<Prediction> prediction;  ///< none if too little of it was measured
  std::optional<double> percentile_s;    ///< the latency that --slo is about
  int rank = 0;                          ///< from 1; 0 if excluded
  bool shares_rank = false;              ///< with the model before: the prediction cannot tell them apart
  std::string why;                       ///< what limits it, or what excludes it
  double busy_s = 0;                     ///< CPU time of an event, grain included, where CPUs are full
  double typical_factor = 1;             ///< that its predictions of cells left out of the fit were within
};

struct Advice {
  std::vector<ModelAdvice> models;  ///< best first, then those that are excluded
  Distance distance;                ///< from what was measured, of the first model
  std::string contradiction;        ///< why no model can do what was asked, whatever it costs; else empty
};

/// Fits the models of `files`, which are of one machine, and ranks them at the point. Throws
/// std::invalid_argument if no model was measured on the stream often enough.
Advice advise(std::vector<ResultFile> const& files, Question const& question);

}  // namespace tally
