// How many events each cell gets, where the command line leaves it open.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "bench/output/progress.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/sampling/local_sampler.hpp"

namespace tally {

/// The numbers of events of all cells, parallel to the plan's. Explicit and a file's numbers of events stand
/// as they are. Else pilots, samples like any other but short, tell the rate that `limit` reaches in each
/// group (that the group's first model reaches where there is no `limit`), and the cells of the group get
/// what the lesser of that rate and the bound lets through in options.sample_length: the same number for all
/// but sequential and programs of their own, which have their own pilots.
///
/// What more bends it, number_of_events() says. Throws Interrupted.
std::vector<std::uint64_t> choose_numbers(RunOptions const& options, Plan const& plan, LocalSampler& local,
                                          Progress& progress);

/// How many events a sample of `cell` has, of which nothing allows more than `bound` events/s and a pilot
/// showed `rate`: what the lesser of the two lets through in options.sample_length (five times that,
/// of a program of its own), cut to two digits. No
/// number needs more than a quarter of the memory there is, the counts of its windows included. Where batches
/// are small, models slower than `limit` by orders of magnitude would take minutes: there it allows 20 ns for
/// each batch, as long as that rate still takes 10 ms. Where a batch is long, there are 16 for each of
/// several workers, as long as that takes no more than two seconds. Lookups are at least ten for each one
/// that waits at once, one for each in flight, and so many that their end, at which nothing is done but to
/// wait for the last of them, is options.most_draining of the sample, as long as that takes no more than some
/// seconds.
std::uint64_t number_of_events(Cell const& cell, RunOptions const& options, double bound,
                               std::optional<double> rate);

/// Events/s of `cell`, in samples that grow until they last; none if one fails. Throws Interrupted.
std::optional<double> pilot_rate(Cell const& cell, RunOptions const& options, LocalSampler& local,
                                 Progress& progress);

/// How many events a cell at a rate has in `length_s` seconds, if memory has room for so many.
std::uint64_t events_of_rate(Cell const& cell, double length_s, RunOptions const& options);

}  // namespace tally
