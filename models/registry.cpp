// The visible table of models, in the order in which they are listed. A row is a name, a line about it, and
// what else sets it apart; the functions of row `x` are x_cpu, x_lookup and x_ingest, defined in
// x.cpp.
#include "models/model.hpp"

// clang-format off
#define TALLY_MODELS(ROW)                                                                                              \
  ROW(sequential,     "the plain loop; one blocking connection",                                  .sequential = true)  \
  ROW(thread_pool,    "std::jthread workers over a bounded queue; a blocking connection per thread",                   \
                                                                        .lookup_needs = {.thread_per_event = true})    \
  ROW(process_shard,  "fork(2), a process per shard, counts back through shared memory",                               \
                                                                        .lookup_needs = {.process_per_event = true})   \
  ROW(tbb_flow_graph, "oneTBB: input_node to function_node; async_node and I/O threads for what waits",               \
                                                                                               .reactor = true)        \
  ROW(fibers,         "Boost.Fiber: a scheduler per worker thread, a fiber per event in flight", .reactor = true)      \
  ROW(coroutines,     "C++20 coroutines: an event loop per worker thread, a coroutine per event in flight",            \
                                                                                               .reactor = true)        \
  ROW(event_loop,     "callbacks on a readiness loop, as Twisted and Node; several loops share nothing", .reactor = true)\
  ROW(coroutines_asio, "Boost.Asio's coroutines: an io_context per worker thread, a coroutine per event in flight",     \
                                                                                                .by_default = false)    \
  ROW(limit,          "no model to choose: static split, bare epoll loop; the measured ceiling",  .reactor = true,     \
                                                                                               .candidate = false)
// clang-format on

namespace tally {

#define TALLY_DECLARE(name, ...)                                       \
  Counts name##_cpu(CpuStream const&, Setup const&, Stopwatch&);       \
  Counts name##_lookup(LookupStream const&, Setup const&, Stopwatch&); \
  Counts name##_ingest(IngestStream const&, Setup const&, Stopwatch&);
TALLY_MODELS(TALLY_DECLARE)
#undef TALLY_DECLARE

namespace {

#define TALLY_ROW(row_name, line, ...) \
  Model{.name = #row_name,             \
        .summary = line,               \
        .cpu = row_name##_cpu,         \
        .lookup = row_name##_lookup,   \
        .ingest = row_name##_ingest __VA_OPT__(, ) __VA_ARGS__},
constexpr Model kModels[] = {TALLY_MODELS(TALLY_ROW)};
#undef TALLY_ROW

}  // namespace

std::span<Model const> all_models() { return kModels; }

}  // namespace tally
