// The program `tally-mpi`, over whatever table of models it is given: the real one, or a test's.
#pragma once

#include <span>

#include "models/model.hpp"

namespace tally {

/// Runs the command line in this rank, in a process that another watches over, and returns the exit status of
/// the contract, as tally_main() does. Call single-threaded, before MPI is initialized.
int tally_mpi_main(int argc, char** argv, std::span<Model const> models);

}  // namespace tally
