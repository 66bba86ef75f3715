// What commands share when they write to a terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.h"

namespace xh::cli {

bool stdout_is_terminal();
bool stderr_is_terminal();

// 98362432 → "98.4 MB". Decimal units, as disks and hubs count.
std::string human_bytes(uint64_t bytes);
// 134515008 → "134.5 M"; for parameter counts.
std::string human_count(uint64_t count);
// 83.2 → "1m23s".
std::string human_seconds(double seconds);

// Columns of text the terminal has; `fallback` when it is none.
int terminal_columns(int fallback = 80);
// Columns a UTF-8 text takes; wide characters count two.
int display_width(std::string_view text);

// Lines of a table, columns padded to their widest cell. The first row is the heading.
// `right` names the columns that are aligned to the right.
std::string format_table(const std::vector<std::vector<std::string>>& rows,
                         const std::vector<size_t>& right = {});

// One line on stderr that redraws itself. Silent for the first second, and always when stderr is
// no terminal. Use from one thread.
class ProgressBar {
 public:
  ProgressBar();
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // total 0: unknown. A new label starts the measurement of speed anew.
  void update(std::string_view label, uint64_t done, uint64_t total);
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  bool enabled_;
  bool drawn_ = false;
  std::string label_;
  uint64_t first_done_ = 0;
  Clock::time_point started_, label_started_, last_draw_;
};

// For work that cannot say how far it is: a line on stderr with the seconds that have passed, after
// the first of them; gone when this is. Silent when stderr is no terminal.
class Waiting {
 public:
  explicit Waiting(std::string label);
  ~Waiting();
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  std::jthread thread_;
};

// Everything from standard input; kTooLarge past `max_bytes`.
Result<std::string> read_stdin(size_t max_bytes);

// The text of one progress line, without escape codes; `columns` wide at most.
std::string progress_line(std::string_view label, uint64_t done, uint64_t total,
                          double bytes_per_second, int columns);

}  // namespace xh::cli
