// `tally`, with one of its models made slower on purpose: what --against and scripts/compare.py must find.
//
// The environment variable TALLY_SLOWED, `MODEL:PERCENT`, says which and by how much; without it, this is
// `tally` as it is. The model schedules as ever; its stream does that share of every batch's work a second
// time, into counts that are thrown away.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/commands/tally_main.hpp"
#include "models/model.hpp"

namespace tally {
namespace {

double slower_by = 0;
Model const* slowed = nullptr;

/// How much work is done again up to this event of a stream, in events.
std::uint64_t done_again(std::uint64_t events) {
  return static_cast<std::uint64_t>(static_cast<double>(events) * slower_by);
}

class SlowedCpuStream : public CpuStream {
 public:
  explicit SlowedCpuStream(CpuStream const& stream) : stream_(stream) {}
  std::uint64_t size() const noexcept override { return stream_.size(); }
  Counts empty_tally() const override { return stream_.empty_tally(); }
  std::uint64_t windows() const noexcept override { return stream_.windows(); }
  std::uint64_t batch_end(std::uint64_t begin, std::uint64_t events) const noexcept override {
    return stream_.batch_end(begin, events);
  }
  std::vector<Range> split(std::size_t parts) const override { return stream_.split(parts); }
  void count(Range range, Counts& tally) const override {
    stream_.count(range, tally);
    thread_local std::unique_ptr<Counts> again;
    if (!again) again = std::make_unique<Counts>(stream_.empty_tally());
    std::uint64_t more = done_again(range.end) - done_again(range.begin);
    for (std::uint64_t n; more > 0; more -= n) {
      n = std::min(more, range.end - range.begin);
      stream_.count({range.begin, range.begin + n}, *again);
    }
  }

 private:
  CpuStream const& stream_;
};

Counts run_slowed(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  return slowed->cpu(SlowedCpuStream(stream), setup, watch);
}

/// The registry with `name` slowed.
std::vector<Model> with_slowed(std::string const& name) {
  std::vector<Model> models(all_models().begin(), all_models().end());
  auto const found =
      std::find_if(models.begin(), models.end(), [&](Model const& m) { return m.name == name; });
  if (found == models.end() || !found->cpu)
    throw std::invalid_argument("TALLY_SLOWED: no model '" + name + "' on cpu");
  slowed = &all_models()[static_cast<std::size_t>(found - models.begin())];
  found->cpu = run_slowed;
  return models;
}

}  // namespace
}  // namespace tally

int main(int argc, char** argv) {
  char const* const asked = std::getenv("TALLY_SLOWED");
  if (!asked) return tally::tally_main(argc, argv, tally::all_models());
  std::string const text = asked;
  tally::slower_by = std::stod(text.substr(text.find(':') + 1)) / 100;
  auto const models = tally::with_slowed(text.substr(0, text.find(':')));
  return tally::tally_main(argc, argv, models);
}
