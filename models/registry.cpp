// The table of models, in the order in which they are listed. A row is a name, the streams that the model runs
// (`none` for one that it does not run), a line about it, and its other properties. The function of row `x` on
// stream `s` is x_s, defined in x/s.cpp.
#include "models/model.hpp"

// clang-format off
#define TALLY_MODELS(ROW)                                                                                                 \
  ROW(sequential,      cpu, lookup, ingest, "the plain loop; one blocking connection",               .sequential = true)  \
  ROW(thread_pool,     cpu, lookup, ingest,                                                                               \
      "std::jthread workers over a bounded queue of closures; a blocking connection per thread",                          \
                                                                           .lookup_needs = {.thread_per_event = true})    \
  ROW(process_shard,   cpu, lookup, ingest,                                                                               \
      "fork(2), a process per shard; batches and counts go through shared memory",                                        \
                                              .lookup_needs = {.process_per_event = true}, .tasks_behind_one = 1365)      \
  ROW(tbb_flow_graph,  cpu, lookup, ingest,                                                                               \
      "oneTBB: source to function_node, bounded; async_node and I/O threads for what waits",         .reactor = true)     \
  ROW(fibers,          cpu, lookup, ingest,                                                                               \
      "Boost.Fiber: a scheduler per worker thread, a fiber per task",                                .reactor = true)     \
  ROW(coroutines,      cpu, lookup, ingest,                                                                               \
      "C++20 coroutines: one per task, resumed on any worker; on a readiness loop while they wait",  .reactor = true)     \
  ROW(event_loop,      cpu, lookup, ingest,                                                                               \
      "callbacks on a readiness loop per worker, as Twisted and Node; one per task",                                      \
                                                                             .reactor = true, .tasks_behind_one = 96)     \
  ROW(coroutines_asio, cpu, lookup, ingest,                                                                               \
      "Boost.Asio's coroutines: an io_context per worker thread, a coroutine per task",                                   \
                                                                       .by_default = false, .tasks_behind_one = 128)      \
  ROW(limit,           cpu, lookup, ingest,                                                                               \
      "no model to choose: static split, bare epoll loop; the measured ceiling",  .reactor = true, .candidate = false)
// clang-format on

namespace tally {

#define TALLY_DECLARE_cpu(name) Counts name##_cpu(CpuStream const&, Setup const&, Stopwatch&);
#define TALLY_DECLARE_lookup(name) Counts name##_lookup(LookupStream const&, Setup const&, Stopwatch&);
#define TALLY_DECLARE_ingest(name) Counts name##_ingest(IngestStream const&, Setup const&, Stopwatch&);
#define TALLY_DECLARE_none(name)
#define TALLY_DECLARE(name, cpu, lookup, ingest, ...) \
  TALLY_DECLARE_##cpu(name) TALLY_DECLARE_##lookup(name) TALLY_DECLARE_##ingest(name)
TALLY_MODELS(TALLY_DECLARE)

namespace {

#define TALLY_RUN_cpu(name) name##_cpu
#define TALLY_RUN_lookup(name) name##_lookup
#define TALLY_RUN_ingest(name) name##_ingest
#define TALLY_RUN_none(name) nullptr
#define TALLY_ROW(row_name, cpu_run, lookup_run, ingest_run, line, ...) \
  Model{.name = #row_name,                                              \
        .summary = line,                                                \
        .cpu = TALLY_RUN_##cpu_run(row_name),                           \
        .lookup = TALLY_RUN_##lookup_run(row_name),                     \
        .ingest = TALLY_RUN_##ingest_run(row_name) __VA_OPT__(, ) __VA_ARGS__},
constexpr Model kModels[] = {TALLY_MODELS(TALLY_ROW)};

}  // namespace

std::span<Model const> all_models() { return kModels; }

}  // namespace tally
