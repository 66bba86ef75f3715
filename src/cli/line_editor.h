// Reads lines from a person (editing, history) or from a pipe.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace xh::cli {

enum class LineEnd { kLine, kEndOfInput, kInterrupted };

struct Line {
  LineEnd end = LineEnd::kLine;
  std::string text;  // without the line break
};

// One per program. Arrow keys, Ctrl-R, Ctrl-A and so on as in a shell, through libedit.
class LineEditor {
 public:
  // `history_file` keeps the lines across runs (readable by the user alone); empty: none.
  static std::unique_ptr<LineEditor> create(const std::string& history_file);
  virtual ~LineEditor() = default;
  // Ctrl-C gives kInterrupted, Ctrl-D on an empty line kEndOfInput. Lines past 1 MiB end the input.
  virtual Line read(const std::string& prompt) = 0;
  virtual bool interactive() const = 0;
};

}  // namespace xh::cli
