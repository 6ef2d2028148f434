#include <algorithm>

#include "bench/base/console.hpp"
#include "bench/base/json.hpp"
#include "bench/base/text_table.hpp"
#include "bench/base/units.hpp"
#include "bench/cli/argument_parser.hpp"
#include "bench/commands/commands.hpp"
#include "bench/machine/doctor.hpp"
#include "bench/plan/defaults.hpp"

namespace tally {
namespace {

constexpr int kUnfit = 1;
constexpr int kLooks = 60, kMostLooks = 1000;  ///< times that the reference computation runs
constexpr std::size_t kColumn = 23;

std::string_view name(Finding::Verdict verdict) {
  switch (verdict) {
    case Finding::Verdict::good:
      return "good";
    case Finding::Verdict::note:
      return "note";
    case Finding::Verdict::unfit:
      return "UNFIT";
  }
  return "";
}

/// `text` in lines that begin at column kColumn, the first where the line stands already.
std::string beside(std::string const& text) {
  std::string out;
  for (char const c : wrap(text, kTextWidth - kColumn, 0)) {
    out += c;
    if (c == '\n') out.append(kColumn, ' ');
  }
  return out + "\n";
}

std::string findings_table(std::vector<Finding> const& findings) {
  std::string out;
  for (Finding const& f : findings) {
    std::string line(name(f.verdict));
    line.resize(7, ' ');
    line += f.what;
    line.resize(kColumn, ' ');
    out += line + beside(f.found);
    if (!f.remedy.empty()) out += std::string(kColumn, ' ') + beside("-> " + f.remedy);
  }
  return out;
}

std::string findings_json(std::vector<Finding> const& findings, bool fit, double ci) {
  auto rows = Json::array();
  for (Finding const& f : findings)
    rows.push_back(
        {{"verdict", name(f.verdict)}, {"what", f.what}, {"found", f.found}, {"remedy", f.remedy}});
  return Json{{"fit", fit}, {"ci", ci}, {"findings", rows}}.dump(2) + "\n";
}

}  // namespace

int doctor_command(Arguments const& arguments) {
  ArgumentParser parser(
      "tally doctor",
      "Looks for some seconds whether this machine is fit to measure on, and says what to do where it is "
      "not. Leaves nothing changed. Exit status: 0 fit, 1 not fit at the wanted interval.");
  auto const& ci_text =
      parser.option("--ci", "X", "the interval wanted, as for 'tally run': 0.03 (default) or 3%");
  auto const& rounds_text = parser.option(
      "--rounds", "N",
      "the rounds that a campaign would have (default " + std::to_string(defaults::kMinRounds) + ")");
  auto const& looks_text =
      parser.option("--looks", "N",
                    "times that the fixed computation runs which shows the noise floor (default " +
                        std::to_string(kLooks) + "): fewer take less time, and show less");
  bool const& json = parser.flag("--json", "as JSON");
  parser.parse(arguments);
  double const ci = ci_text ? parse_half_width("--ci", *ci_text) : defaults::kCi;
  int const rounds = rounds_text ? static_cast<int>(parse_count("--rounds", *rounds_text, kLeastValues, 1000))
                                 : defaults::kMinRounds;
  int const looks =
      looks_text ? static_cast<int>(parse_count("--looks", *looks_text, kLeastValues, kMostLooks)) : kLooks;

  StopSignals const stop;
  auto const findings = diagnose(examine(looks, stop), ci, rounds);
  bool const fit = std::none_of(findings.begin(), findings.end(),
                                [](Finding const& f) { return f.verdict == Finding::Verdict::unfit; });
  write_output(json ? findings_json(findings, fit, ci)
                    : findings_table(findings) + (fit ? "fit" : "NOT FIT") + " to measure on within \u00b1" +
                          format_percent(ci, 1) + "\n");
  return fit ? 0 : kUnfit;
}

}  // namespace tally
