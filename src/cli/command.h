// How a command of the program is described. One file per command defines its set-up function;
// commands.cpp lists them all.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>

#include "base/result.h"

namespace xh::cli {

// Runs after the command's options were read. It prints its own output to stdout; main() prints
// an error and turns it into the exit code.
using CommandBody = std::function<Result<void>()>;

// The headings under which `xiaohu --help` lists the commands.
inline constexpr const char* kGroupTalk = "Talk to a model";
inline constexpr const char* kGroupModels = "Keep models";
inline constexpr const char* kGroupLook = "Look inside";
inline constexpr const char* kGroupShell = "Shell";

struct Command {
  const char* name;
  const char* group;
  const char* summary;                    // one line, for the list of commands
  const char* help;                       // the rest of `--help`: examples first
  CommandBody (*set_up)(CLI::App& self);  // adds the options; `self` outlives the body
};

// Every command, in the order in which help shows them.
std::span<const Command> all_commands();

CommandBody set_up_serve(CLI::App& self);
CommandBody set_up_chat(CLI::App& self);
CommandBody set_up_generate(CLI::App& self);
CommandBody set_up_pull(CLI::App& self);
CommandBody set_up_list(CLI::App& self);
CommandBody set_up_remove(CLI::App& self);
CommandBody set_up_inspect(CLI::App& self);
CommandBody set_up_bench(CLI::App& self);
CommandBody set_up_perplexity(CLI::App& self);
CommandBody set_up_tokenize(CLI::App& self);
CommandBody set_up_logits(CLI::App& self);
CommandBody set_up_completion(CLI::App& self);

}  // namespace xh::cli
