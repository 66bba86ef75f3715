// What pip is told about its package index, from the same places in the same order as pip: the
// environment over a site file over the user's file over the system's.
#pragma once

#include <string>

#include "hub/settings.h"

namespace xh::hub {

struct PipConfig {
  std::string index_url;  // empty: pip has its default, which only pip knows
  std::string ca_file;
};

PipConfig read_pip_config(const GetEnv& env);

// Reads one file's text into `config`; [download] wins over [global].
void apply_pip_file(const std::string& text, PipConfig& config);

}  // namespace xh::hub
