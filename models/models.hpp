// Every model's functions, for the registry: one line per model.
#pragma once

#include "models/model.hpp"

namespace tally {

Counts sequential_cpu(CpuStream const&, Setup const&, Stopwatch&);
Counts sequential_lookup(LookupStream const&, Setup const&, Stopwatch&);
Counts thread_pool_cpu(CpuStream const&, Setup const&, Stopwatch&);
Counts thread_pool_lookup(LookupStream const&, Setup const&, Stopwatch&);
Counts process_shard_cpu(CpuStream const&, Setup const&, Stopwatch&);
Counts process_shard_lookup(LookupStream const&, Setup const&, Stopwatch&);
Counts tbb_flow_graph_cpu(CpuStream const&, Setup const&, Stopwatch&);
Counts tbb_flow_graph_lookup(LookupStream const&, Setup const&, Stopwatch&);
Counts fibers_cpu(CpuStream const&, Setup const&, Stopwatch&);
Counts fibers_lookup(LookupStream const&, Setup const&, Stopwatch&);
Counts coroutines_cpu(CpuStream const&, Setup const&, Stopwatch&);
Counts coroutines_lookup(LookupStream const&, Setup const&, Stopwatch&);
Counts limit_cpu(CpuStream const&, Setup const&, Stopwatch&);
Counts limit_lookup(LookupStream const&, Setup const&, Stopwatch&);

}  // namespace tally
