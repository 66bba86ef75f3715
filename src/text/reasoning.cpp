#include "text/reasoning.h"

#include <algorithm>
#include <array>

namespace xh {
namespace {

struct Tag {
  std::string_view open, close;
};
constexpr std::array<Tag, 2> kTags = {{{"<think>", "</think>"}, {"<seed:think>", "</seed:think>"}}};
constexpr std::string_view kSpace = " \t\r\n";

std::string_view trim_start(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  return text;
}

std::string_view trim_end(std::string_view text) {
  return text.substr(0, text.find_last_not_of(kSpace) + 1);  // npos + 1 is 0
}

}  // namespace

size_t partial_tag(std::string_view text, std::string_view tag) {
  for (size_t n = std::min(text.size(), tag.size() - 1); n > 0; --n) {
    if (text.ends_with(tag.substr(0, n))) return n;
  }
  return 0;
}

bool ends_inside_reasoning(std::string_view prompt) {
  const std::string_view text = trim_end(prompt);
  return std::any_of(kTags.begin(), kTags.end(),
                     [&](const Tag& tag) { return text.ends_with(tag.open); });
}

ReasoningSplitter::ReasoningSplitter(bool inside)
    : state_(inside ? State::kInside : State::kStart) {}

// True when the state changed.
bool ReasoningSplitter::step_start(bool last) {
  const std::string_view text = trim_start(held_);
  for (const Tag& tag : kTags) {
    if (text.starts_with(tag.open)) {
      held_ = text.substr(tag.open.size());
      state_ = State::kInside;
      return true;
    }
    if (!last && tag.open.starts_with(text)) return false;  // may still become a tag
  }
  state_ = State::kContent;
  return true;
}

bool ReasoningSplitter::step_inside(Piece& out, bool last) {
  std::string_view text = held_;
  if (!begun_) text = trim_start(text);
  size_t end = std::string_view::npos, keep = 0;
  std::string_view closing;
  for (const Tag& tag : kTags) {
    const size_t at = text.find(tag.close);
    if (at < end) {
      end = at;
      closing = tag.close;
    }
    keep = std::max(keep, partial_tag(text, tag.close));
  }
  if (end != std::string_view::npos) {
    out.reasoning += trim_end(text.substr(0, end));
    held_ = std::string(text.substr(end + closing.size()));
    state_ = State::kGap;
    return true;
  }
  // White space before a closing tag is not part of the thought: it waits with a partial tag.
  std::string_view certain = last ? text : text.substr(0, text.size() - keep);
  certain = trim_end(certain);
  if (!certain.empty()) begun_ = true;
  out.reasoning += certain;
  held_ = std::string(text.substr(certain.size()));
  return false;
}

void ReasoningSplitter::step(Piece& out, bool last) {
  if (state_ == State::kStart && !step_start(last)) return;
  if (state_ == State::kInside && !step_inside(out, last)) return;
  if (state_ == State::kGap) {
    held_ = std::string(trim_start(held_));
    if (held_.empty()) return;
    state_ = State::kContent;
  }
  if (state_ == State::kContent) {
    out.content += held_;
    held_.clear();
  }
}

ReasoningSplitter::Piece ReasoningSplitter::push(std::string_view text) {
  Piece out;
  held_ += text;
  step(out, false);
  return out;
}

ReasoningSplitter::Piece ReasoningSplitter::finish() {
  Piece out;
  step(out, true);
  return out;
}

}  // namespace xh
