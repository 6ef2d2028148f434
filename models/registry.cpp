// The visible table of models, in the order in which they are listed.
#include "models/models.hpp"

namespace tally {
namespace {

constexpr Model kModels[] = {
    {.name = "sequential",
     .summary = "the plain loop; one blocking connection",
     .cpu = sequential_cpu,
     .lookup = sequential_lookup,
     .sequential = true},
    {.name = "thread_pool",
     .summary = "std::jthread workers over a bounded queue; a blocking connection per thread",
     .cpu = thread_pool_cpu,
     .lookup = thread_pool_lookup,
     .lookup_needs = {.thread_per_event = true}},
    {.name = "process_shard",
     .summary = "fork(2), a process per shard, counts back through shared memory",
     .cpu = process_shard_cpu,
     .lookup = process_shard_lookup,
     .lookup_needs = {.process_per_event = true}},
    {.name = "tbb_flow_graph",
     .summary = "oneTBB: input_node to function_node; async_node and an I/O thread for what waits",
     .cpu = tbb_flow_graph_cpu,
     .lookup = tbb_flow_graph_lookup},
    {.name = "fibers",
     .summary = "Boost.Fiber: a scheduler per worker thread, a fiber per event in flight",
     .cpu = fibers_cpu,
     .lookup = fibers_lookup},
    {.name = "coroutines",
     .summary = "C++20 coroutines: an event loop per worker thread, a coroutine per event in flight",
     .cpu = coroutines_cpu,
     .lookup = coroutines_lookup},
    {.name = "limit",
     .summary = "no model to choose: static split, bare epoll loop; the measured ceiling",
     .cpu = limit_cpu,
     .lookup = limit_lookup,
     .candidate = false},
};

}  // namespace

std::span<Model const> all_models() { return kModels; }

}  // namespace tally
