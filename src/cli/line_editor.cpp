#include "cli/line_editor.h"

#include <histedit.h>
#include <langinfo.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstring>
#include <cwchar>
#include <fstream>

#include "cli/interrupt.h"

namespace xh::cli {
namespace {

constexpr size_t kMaxLineBytes = 1 << 20;
constexpr int kHistoryLines = 1000;

void drop_line_break(std::string& text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
}

class PipeReader : public LineEditor {
 public:
  Line read(const std::string&) override {
    std::string text;
    for (int c; (c = std::getchar()) != EOF;) {
      if (text.size() >= kMaxLineBytes) return {LineEnd::kEndOfInput, {}};
      text += static_cast<char>(c);
      if (c == '\n') break;
    }
    if (Interrupt::asked()) return {LineEnd::kInterrupted, {}};
    if (text.empty()) return {LineEnd::kEndOfInput, {}};
    drop_line_break(text);
    return {LineEnd::kLine, std::move(text)};
  }
  bool interactive() const override { return false; }
};

class Editor : public LineEditor {
 public:
  explicit Editor(const std::string& history_file) : history_file_(history_file) {
    // Without a UTF-8 locale libedit would count bytes as characters.
    if (std::setlocale(LC_CTYPE, "") == nullptr || std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
      std::setlocale(LC_CTYPE, "C.UTF-8");
    edit_ = el_init("xiaohu", stdin, stdout, stderr);
    history_ = history_init();
    HistEvent event;
    history(history_, &event, H_SETSIZE, kHistoryLines);
    history(history_, &event, H_SETUNIQUE, 1);
    el_set(edit_, EL_CLIENTDATA, this);
    el_set(edit_, EL_PROMPT_ESC, &Editor::prompt, '\1');
    el_set(edit_, EL_GETCFN, &Editor::read_character);
    el_set(edit_, EL_EDITOR, "emacs");
    el_set(edit_, EL_HIST, history, history_);
    el_set(edit_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    el_source(edit_, nullptr);  // the user's ~/.editrc
    if (!history_file_.empty()) history(history_, &event, H_LOAD, history_file_.c_str());
  }

  ~Editor() override {
    if (!history_file_.empty()) {
      const mode_t before = umask(0077);  // what people ask is nobody else's business
      HistEvent event;
      history(history_, &event, H_SAVE, history_file_.c_str());
      umask(before);
    }
    history_end(history_);
    el_end(edit_);
  }

  Line read(const std::string& text) override {
    prompt_ = text;
    int count = 0;
    errno = 0;
    // el_gets would do so after the prompt: a Ctrl-D typed in between would be lost.
    el_set(edit_, EL_PREP_TERM, 1);
    const char* line = el_gets(edit_, &count);
    if (Interrupt::asked()) {
      el_reset(edit_);
      return {LineEnd::kInterrupted, {}};
    }
    if (line == nullptr || count <= 0 || static_cast<size_t>(count) > kMaxLineBytes)
      return {LineEnd::kEndOfInput, {}};
    Line out{LineEnd::kLine, std::string(line, static_cast<size_t>(count))};
    HistEvent event;
    if (out.text.find_first_not_of(" \t\r\n") != std::string::npos)
      history(history_, &event, H_ENTER, line);
    drop_line_break(out.text);
    return out;
  }

  bool interactive() const override { return true; }

 private:
  // libedit's own reader goes on after a signal; ours gives up the line when it was Ctrl-C.
  static int read_character(EditLine*, wchar_t* out) {
    mbstate_t state{};
    for (;;) {
      char byte;
      if (!wait_for_input()) return -1;
      const ssize_t got = ::read(STDIN_FILENO, &byte, 1);
      if (got == 0) return 0;
      if (got < 0) {
        if (errno == EINTR) continue;
        return -1;
      }
      const size_t used = std::mbrtowc(out, &byte, 1, &state);
      if (used == static_cast<size_t>(-1)) {  // no UTF-8: skipped
        state = {};
      } else if (used != static_cast<size_t>(-2)) {  // not: needs more bytes
        return 1;
      }
    }
  }

  // False when Ctrl-C came. Polls the interrupt's descriptor: the signal may be delivered to
  // another thread, or between a look at the flag and the read, and neither would end a plain read.
  static bool wait_for_input() {
    pollfd sources[] = {{STDIN_FILENO, POLLIN, 0}, {Interrupt::descriptor(), POLLIN, 0}};
    while (!Interrupt::asked() && ::poll(sources, 2, -1) < 0 && errno == EINTR) {
    }
    return !Interrupt::asked();
  }

  static char* prompt(EditLine* edit) {
    Editor* self = nullptr;
    el_get(edit, EL_CLIENTDATA, &self);
    return self->prompt_.data();
  }

  std::string history_file_, prompt_;
  EditLine* edit_ = nullptr;
  History* history_ = nullptr;
};

}  // namespace

std::unique_ptr<LineEditor> LineEditor::create(const std::string& history_file) {
  if (isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0)
    return std::make_unique<Editor>(history_file);
  return std::make_unique<PipeReader>();
}

}  // namespace xh::cli
