// What a campaign and the other build of Tally that takes samples for it (`tally sampler`) say to each other.
//
// A line of JSON each way, over the sampler's standard input and output. The two may be different versions:
// nothing but these lines is shared.
//
//   sampler   {"sampler": 1, "cells": [NAME, …], "manifest": {…}}     ready; what it can measure; what it is
//   campaign  {"prepare": {NAME: EVENTS, …}, "links_per_ns": X}       what it will be asked for
//   sampler   {"prepared": {NAME: DIGEST, …}}                         digest() of each cell's reference
//   campaign  {"sample": NAME}
//   sampler   {"taken": {…}, "notes": [TEXT, …]}                      as sample_to_json() has it; notes that
//   are new, if any
//
// Instead of any of its lines the sampler may say {"error": TEXT}, and end. It ends with its input.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "bench/base/json.hpp"
#include "bench/sampling/cell_sample.hpp"
#include "workloads/counting/counts.hpp"

namespace tally {

/// Of the lines above; another number where one of the two would misunderstand the other.
inline constexpr int kSamplerProtocol = 1;

/// Bytes as they come, and the lines among them.
class LineBuffer {
 public:
  void add(char const* bytes, std::size_t size) { bytes_.append(bytes, size); }
  void clear() noexcept { bytes_.clear(); }
  /// The next whole line, without its end; none if none has come whole.
  std::optional<std::string> next();

 private:
  std::string bytes_;
};

/// A hash over what these counts say: events, windows, distinct keys, the most frequent keys, the work's
/// checksum. Two builds whose references differ in it do not count the same.
std::string digest(Counts const& counts);

/// All of a sample but its place in the campaign. Times in ns, as integers.
Json sample_to_json(CellSample const& taken);
/// The reverse. Throws Json::Error where something is missing.
CellSample sample_from_json(Json const& json);

}  // namespace tally
