// Writes completion scripts for shells from a plain description of the commands.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace xh::cli {

// What follows an option or stands at a position on the command line.
enum class WordKind { kNothing, kAnything, kModel, kFile, kChoice };

struct OptionWords {
  std::vector<std::string> names;  // "--model", "-m"
  std::string summary;
  WordKind value = WordKind::kNothing;
  std::vector<std::string> choices;  // for kChoice
};

struct CommandWords {
  std::string name;
  std::string summary;
  std::vector<OptionWords> options;
  WordKind positional = WordKind::kNothing;
  std::vector<std::string> positional_choices;
};

std::vector<CommandWords> describe_commands(const CLI::App& program);

std::string bash_completion(const std::vector<CommandWords>& commands);
std::string zsh_completion(const std::vector<CommandWords>& commands);
std::string fish_completion(const std::vector<CommandWords>& commands);

}  // namespace xh::cli
