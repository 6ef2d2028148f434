#include "bench/commands/tally_main.hpp"

int main(int argc, char** argv) { return tally::tally_main(argc, argv, tally::all_models()); }
