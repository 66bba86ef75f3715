#include "cli/completion.h"

#include <fmt/core.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace xh::cli {
namespace {

// Options carry their kind of value in CLI11's type name; see model_option.h and CLI::ExistingFile.
WordKind kind_of(const CLI::Option& option, std::vector<std::string>& choices) {
  if (option.get_items_expected_max() == 0) return WordKind::kNothing;
  const std::string type = option.get_type_name();
  if (type.find("MODEL") != std::string::npos) return WordKind::kModel;
  if (type.find("FILE") != std::string::npos || type.find("PATH") != std::string::npos)
    return WordKind::kFile;
  // CLI::IsMember writes its members as {a,b,c}.
  const size_t open = type.find('{'), close = type.find('}');
  if (open == std::string::npos || close == std::string::npos || close < open)
    return WordKind::kAnything;
  std::string member;
  for (const char c : type.substr(open + 1, close - open - 1) + ",") {
    if (c != ',') {
      member += c;
      continue;
    }
    choices.push_back(std::exchange(member, {}));
  }
  return WordKind::kChoice;
}

std::string join(const std::vector<std::string>& words, std::string_view between = " ") {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : std::string(between)) + word;
  return out;
}

// For a string inside single quotes of a shell.
std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// zsh's _arguments gives brackets and colons a meaning of their own.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':') out += '\\';
    out += c;
  }
  return out;
}

std::string bash_words(WordKind kind, const std::vector<std::string>& choices) {
  switch (kind) {
    case WordKind::kModel:
      return "COMPREPLY=($(compgen -W \"$(xiaohu list --names 2>/dev/null)\" -f -- \"$cur\"))";
    case WordKind::kFile: return "COMPREPLY=($(compgen -f -- \"$cur\"))";
    case WordKind::kChoice:
      return fmt::format("COMPREPLY=($(compgen -W {} -- \"$cur\"))", shell_quoted(join(choices)));
    case WordKind::kNothing:
    case WordKind::kAnything: return "COMPREPLY=()";
  }
  return "COMPREPLY=()";
}

std::string zsh_action(WordKind kind, const std::vector<std::string>& choices) {
  switch (kind) {
    case WordKind::kModel: return ":model:_xiaohu_models";
    case WordKind::kFile: return ":file:_files";
    case WordKind::kChoice: return fmt::format(":value:({})", join(choices));
    case WordKind::kAnything: return ":value: ";
    case WordKind::kNothing: return "";
  }
  return "";
}

std::string fish_action(WordKind kind, const std::vector<std::string>& choices) {
  switch (kind) {
    case WordKind::kModel:
      return " -x -a '(xiaohu list --names 2>/dev/null; __fish_complete_path)'";
    case WordKind::kFile: return " -r -F";
    case WordKind::kChoice: return " -x -a " + shell_quoted(join(choices));
    case WordKind::kAnything: return " -x";
    case WordKind::kNothing: return "";
  }
  return "";
}

}  // namespace

std::vector<CommandWords> describe_commands(const CLI::App& program) {
  std::vector<CommandWords> commands;
  for (const CLI::App* app : program.get_subcommands([](const CLI::App*) { return true; })) {
    CommandWords command{app->get_name(), app->get_description(), {}, WordKind::kNothing, {}};
    for (const CLI::Option* option : app->get_options()) {
      if (option->get_positional()) {
        command.positional = kind_of(*option, command.positional_choices);
        continue;
      }
      OptionWords words{{}, option->get_description(), WordKind::kNothing, {}};
      for (const auto& name : option->get_lnames()) words.names.push_back("--" + name);
      for (const auto& name : option->get_snames()) words.names.push_back("-" + name);
      words.value = kind_of(*option, words.choices);
      command.options.push_back(std::move(words));
    }
    commands.push_back(std::move(command));
  }
  return commands;
}

std::string bash_completion(const std::vector<CommandWords>& commands) {
  std::string names, cases;
  for (const auto& command : commands) {
    names += command.name + " ";
    std::string flags, values;
    for (const auto& option : command.options) {
      flags += join(option.names) + " ";
      if (option.value == WordKind::kNothing) continue;
      values += fmt::format("        {}) {}; return ;;\n", join(option.names, "|"),
                            bash_words(option.value, option.choices));
    }
    cases += fmt::format("    {})\n", command.name);
    if (!values.empty()) cases += "      case \"$prev\" in\n" + values + "      esac\n";
    cases += fmt::format(
        "      if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W {} -- \"$cur\")); else {}; fi "
        ";;\n",
        shell_quoted(flags), bash_words(command.positional, command.positional_choices));
  }
  return fmt::format(R"(# bash completion for xiaohu
_xiaohu() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}
  if [[ $COMP_CWORD -eq 1 ]]; then
    COMPREPLY=($(compgen -W '{}--help --version' -- "$cur"))
    return
  fi
  case ${{COMP_WORDS[1]}} in
{}  esac
}}
complete -o filenames -F _xiaohu xiaohu
)",
                     names, cases);
}

std::string zsh_completion(const std::vector<CommandWords>& commands) {
  std::string names, cases;
  for (const auto& command : commands) {
    names += fmt::format("    {}\n", shell_quoted(command.name + ":" + zsh_text(command.summary)));
    cases += fmt::format("    {})\n      _arguments", command.name);
    for (const auto& option : command.options) {
      for (const auto& name : option.names) {
        cases +=
            " \\\n        " + shell_quoted(fmt::format("{}[{}]{}", name, zsh_text(option.summary),
                                                       zsh_action(option.value, option.choices)));
      }
    }
    if (command.positional != WordKind::kNothing)
      cases += " \\\n        " +
               shell_quoted("*" + zsh_action(command.positional, command.positional_choices));
    cases += " ;;\n";
  }
  return fmt::format(R"zsh(#compdef xiaohu
_xiaohu_models() {{
  local -a models
  models=(${{(f)"$(xiaohu list --names 2>/dev/null)"}})
  _describe model models
  _files
}}
_xiaohu() {{
  local -a commands
  commands=(
{})
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
{}  esac
}}
if [[ $funcstack[1] == _xiaohu ]]; then _xiaohu "$@"; else compdef _xiaohu xiaohu; fi
)zsh",
                     names, cases);
}

std::string fish_completion(const std::vector<CommandWords>& commands) {
  std::string out = "# fish completion for xiaohu\ncomplete -c xiaohu -f\n";
  for (const auto& command : commands) {
    out += fmt::format("complete -c xiaohu -n __fish_use_subcommand -a {} -d {}\n", command.name,
                       shell_quoted(command.summary));
    const std::string when = shell_quoted("__fish_seen_subcommand_from " + command.name);
    for (const auto& option : command.options) {
      std::string names;
      for (const auto& name : option.names)
        names += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      out += fmt::format("complete -c xiaohu -n {}{} -d {}{}\n", when, names,
                         shell_quoted(option.summary), fish_action(option.value, option.choices));
    }
    if (command.positional != WordKind::kNothing)
      out += fmt::format("complete -c xiaohu -n {}{}\n", when,
                         fish_action(command.positional, command.positional_choices));
  }
  return out;
}

}  // namespace xh::cli
