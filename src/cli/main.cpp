// The program. Wires nothing itself: commands.cpp lists what it can do.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <csignal>
#include <cstdlib>
#include <exception>

#include "cli/program.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is a write error, not a death
  try {
    // The log must not mix with what a command prints; serve may ask for more than warnings.
    spdlog::set_default_logger(spdlog::stderr_color_mt("xiaohu"));
    spdlog::set_level(spdlog::level::warn);
    return xh::cli::Program().run({argv + 1, argv + argc});
  } catch (
      const std::exception& bug) {  // libraries' exceptions that no seam stopped: memory, mostly
    xh::cli::print_error(
        {xh::ErrorCode::kInternal, bug.what(), "", "Please report this with the command you ran."});
    return EXIT_FAILURE;
  }
}
