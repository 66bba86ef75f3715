// The explicit list of commands.
#include "cli/command.h"

namespace xh::cli {
namespace {

constexpr Command kCommands[] = {
    {"completion", kGroupShell, "Print a completion script for your shell",
     "Examples:\n"
     "  source <(xiaohu completion bash)                                       this bash session\n"
     "  xiaohu completion bash > ~/.local/share/bash-completion/completions/xiaohu\n"
     "  xiaohu completion zsh > ~/.zfunc/_xiaohu                               with ~/.zfunc in "
     "fpath\n"
     "  xiaohu completion fish > ~/.config/fish/completions/xiaohu.fish",
     set_up_completion},
};

}  // namespace

std::span<const Command> all_commands() {
  return kCommands;
}

}  // namespace xh::cli
