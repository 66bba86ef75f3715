#include "text/pre_tokenizer.h"

#include "text/unicode_class.h"

namespace xh {

void pre_tokenize(std::span<const Stage> stages, std::string_view text, const WordSink& sink) {
  if (text.empty()) return;
  if (stages.empty()) {
    sink(text);
    return;
  }
  const Stage& stage = stages.front();
  const auto rest = stages.subspan(1);
  size_t gap = 0;  // start of the text not yet handed on
  size_t pos = 0;
  while (pos < text.size()) {
    size_t skip = pos + 1;
    const size_t end = match_stage(stage, text, pos, skip);
    if (end == 0) {
      pos = skip;
      continue;
    }
    if (pos > gap) pre_tokenize(rest, text.substr(gap, pos - gap), sink);
    pre_tokenize(rest, text.substr(pos, end - pos), sink);
    gap = pos = end;
  }
  if (gap < text.size()) pre_tokenize(rest, text.substr(gap), sink);
}

}  // namespace xh
