// Programs as models: a process that is told what to do, and says when it is ready and done.
#include "models/external/external.hpp"

#include <arpa/inet.h>

#include <stdexcept>
#include <utility>

#include "models/external/process.hpp"

namespace tally {
namespace {

using Values = std::vector<std::pair<std::string_view, std::string>>;

ExternalTask const& task_of(Setup const& setup) {
  if (setup.external == nullptr) throw std::logic_error("nothing was prepared for a program");
  return *setup.external;
}

/// What all streams have.
Values values_of(ExternalTask const& task, Setup const& setup) {
  return {{"count", std::to_string(task.events)},
          {"keys", std::to_string(task.keys)},
          {"window_ns", std::to_string(task.window.count())},
          {"grain_ns", "0"},
          {"workers", std::to_string(setup.workers)},
          {"batch", std::to_string(setup.batch)},
          {"in_flight", std::to_string(setup.in_flight)}};
}

void add_address(Values& values, ServiceAddress const& address) {
  in_addr const host{htonl(address.host)};
  char name[INET_ADDRSTRLEN] = "?";
  inet_ntop(AF_INET, &host, name, sizeof name);
  values.emplace_back("host", name);
  values.emplace_back("port", std::to_string(address.port));
}

std::vector<std::string> filled(ExternalCommand const& command, Values const& values) {
  std::vector<std::string> argv;
  for (std::string const& piece : command)
    argv.push_back(fill_placeholders(piece, [&](std::string_view name) {
      for (auto const& [known, value] : values)
        if (known == name) return value;
      throw std::logic_error("no value for {" + std::string(name) + "}");
    }));
  return argv;
}

void all_ready(Setup const& setup, Stopwatch& watch) {
  for (int worker = 0; worker < setup.workers; ++worker) watch.worker_ready();
}

/// From when it is done: its counts, and its end.
void take_counts(ExternalProcess& program, ExternalTask const& task, Stopwatch& watch, Counts& counts) {
  program.note_memory();
  CountReader reader({.window = task.window, .lines_max = task.lines_max, .windows_max = task.windows},
                     counts);
  program.read_counts(reader);
  program.finish();
  watch.set_memory(program.memory_bytes());
  counts.tasks = 1;
  counts.pairs = task.pairs;  // nobody sees which event had which key
}

/// Of the streams that it goes through at its own pace.
Counts run_program(ExternalCommand const& command, Values const& values, Setup const& setup, Stopwatch& watch,
                   Counts counts) {
  ExternalTask const& task = task_of(setup);
  ExternalProcess program(filled(command, values), task.patience);
  program.expect("ready");
  all_ready(setup, watch);
  watch.start();
  program.go();
  program.expect("done");
  watch.stop();
  take_counts(program, task, watch, counts);
  // Nobody sees which positions it counted: its counts of all keys are what is compared.
  counts.cover(0, task.events);
  counts.tasks = 1;
  return counts;
}

bool is_name(std::string_view text) {
  return !text.empty() && text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string_view::npos;
}

}  // namespace

std::string fill_placeholders(std::string_view text,
                              std::function<std::string(std::string_view name)> const& value) {
  std::string filled;
  while (!text.empty()) {
    auto const open = text.find('{');
    filled += text.substr(0, open);
    if (open == std::string_view::npos) break;
    text.remove_prefix(open);
    bool const literal = text.starts_with("{{");
    std::string_view const inside = text.substr(literal ? 2 : 1);
    auto const close = inside.find('}');
    std::string_view const name = inside.substr(0, close);
    if (close != std::string_view::npos && is_name(name) &&
        (!literal || inside.substr(close).starts_with("}}"))) {
      if (literal)
        filled.append("{").append(name).append("}");
      else
        filled += value(name);
      text.remove_prefix(name.size() + (literal ? 4 : 2));
    } else {
      filled += '{';
      text.remove_prefix(1);
    }
  }
  return filled;
}

Counts external_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  ExternalTask const& task = task_of(setup);
  Values values = values_of(task, setup);
  values.emplace_back("events", task.events_path);
  return run_program(task.program->cpu, values, setup, watch, stream.empty_tally());
}

Counts external_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  ExternalTask const& task = task_of(setup);
  Values values = values_of(task, setup);
  add_address(values, stream.service());
  Counts counts = run_program(task.program->lookup, values, setup, watch, stream.empty_tally());
  // Whether the service was asked that often, it says itself; whoever has its account compares.
  counts.replies = counts.events;
  return counts;
}

Counts external_ingest(IngestStream const& stream, Setup const& setup, Stopwatch& watch) {
  ExternalTask const& task = task_of(setup);
  Values values = values_of(task, setup);
  add_address(values, stream.address());
  values.emplace_back("connections", std::to_string(task.connections));
  ExternalProcess program(filled(task.program->ingest, values), task.patience);
  program.expect("listening");
  stream.listening();  // then senders connect
  program.expect("ready");
  all_ready(setup, watch);
  stream.serving();  // then they send
  program.go();
  program.expect("done");
  watch.start_at(stream.began());
  watch.stop();
  Counts counts = Counts::text();
  take_counts(program, task, watch, counts);
  return counts;
}

Model external_model(ExternalProgram const& program) {
  Model model{.name = program.name, .summary = "a program of its own, called by --external"};
  if (!program.cpu.empty()) model.cpu = external_cpu;
  if (!program.lookup.empty()) model.lookup = external_lookup;
  if (!program.ingest.empty()) model.ingest = external_ingest;
  model.external = &program;
  return model;
}

}  // namespace tally
