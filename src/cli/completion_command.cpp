// Completion scripts, made from the same description of the commands that help is printed from.
// Model names are asked from `xiaohu list --names` at the moment of completion.
#include <fmt/core.h>

#include <cstdio>

#include "cli/command.h"
#include "cli/completion.h"

namespace xh::cli {

CommandBody set_up_completion(CLI::App& self) {
  auto shell = std::make_shared<std::string>();
  self.add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  return [&self, shell]() -> Result<void> {
    const auto commands = describe_commands(*self.get_parent());
    if (*shell == "bash") fmt::print("{}", bash_completion(commands));
    if (*shell == "zsh") fmt::print("{}", zsh_completion(commands));
    if (*shell == "fish") fmt::print("{}", fish_completion(commands));
    return {};
  };
}

}  // namespace xh::cli
