#include "engine/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace xh {

StopMatcher::StopMatcher(const std::vector<std::string>& stops) {
  for (const std::string& stop : stops) {
    if (stop.empty()) continue;
    Pattern p{stop, std::vector<size_t>(stop.size() + 1, 0)};
    for (size_t i = 1, border = 0; i < stop.size(); ++i) {
      while (border > 0 && stop[i] != stop[border]) border = p.fallback[border];
      if (stop[i] == stop[border]) ++border;
      p.fallback[i + 1] = border;
    }
    patterns_.push_back(std::move(p));
  }
}

bool StopMatcher::push(std::string_view text, std::string& out) {
  if (!matched_.empty()) return true;
  for (size_t at = 0; at < text.size(); ++at) {
    held_ += text[at];
    size_t longest_match = 0;
    for (Pattern& p : patterns_) {
      while (p.state > 0 && (p.state == p.text.size() || text[at] != p.text[p.state]))
        p.state = p.fallback[p.state];
      if (text[at] == p.text[p.state]) ++p.state;
      if (p.state == p.text.size() && p.state > longest_match) {
        longest_match = p.state;
        matched_ = p.text;
      }
    }
    if (longest_match > 0) {
      held_.resize(held_.size() - longest_match);
      out += held_;
      released_ += held_.size();
      held_.clear();
      return true;
    }
  }
  size_t keep = 0;
  for (const Pattern& p : patterns_) keep = std::max(keep, p.state);
  const size_t give = held_.size() - keep;
  out.append(held_, 0, give);
  held_.erase(0, give);
  released_ += give;
  return false;
}

std::string StopMatcher::finish() {
  released_ += held_.size();
  return std::exchange(held_, {});
}

}  // namespace xh
