// --model, the same in every command.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace xh::cli {

// Adds --model/-m. Shell completion knows model names by the type name MODEL.
void add_model_option(CLI::App& self, std::string& model);

// The file of a model by name or path; empty means the catalogue's default.
Result<std::filesystem::path> model_path(const std::string& model);

}  // namespace xh::cli
