#include "serve/api/sampling_fields.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace xh::serve {
namespace json = boost::json;

namespace {

constexpr size_t kMaxStops = 16;

void read_stops(Fields& fields, std::vector<std::string>& stops) {
  const json::value* value = fields.value("stop");
  if (!value) return;
  const auto add = [&](const json::value& item, std::string name) {
    const auto* text = item.if_string();
    if (!text) {
      fields.fail(name, fmt::format("must be a string, but is {}.", kind_name(item)),
                  "invalid_type");
    } else if (text->empty() || text->size() > kMaxStopBytes) {
      fields.fail(name, fmt::format("must have 1 to {} bytes.", kMaxStopBytes));
    } else {
      stops.emplace_back(text->data(), text->size());
    }
  };
  if (value->is_string() && value->get_string().empty()) return;  // no stop, as some clients say it
  if (!value->is_array()) return add(*value, "stop");
  const json::array& items = value->get_array();
  if (items.size() > kMaxStops) {
    fields.fail("stop", fmt::format("must not have more than {} strings.", kMaxStops));
    return;
  }
  for (size_t i = 0; i < items.size(); ++i) add(items[i], fmt::format("stop[{}]", i));
}

void read_bias(Fields& fields, const ClientInfo& info, SamplingParams& sampling) {
  const json::object* biases = fields.object("logit_bias");
  if (!biases) return;
  if (biases->size() > kMaxLogitBias) {
    fields.fail("logit_bias", fmt::format("must not have more than {} entries.", kMaxLogitBias));
    return;
  }
  for (const auto& entry : *biases) {
    const std::string_view key(entry.key().data(), entry.key().size());
    const std::string name = fmt::format("logit_bias.{}", key.substr(0, 40));
    int32_t id = -1;
    const auto [end, ec] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (ec != std::errc() || end != key.data() + key.size() || id < 0 || id >= info.vocab_size) {
      fields.fail(
          name, fmt::format("must be named by a token id between 0 and {}.", info.vocab_size - 1));
      return;
    }
    const double bias = entry.value().is_number() ? entry.value().to_number<double>() : 1e9;
    if (!(bias >= -100 && bias <= 100)) {
      fields.fail(name, "must be a number between -100 and 100.");
      return;
    }
    sampling.logit_bias.emplace_back(id, static_cast<float>(bias));
  }
}

void read_stream(Fields& fields, StreamChoice& stream) {
  stream.stream = fields.boolean("stream", false);
  const json::object* options = fields.object("stream_options");
  if (!options) return;
  if (!stream.stream) {
    fields.fail("stream_options", "can only be given together with stream: true.");
    return;
  }
  Fields inner(*options, "stream_options");
  stream.include_usage = inner.boolean("include_usage", false);
  inner.ignore({"include_obfuscation", "continuous_usage_stats"});
  if (auto done = inner.finish(); !done) {
    fields.fail("stream_options", "is not acceptable: " + done.error().message);
  }
}

}  // namespace

SharedFields read_shared_fields(Fields& fields, const ClientInfo& info,
                                const SamplingParams& defaults) {
  SharedFields out;
  SamplingParams& sampling = out.request.sampling;
  const auto number = [&fields](const char* name, double low, double high, float fallback) {
    return static_cast<float>(fields.number(name, low, high, static_cast<double>(fallback)));
  };
  sampling.temperature = number("temperature", 0, 2, defaults.temperature);
  // 0 means "only the best token", which the smallest share also gives.
  sampling.top_p = std::max(1e-6f, number("top_p", 0, 1, defaults.top_p));
  sampling.min_p = number("min_p", 0, 1, defaults.min_p);
  // -1 is how some clients say "off".
  const int64_t top_k =
      fields.integer("top_k", -1, std::numeric_limits<int32_t>::max(), defaults.top_k);
  sampling.top_k =
      top_k < 0 || top_k >= info.vocab_size || top_k > kMaxTopK ? 0 : static_cast<int32_t>(top_k);
  sampling.repetition_penalty = number("repetition_penalty", 0.01, 10, defaults.repetition_penalty);
  sampling.frequency_penalty = number("frequency_penalty", -2, 2, defaults.frequency_penalty);
  sampling.presence_penalty = number("presence_penalty", -2, 2, defaults.presence_penalty);
  if (const auto seed = fields.maybe_integer("seed", std::numeric_limits<int64_t>::min(),
                                             std::numeric_limits<int64_t>::max())) {
    sampling.seed = static_cast<uint64_t>(*seed);
  }
  read_bias(fields, info, sampling);
  read_stops(fields, out.request.stop);
  out.request.ignore_end = fields.boolean("ignore_eos", false);
  out.request.show_special = !fields.boolean("skip_special_tokens", true);
  // A client may step back behind the others, not before them.
  out.request.priority = static_cast<int32_t>(fields.integer("priority", -100, 0, 0));
  out.n = static_cast<int32_t>(fields.integer("n", 1, kMaxChoices, 1));
  read_stream(fields, out.stream);
  fields.text("user", 512);
  return out;
}

}  // namespace xh::serve
