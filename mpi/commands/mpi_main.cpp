#include "models/model.hpp"
#include "mpi/commands/tally_mpi_main.hpp"

int main(int argc, char** argv) { return tally::tally_mpi_main(argc, argv, tally::all_models()); }
