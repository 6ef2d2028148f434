// The program `tally`, over whatever table of models it is given: the real one, or a test's.
#pragma once

#include <span>

#include "models/model.hpp"

namespace tally {

/// Runs the command line and returns the exit status of the contract: 0 all measured and verified, 1 a cell
/// failed, 2 the command line is wrong, 130 interrupted. Call single-threaded: samples are forked.
int tally_main(int argc, char** argv, std::span<Model const> models);

}  // namespace tally
