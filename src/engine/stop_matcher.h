// Finds stop strings in text that arrives in pieces, and holds back what may become one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace xh {

// One per stream. Each stop string is followed by a Knuth–Morris–Pratt automaton, so every byte
// costs one step per string and no text is ever scanned twice.
class StopMatcher {
 public:
  // Empty strings are ignored.
  explicit StopMatcher(const std::vector<std::string>& stops);

  // Adds text. What is certain to stand before any stop string moves to `out`. True once a stop
  // string is complete: then `out` has all text before it, and nothing more will come.
  bool push(std::string_view text, std::string& out);
  // The stream ended without a stop string: what was held back.
  std::string finish();

  const std::string& matched() const { return matched_; }
  size_t released() const { return released_; }  // bytes given out so far

 private:
  struct Pattern {
    std::string text;
    std::vector<size_t> fallback;  // (length + 1) longest border of each beginning
    size_t state = 0;              // how many bytes match so far
  };
  std::vector<Pattern> patterns_;
  std::string held_;
  std::string matched_;
  size_t released_ = 0;
};

}  // namespace xh
