#include "cli/program.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>

#include "cli/usage.h"

namespace xh::cli {
namespace {

constexpr const char* kFooter =
    "Examples:\n"
    "  xiaohu pull smollm2-135m          fetch a small model (98 MB)\n"
    "  xiaohu chat                       talk to it here\n"
    "  xiaohu serve                      page and OpenAI-compatible API on 127.0.0.1:8080\n"
    "  xiaohu COMMAND --help             options and examples of one command\n"
    "\n"
    "A model is named as in `xiaohu list`, or by the path of its file.\n"
    "Models are kept in $XIAOHU_HOME, else $XDG_DATA_HOME/xiaohu, else ~/.local/share/xiaohu.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong command line.";

// The command that was being read when parsing failed, for "see xiaohu pull --help".
std::string help_of(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  return chosen.empty() ? "xiaohu --help"
                        : fmt::format("xiaohu {} --help", chosen.front()->get_name());
}

// What is wrong when the first word is no command; "" when it is one, or an option.
std::string unknown_command(const CLI::App& app, const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments[0].starts_with('-')) return "";
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  if (std::ranges::find(names, arguments[0]) != names.end()) return "";
  const std::string meant = nearest(arguments[0], names);
  return fmt::format("there is no command \"{}\"{}", arguments[0],
                     meant.empty() ? "" : "; did you mean " + meant + "?");
}

}  // namespace

int exit_code_for(const Error& error) {
  return error.code == ErrorCode::kInvalidArgument ? kExitUsage : kExitFailure;
}

void print_error(const Error& error) {
  fmt::print(stderr, "xiaohu: {}{}{}\n", error.where, error.where.empty() ? "" : ": ",
             error.message);
  if (!error.remedy.empty()) fmt::print(stderr, "  {}\n", error.remedy);
}

Program::Program() : app_("xiaohu: language models on your own servers", "xiaohu") {
  app_.formatter(std::make_shared<HelpFormatter>());
  app_.set_version_flag("--version,-V", std::string("xiaohu ") + XH_VERSION, "Print the version");
  app_.set_help_flag("--help,-h", "Print this help");
  app_.footer(kFooter);
  app_.require_subcommand(0, 1);
  for (const Command& command : all_commands()) {
    CLI::App* self = app_.add_subcommand(command.name, command.summary);
    self->group(command.group);
    self->footer(command.help);
    bodies_.emplace_back(self, command.set_up(*self));
  }
}

int Program::run(std::vector<std::string> arguments) {
  if (std::string wrong = unknown_command(app_, arguments); !wrong.empty()) {
    print_error(
        {ErrorCode::kInvalidArgument, std::move(wrong), "command line", "See: xiaohu --help"});
    return kExitUsage;
  }
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them last first
  try {
    app_.parse(std::move(arguments));
  } catch (const CLI::Success& asked) {  // --help, --version
    return app_.exit(asked);
  } catch (const CLI::ParseError& wrong) {
    const auto chosen = app_.get_subcommands();
    print_error({ErrorCode::kInvalidArgument, tidy_message(wrong.what()),
                 chosen.empty() ? "command line" : chosen.front()->get_name(),
                 "See: " + help_of(app_)});
    return kExitUsage;
  }
  for (auto& [self, body] : bodies_) {
    if (!self->parsed()) continue;
    auto done = body();
    std::fflush(stdout);
    if (done) return kExitOk;
    print_error(done.error());
    return exit_code_for(done.error());
  }
  fmt::print("{}", app_.help());
  return kExitOk;
}

}  // namespace xh::cli
