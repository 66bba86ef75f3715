// How the program speaks of its own command line: the layout of `--help`, and what is wrong with
// arguments, in words of ours where CLI11's are made for programmers.
#pragma once

#include <CLI/CLI.hpp>
#include <span>
#include <string>
#include <string_view>

namespace xh::cli {

// Lists the commands by what they are for, and options with the values they take.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter();
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
};

// A message of CLI11 as one line without a full stop.
std::string tidy_message(std::string message);

// A check for options with numbers: CLI11 takes an empty text for 0. "" when there is something.
std::string number_given(const std::string& text);

// The one of `known` that a mistyped `word` most likely meant; "" when none is near.
std::string nearest(std::string_view word, std::span<const std::string> known);

}  // namespace xh::cli
