// Splits an answer into what the model thought and what it says, while it streams.
// The thought stands in <think>…</think> (or <seed:think>…) at the answer's beginning; with some
// templates the prompt already holds the opening tag.
#pragma once

#include <string>
#include <string_view>

namespace xh {

// One per stream. White space around the thought belongs to neither part.
class ReasoningSplitter {
 public:
  struct Piece {
    std::string reasoning, content;
  };
  // `inside`: the prompt ended with an opening tag.
  explicit ReasoningSplitter(bool inside = false);

  // What is certain now; a possible beginning of a tag is held back.
  Piece push(std::string_view text);
  Piece finish();

 private:
  enum class State { kStart, kInside, kGap, kContent };
  void step(Piece& out, bool last);
  bool step_start(bool last);
  bool step_inside(Piece& out, bool last);

  State state_;
  std::string held_;
  bool begun_ = false;  // the thought has had something else than white space
};

// Whether a prompt ends with an opening tag (white space after it allowed).
bool ends_inside_reasoning(std::string_view prompt);

// Length of the longest end of `text` that is a proper beginning of `tag`.
size_t partial_tag(std::string_view text, std::string_view tag);

}  // namespace xh
