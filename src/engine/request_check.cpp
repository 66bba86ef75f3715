#include "engine/request_check.h"

namespace xh {
namespace {

std::unexpected<Error> invalid(std::string message, std::string field, std::string remedy) {
  return fail(ErrorCode::kInvalidArgument, std::move(message), std::move(field), std::move(remedy));
}

Result<void> check_lengths(GenerateRequest& r, int32_t vocab_size, int32_t context) {
  if (r.prompt.empty()) return invalid("the prompt has no tokens", "prompt", "send some text");
  const size_t n = r.prompt.size();
  if (n >= static_cast<size_t>(context))
    return invalid("the prompt has " + std::to_string(n) +
                       " tokens; the context of this model is " + std::to_string(context) +
                       ", answer included",
                   "prompt", "shorten the prompt");
  for (TokenId id : r.prompt)
    if (id < 0 || id >= vocab_size)
      return invalid("token " + std::to_string(id) + " is not in the vocabulary", "prompt",
                     "use ids from 0 to " + std::to_string(vocab_size - 1));
  const int32_t room = context - static_cast<int32_t>(n);
  if (r.max_tokens < 0)
    return invalid(std::to_string(r.max_tokens) + " is negative", "max_tokens",
                   "use a positive number, or leave it out");
  if (r.max_tokens > room)
    return invalid("the prompt's " + std::to_string(n) + " tokens and max_tokens " +
                       std::to_string(r.max_tokens) + " exceed the context of " +
                       std::to_string(context),
                   "max_tokens", "ask for at most " + std::to_string(room));
  if (r.max_tokens == 0) r.max_tokens = room;
  return {};
}

}  // namespace

Result<void> check_request(GenerateRequest& r, int32_t vocab_size, int32_t context_length) {
  XH_TRY_VOID(r.sampling.validate(vocab_size));
  XH_TRY_VOID(check_lengths(r, vocab_size, context_length));
  if (r.stop.size() > kMaxStopStrings)
    return invalid(std::to_string(r.stop.size()) + " strings", "stop",
                   "use at most " + std::to_string(kMaxStopStrings));
  for (const std::string& s : r.stop) {
    if (s.empty()) return invalid("an empty stop string", "stop", "leave it out");
    if (s.size() > kMaxStopBytes)
      return invalid("a string of " + std::to_string(s.size()) + " bytes", "stop",
                     "use at most " + std::to_string(kMaxStopBytes) + " bytes each");
    // Else an answer could be cut inside a character.
    if ((static_cast<unsigned char>(s.front()) & 0xC0) == 0x80)
      return invalid("a string that begins inside a character", "stop", "send valid UTF-8");
  }
  for (auto [value, field] :
       {std::pair(r.logprobs, "logprobs"), {r.prompt_logprobs, "prompt_logprobs"}})
    if (value < -1 || value > kMaxTopLogprobs)
      return invalid(std::to_string(value) + " is out of range", field,
                     "use 0 to " + std::to_string(kMaxTopLogprobs));
  if (r.priority < -kMaxPriority || r.priority > kMaxPriority)
    return invalid(std::to_string(r.priority) + " is out of range", "priority", "use -100 to 100");
  if (r.tenant.size() > kMaxTenantBytes)
    return invalid("the name is too long", "tenant", "use at most 256 bytes");
  if (r.tenant.find('\0') != std::string::npos)
    return invalid("a name with a zero byte", "tenant", "use printable characters");
  return {};
}

}  // namespace xh
