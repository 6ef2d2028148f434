#include "bench/campaign/slo_search.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "bench/base/usage_error.hpp"

namespace tally {
namespace {

constexpr double kLeast_per_s = 100, kMost_per_s = 1e8;
/// By how much the rate is lowered when it does not hold for longer: ever more, up to a half.
constexpr double kFirstStepDown = 1.05, kGreatestStepDown = 2, kStepsGrowBy = 1.1;

double round_to_three_digits(double rate) {
  double const unit = std::pow(10, std::floor(std::log10(rate)) - 2);
  return std::round(rate / unit) * unit;
}

class Search {
 public:
  explicit Search(SloMeasure const& measure) : measure_(measure) {}

  SloAnswer run(double first_per_s) {
    double kept = 0, missed = 0;
    double rate = std::clamp(round_to_three_digits(std::max(first_per_s, 1.0)), kLeast_per_s, kMost_per_s);
    // Out to a rate on each side; 0 as long as there is none.
    while (kept == 0 || missed == 0) {
      if (keeps(rate)) {
        kept = rate;
        if (rate >= kMost_per_s) return verify(rate);
        rate = std::min(round_to_three_digits(rate * 2), kMost_per_s);
      } else {
        missed = rate;
        if (rate <= kLeast_per_s) return answer_;
        rate = std::max(round_to_three_digits(rate / 2), kLeast_per_s);
      }
    }
    while (missed / kept > kSearchResolution) {
      rate = round_to_three_digits(std::sqrt(kept * missed));
      if (rate <= kept || rate >= missed) break;  // as near as three digits are
      (keeps(rate) ? kept : missed) = rate;
    }
    return verify(kept);
  }

 private:
  bool keeps(double rate, bool longer = false) {
    for (int tries = 0; tries < 2; ++tries) {
      answer_.probes.push_back(measure_(rate, longer));
      if (answer_.probes.back().kept) return true;
    }
    // The last rate that is too high is the next above the answer.
    answer_.generator_limited = answer_.probes.back().generator_late;
    return false;
  }

  SloAnswer verify(double rate) {
    for (double step = kFirstStepDown; !keeps(rate, true);
         step = std::min(step * kStepsGrowBy, kGreatestStepDown)) {
      if (rate <= kLeast_per_s) return std::move(answer_);
      rate = std::max(round_to_three_digits(rate / step), kLeast_per_s);
    }
    answer_.rate_per_s = rate;
    return std::move(answer_);
  }

  SloMeasure const& measure_;
  SloAnswer answer_;
};

}  // namespace

SloAnswer find_highest_rate(SloMeasure const& measure, double first_per_s) {
  return Search(measure).run(first_per_s);
}

}  // namespace tally
