#include <fmt/core.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/conversation.h"
#include "cli/engine_option.h"
#include "cli/interrupt.h"
#include "cli/line_editor.h"
#include "cli/program.h"
#include "cli/sampling_option.h"
#include "hub/settings.h"

namespace xh::cli {
namespace {

constexpr const char* kHelp =
    "  /help            this\n"
    "  /system TEXT     give an instruction that stands before everything, and begin anew\n"
    "  /clear           forget what was said\n"
    "  /save FILE       write the conversation as Markdown\n"
    "  /exit            end (also Ctrl-D)\n"
    "A line that ends in \\ goes on in the next one. Ctrl-C stops an answer.\n";

struct Options {
  EngineChoice engine;
  SamplingChoice sampling;
  std::string system;
  bool no_history = false, statistics = false;
};

// Beside the models, so that one variable moves both.
std::string history_file(const Options& options) {
  const auto home = hub::data_folder(hub::process_environment());
  std::error_code code;
  if (options.no_history || home.empty()) return {};
  std::filesystem::create_directories(home, code);
  return code ? std::string() : (home / "chat_history").string();
}

// Control characters that a model writes must not steer the terminal.
std::string tame(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 || c == '\n' || c == '\t') {
      if (byte != 0x7f) out += c;
    }
  }
  return out;
}

class Session {
 public:
  Session(const Options& options, Conversation conversation, LineEditor& editor)
      : options_(options),
        conversation_(std::move(conversation)),
        editor_(editor),
        colour_(stdout_is_terminal()) {}

  Result<void> run() {
    for (;;) {
      Line line = read_turn();
      if (line.end == LineEnd::kEndOfInput) {
        if (editor_.interactive()) fmt::print("\n");
        return {};
      }
      if (line.end == LineEnd::kInterrupted) {
        Interrupt::forget();
        fmt::print("\n");
        if (!editor_.interactive()) return {};
        continue;
      }
      if (line.text.find_first_not_of(" \t") == std::string::npos) continue;
      if (line.text.front() == '/') {
        if (!command(line.text)) return {};
        continue;
      }
      answer(line.text);
    }
  }

 private:
  // One turn of the user, over several lines when they end in a backslash.
  Line read_turn() {
    const std::string prompt = colour_ ? "\1\x1b[1;32m\1>\1\x1b[0m\1 " : "> ";
    Line line = editor_.read(prompt);
    while (line.end == LineEnd::kLine && line.text.ends_with('\\')) {
      line.text.back() = '\n';
      Line more = editor_.read("… ");
      if (more.end != LineEnd::kLine) return more;
      line.text += more.text;
    }
    return line;
  }

  // False: end.
  bool command(const std::string& text) {
    const size_t space = text.find(' ');
    const std::string name = text.substr(0, space),
                      rest = space == std::string::npos ? "" : text.substr(space + 1);
    if (name == "/exit" || name == "/quit") return false;
    if (name == "/help") {
      fmt::print("{}", kHelp);
    } else if (name == "/clear") {
      conversation_.clear();
      fmt::print("Forgotten.\n");
    } else if (name == "/system") {
      conversation_.set_system(rest);
      fmt::print("{}\n", rest.empty() ? "No instruction; a new conversation."
                                      : "A new conversation with this instruction.");
    } else if (name == "/save") {
      save(rest);
    } else {
      fmt::print(
          "There is no {}. /help lists what there is; begin with a space to send it as text.\n",
          tame(name));
    }
    return true;
  }

  void save(const std::string& path) const {
    FILE* file = path.empty() ? nullptr : std::fopen(path.c_str(), "wx");
    const std::string text = conversation_.markdown();
    const bool written =
        file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
    const bool closed = file != nullptr && std::fclose(file) == 0;
    if (written && closed) {
      fmt::print("Saved to {}.\n", path);
    } else {
      fmt::print("Not saved: {}. Write /save FILE, with a name that is free.\n",
                 path.empty() ? "no file named" : std::strerror(errno));
    }
  }

  void answer(const std::string& question) {
    bool dim = false, any = false;
    const auto listener = [&](std::string_view text, bool reasoning) {
      if (colour_ && reasoning != dim)
        fmt::print("{}", reasoning ? "\x1b[2m" : any ? "\x1b[0m\n\n" : "\x1b[0m");
      dim = reasoning;
      any = true;
      if (colour_ || !reasoning) fmt::print("{}", tame(text));  // a pipe wants the answer alone
      std::fflush(stdout);
    };
    Interrupt::forget();
    const auto got = conversation_.ask(question, options_.sampling.request(), listener,
                                       [] { return Interrupt::asked(); });
    if (colour_ && dim) fmt::print("\x1b[0m");
    Interrupt::forget();
    if (!got) {
      print_error(got.error());
      return;
    }
    fmt::print("{}\n", got->finish == FinishReason::kCancelled ? " [stopped]" : "");
    if (got->finish == FinishReason::kLength)
      fmt::print(stderr,
                 "[the answer reached its length: --max-tokens, or the end of the context]\n");
    if (got->dropped_turns > 0)
      fmt::print(stderr, "[the context is full: the oldest {} turns are forgotten]\n",
                 got->dropped_turns);
    if (options_.statistics && got->usage.decode_ms > 0)
      fmt::print(stderr, "[{} tokens read in {:.0f} ms, {} written at {:.1f} tokens/s]\n",
                 got->usage.prompt_tokens - got->usage.cached_tokens, got->usage.prefill_ms,
                 got->usage.completion_tokens,
                 1000.0 * got->usage.completion_tokens / got->usage.decode_ms);
    if (editor_.interactive()) fmt::print("\n");
  }

  const Options& options_;
  Conversation conversation_;
  LineEditor& editor_;
  bool colour_;
};

Result<void> run_chat(const Options& options) {
  XH_TRY(auto engine, start_engine(options.engine));
  XH_TRY(auto conversation, Conversation::start(*engine, options.system));
  const auto editor = LineEditor::create(history_file(options));
  const Interrupt interrupt;
  if (editor->interactive())
    fmt::print("{}: ask away. /help, Ctrl-D ends.\n\n", engine->info().model_name);
  return Session(options, std::move(conversation), *editor).run();
}

}  // namespace

CommandBody set_up_chat(CLI::App& self) {
  auto options = std::make_shared<Options>();
  self.add_option("--system,-s", options->system, "An instruction that stands before everything");
  self.add_flag("--no-history", options->no_history,
                "Do not remember the lines typed here for the next time");
  self.add_flag("--statistics", options->statistics, "Speed after each answer");
  add_sampling_options(self, options->sampling);
  add_engine_options(self, options->engine);
  return [options] { return run_chat(*options); };
}

}  // namespace xh::cli
