#include "sampling/params.h"

#include <cmath>
#include <string>

namespace xh {
namespace {

// NaN fails every comparison, so it is refused too.
Result<void> in_range(double value, double low, double high, const char* field) {
  if (value >= low && value <= high) return {};
  auto number = [](double v) {
    std::string s = std::to_string(v);
    s.erase(s.find_last_not_of('0') + 1);
    if (s.back() == '.') s.pop_back();
    return s;
  };
  return fail(ErrorCode::kInvalidArgument,
              std::isnan(value) ? "is not a number" : number(value) + " is out of range", field,
              "use a value from " + number(low) + " to " + number(high));
}

}  // namespace

Result<void> SamplingParams::validate(int32_t vocab_size) const {
  XH_TRY_VOID(in_range(temperature, 0, kMaxTemperature, "temperature"));
  XH_TRY_VOID(in_range(top_k, 0, kMaxTopK, "top_k"));
  XH_TRY_VOID(in_range(top_p, 0, 1, "top_p"));
  XH_TRY_VOID(in_range(min_p, 0, 1, "min_p"));
  XH_TRY_VOID(in_range(repetition_penalty, kMinRepetitionPenalty, kMaxRepetitionPenalty,
                       "repetition_penalty"));
  XH_TRY_VOID(in_range(frequency_penalty, -2, 2, "frequency_penalty"));
  XH_TRY_VOID(in_range(presence_penalty, -2, 2, "presence_penalty"));
  if (logit_bias.size() > kMaxLogitBias)
    return fail(ErrorCode::kTooLarge, "has " + std::to_string(logit_bias.size()) + " entries",
                "logit_bias", "use at most " + std::to_string(kMaxLogitBias));
  for (const auto& [id, bias] : logit_bias) {
    if (id < 0 || id >= vocab_size)
      return fail(ErrorCode::kInvalidArgument,
                  "token " + std::to_string(id) + " is not in the vocabulary", "logit_bias",
                  "use ids from 0 to " + std::to_string(vocab_size - 1));
    XH_TRY_VOID(in_range(bias, -100, 100, "logit_bias"));
  }
  return {};
}

}  // namespace xh
