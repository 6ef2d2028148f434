#include <algorithm>
#include <array>

#include "bench/base/console.hpp"
#include "bench/base/json.hpp"
#include "bench/cli/argument_parser.hpp"
#include "bench/commands/commands.hpp"
#include "bench/plan/cell.hpp"
#include "models/runtime/io/uring.hpp"

namespace tally {
namespace {

/// Why the model cannot run on the stream here; empty if it can.
std::string obstacle(Model const& model, StreamKind stream) {
  if (!model.unavailable.empty()) return std::string(model.unavailable);
  return runs(model, stream) ? "" : "not written for this stream";
}

std::string models_table(std::span<Model const> models) {
  std::size_t width = 5;
  for (Model const& model : models) width = std::max(width, model.name.size());
  auto const pad = [](std::string text, std::size_t to) {
    text.resize(std::max(text.size(), to), ' ');
    return text;
  };
  std::string out = pad("model", width) + "  cpu  lookup  ingest  summary\n";
  std::string reasons;
  for (Model const& model : models) {
    out += pad(std::string(model.name), width);
    for (auto const stream : kAllStreams) {
      std::string const why = obstacle(model, stream);
      out += "  " + pad(why.empty() ? "yes" : "no", name_of(stream).size());
      if (!why.empty()) {
        reasons += std::string(model.name) + " on " + std::string(name_of(stream)) + ": " + why + "\n";
      }
    }
    out += "  " + std::string(model.summary) + (model.candidate ? "" : " (ceiling)") +
           (model.by_default ? "" : " (not by default)") + "\n";
  }
  if (!reasons.empty()) out += "\n" + reasons;
  std::string waiting;
  for (Model const& model : models)
    if (model.reactor) waiting += (waiting.empty() ? "" : ", ") + std::string(model.name);
  out += "\n--io epoll,io_uring on lookup and ingest: " + waiting + "\n";
  return out +
         "io_uring: " + (why_no_uring().empty() ? "available" : "unavailable, because " + why_no_uring()) +
         "\n";
}

std::string models_json(std::span<Model const> models) {
  auto rows = Json::array();
  for (Model const& model : models) {
    Json row{{"name", model.name},
             {"summary", model.summary},
             {"ceiling", !model.candidate},
             {"by_default", model.by_default}};
    row["io"] = Json::array();
    if (model.reactor)
      for (auto const& io : kIos) row["io"].push_back(io.first);
    for (auto const stream : kAllStreams) {
      std::string const why = obstacle(model, stream);
      auto& entry = row["streams"][std::string(name_of(stream))];
      entry["runs"] = why.empty();
      if (!why.empty()) entry["reason"] = why;
    }
    rows.push_back(std::move(row));
  }
  Json uring{{"available", why_no_uring().empty()}};
  if (!why_no_uring().empty()) uring["reason"] = why_no_uring();
  return Json{{"models", rows}, {"io", {{"epoll", {{"available", true}}}, {"io_uring", uring}}}}.dump(2) +
         "\n";
}

}  // namespace

int list_command(Arguments const& arguments, std::span<Model const> models) {
  ArgumentParser parser("tally list", "Models x streams, and why one cannot run here.");
  bool const& json = parser.flag("--json", "as JSON");
  parser.parse(arguments);
  write_output(json ? models_json(models) : models_table(models));
  return 0;
}

}  // namespace tally
