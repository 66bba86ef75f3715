#include "hub/settings.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>

#include "hub/pip_config.h"

namespace xh::hub {
namespace {

// The public hubs; a mirror is named by the environment.
constexpr const char* kHuggingFace = "https://huggingface.co";
constexpr const char* kModelScope = "https://modelscope.cn";

std::string without_trailing_slashes(std::string url) {
  while (!url.empty() && url.back() == '/') url.pop_back();
  return url;
}

std::string first_set(const GetEnv& env, std::initializer_list<const char*> names,
                      std::string fallback = {}) {
  for (const char* name : names) {
    if (std::string value = env(name); !value.empty()) return value;
  }
  return fallback;
}

}  // namespace

GetEnv process_environment() {
  return [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
}

std::filesystem::path data_folder(const GetEnv& env) {
  if (const auto home = env("XIAOHU_HOME"); !home.empty()) return home;
  if (const auto data = env("XDG_DATA_HOME"); data.starts_with("/"))
    return std::filesystem::path(data) / "xiaohu";
  std::string home = env("HOME");
  if (home.empty()) {  // e.g. started by a service manager
    if (const passwd* user = getpwuid(getuid()); user != nullptr && user->pw_dir != nullptr)
      home = user->pw_dir;
  }
  return home.empty() ? std::filesystem::path{}
                      : std::filesystem::path(home) / ".local/share/xiaohu";
}

Settings settings_from(const GetEnv& env) {
  Settings out;
  out.home = data_folder(env);
  out.hf_endpoint =
      without_trailing_slashes(first_set(env, {"XIAOHU_HF_ENDPOINT", "HF_ENDPOINT"}, kHuggingFace));
  out.hf_token = first_set(env, {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"});
  out.modelscope_endpoint =
      without_trailing_slashes(first_set(env, {"XIAOHU_MODELSCOPE_ENDPOINT"}, kModelScope));
  const PipConfig pip = read_pip_config(env);
  out.pypi_index = without_trailing_slashes(first_set(env, {"XIAOHU_PYPI_INDEX"}, pip.index_url));
  out.pypi_ca_file = pip.ca_file;
  out.ca_file = first_set(env, {"SSL_CERT_FILE", "CURL_CA_BUNDLE"});
  return out;
}

}  // namespace xh::hub
