#include "cli/console.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace xh::cli {

bool stdout_is_terminal() {
  return isatty(STDOUT_FILENO) != 0;
}

bool stderr_is_terminal() {
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) != 0 && (term == nullptr || std::string_view(term) != "dumb");
}

std::string human_bytes(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  static constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  while (value >= 999.95 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string human_count(uint64_t count) {
  const auto value = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.2f} B", value / 1e9);
  if (count >= 1'000'000) return fmt::format("{:.1f} M", value / 1e6);
  if (count >= 10'000) return fmt::format("{:.1f} K", value / 1e3);
  return std::to_string(count);
}

std::string human_seconds(double seconds) {
  const auto whole = static_cast<uint64_t>(std::clamp(seconds, 0.0, 8.64e7));
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
}

int terminal_columns(int fallback) {
  winsize size{};
  for (int fd : {STDERR_FILENO, STDOUT_FILENO}) {
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  }
  return fallback;
}

int display_width(std::string_view text) {
  int width = 0;
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  const auto length = static_cast<int32_t>(std::min<size_t>(text.size(), 1 << 20));
  for (int32_t i = 0; i < length;) {
    UChar32 c;
    U8_NEXT(bytes, i, length, c);
    if (c < 0) c = 0xFFFD;
    const int type = u_charType(c);
    if (type == U_NON_SPACING_MARK || type == U_ENCLOSING_MARK || type == U_FORMAT_CHAR) continue;
    const int east = u_getIntPropertyValue(c, UCHAR_EAST_ASIAN_WIDTH);
    width += east == U_EA_WIDE || east == U_EA_FULLWIDTH ? 2 : 1;
  }
  return width;
}

std::string format_table(const std::vector<std::vector<std::string>>& rows,
                         const std::vector<size_t>& right) {
  std::vector<int> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string pad(static_cast<size_t>(widths[i] - display_width(row[i])), ' ');
      const bool to_right = std::find(right.begin(), right.end(), i) != right.end();
      line += to_right ? pad + row[i] : row[i] + pad;
      if (i + 1 < row.size()) line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string progress_line(std::string_view label, uint64_t done, uint64_t total,
                          double bytes_per_second, int columns) {
  std::string figures = human_bytes(done);
  if (total > 0) figures += " of " + human_bytes(total);
  if (bytes_per_second > 0)
    figures += fmt::format("  {}/s", human_bytes(static_cast<uint64_t>(bytes_per_second)));
  if (total > done && bytes_per_second > 0)
    figures += "  " + human_seconds(static_cast<double>(total - done) / bytes_per_second) + " left";

  std::string line = fmt::format("{}  ", label);
  const int room = columns - 1 - display_width(line) - display_width(figures);
  if (total > 0 && room >= 14) {
    const int cells = std::min(room - 9, 30);
    const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
    const int full = static_cast<int>(part * cells);
    line += fmt::format("[{}{}] {:3.0f}%  ", std::string(static_cast<size_t>(full), '#'),
                        std::string(static_cast<size_t>(cells - full), '.'), part * 100);
  }
  line += figures;
  return display_width(line) < columns
             ? line
             : figures.substr(0, static_cast<size_t>(std::max(0, columns - 1)));
}

ProgressBar::ProgressBar() : enabled_(stderr_is_terminal()), started_(Clock::now()) {}

void ProgressBar::update(std::string_view label, uint64_t done, uint64_t total) {
  if (!enabled_) return;
  const auto now = Clock::now();
  if (label != label_) {
    label_ = label;
    first_done_ = done;
    label_started_ = now;
  }
  using namespace std::chrono_literals;
  if (now - started_ < 1s || (drawn_ && now - last_draw_ < 100ms && done != total)) return;
  const double seconds = std::chrono::duration<double>(now - label_started_).count();
  const double speed =
      seconds > 0.2 && done > first_done_ ? static_cast<double>(done - first_done_) / seconds : 0;
  fmt::print(stderr, "\r\x1b[K{}", progress_line(label, done, total, speed, terminal_columns()));
  std::fflush(stderr);
  drawn_ = true;
  last_draw_ = now;
}

void ProgressBar::clear() {
  if (!drawn_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  drawn_ = false;
}

Waiting::Waiting(std::string label) {
  if (!stderr_is_terminal()) return;
  thread_ = std::jthread([label = std::move(label)](std::stop_token stop) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    for (int seconds = 1;; ++seconds) {
      wake.wait_for(lock, stop, std::chrono::seconds(1), [] { return false; });
      if (!stop.stop_requested()) {
        fmt::print(stderr, "\r\x1b[K{}  {}s", label, seconds);
      } else {
        if (seconds > 1) fmt::print(stderr, "\r\x1b[K");
        return;
      }
    }
  });
}

Waiting::~Waiting() = default;  // jthread asks it to stop, and waits

Result<std::string> read_stdin(size_t max_bytes) {
  std::string out;
  char buffer[65536];
  for (;;) {
    const ssize_t got = read(STDIN_FILENO, buffer, sizeof buffer);
    if (got == 0) return out;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(ErrorCode::kIo, "cannot be read", "standard input");
    out.append(buffer, static_cast<size_t>(got));
    if (out.size() > max_bytes)
      return fail(ErrorCode::kTooLarge, fmt::format("has more than {} bytes", max_bytes),
                  "standard input");
  }
}

}  // namespace xh::cli
