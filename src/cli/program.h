// The command line as a whole: reads arguments, runs one command, answers with an exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/command.h"

namespace xh::cli {

// 0 done; 1 it failed; 2 the command line itself was wrong.
enum ExitCode : int { kExitOk = 0, kExitFailure = 1, kExitUsage = 2 };

class Program {
 public:
  Program();

  // Runs the command that `arguments` (without the program's name) ask for. Help and errors are
  // printed.
  int run(std::vector<std::string> arguments);

 private:
  CLI::App app_;
  std::vector<std::pair<CLI::App*, CommandBody>> bodies_;
};

// kInvalidArgument means the user gave a value that cannot be right; everything else is a failure.
int exit_code_for(const Error& error);

// "xiaohu: where: message", and the remedy on a second line. To stderr.
void print_error(const Error& error);

}  // namespace xh::cli
