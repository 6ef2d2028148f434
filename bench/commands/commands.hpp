// The commands of `tally`, each after its name has been read. They return the exit status and throw
// UsageError for a wrong command line, HelpRequested for --help, and std::exception for what fails.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/model.hpp"

namespace tally {

/// The command's own arguments.
using Arguments = std::vector<std::string>;

/// `tally list`: models x streams, and why one cannot run here.
int list_command(Arguments const& arguments, std::span<Model const> models);
/// `tally count`: counts a real file's events with one model, in this process, without measuring.
int count_command(Arguments const& arguments, std::span<Model const> models);
/// `tally lookup-service`: serves in the foreground until SIGTERM or SIGINT.
int service_command(Arguments const& arguments);
/// `tally run`: the campaign.
int run_command(Arguments const& arguments, std::span<Model const> models);

/// `tally serve`: counts what arrives over TCP until SIGTERM or SIGINT, with one model.
int serve_command(Arguments const& arguments, std::span<Model const> models);
/// `tally load`: sends a schedule of synthetic events to a server, on time, and says how well that went.
int load_command(Arguments const& arguments);

/// `tally sampler`: takes samples for another build's `tally run --against`, which starts it with its own
/// arguments and talks to it over standard input and output (bench/sampling/sampler_protocol.hpp).
int sampler_command(Arguments const& arguments, std::span<Model const> models);

/// `tally map`: which model wins where, over grains, waits, events in flight and workers.
int map_command(Arguments const& arguments, std::span<Model const> models);

/// `tally advise`: which model to take at a point, from what was measured elsewhere; 1 if none can do what is
/// asked.
int advise_command(Arguments const& arguments, std::span<Model const> models);

/// `tally merge-model`: what merging over ranks takes, from merges that were measured.
int merge_model_command(Arguments const& arguments);

/// `tally doctor`: whether this machine is fit to measure on; 1 if it is not.
int doctor_command(Arguments const& arguments);

}  // namespace tally
