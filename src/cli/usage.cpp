#include "cli/usage.h"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <vector>

namespace xh::cli {
namespace {

// CLI11 names a type and its checks as in "INT:INT in [0 - 1024]" or "TEXT:{f16,q8}".
std::string value_name(const std::string& type) {
  const size_t colon = type.find(':');
  const std::string base = type.substr(0, colon);
  const std::string check = colon == std::string::npos ? "" : type.substr(colon + 1);
  if (check.starts_with('{') && check.ends_with('}')) {
    std::string choices = check.substr(1, check.size() - 2);
    std::replace(choices.begin(), choices.end(), ',', '|');
    return choices;
  }
  if (check == "FILE" || check == "DIR" || check == "PATH") return check;
  return base == "INT" || base == "UINT" || base == "FLOAT" ? "N" : base;
}

// "0.950000" → "0.95", wherever it stands.
std::string without_idle_zeros(const std::string& text) {
  std::string out;
  bool fraction = false;
  const auto digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  const auto close = [&] {
    while (fraction && out.ends_with('0')) out.pop_back();
    if (fraction && out.ends_with('.')) out.pop_back();
    fraction = false;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (fraction && !digit(text[i])) close();
    if (text[i] == '.' && i > 0 && digit(text[i - 1]) && i + 1 < text.size() && digit(text[i + 1]))
      fraction = true;
    out += text[i];
  }
  close();
  return out;
}

// Letters to insert, drop or change until `a` is `b`.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

HelpFormatter::HelpFormatter() {
  column_width(34);
  label("SUBCOMMAND", "COMMAND");
  label("SUBCOMMANDS", "COMMANDS");
  label("OPTIONS", "options");
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string name,
                                     CLI::AppFormatMode mode) const {
  std::string out = CLI::Formatter::make_help(app, std::move(name), mode);
  for (size_t at; (at = out.find("\n\n\n")) != std::string::npos;) out.erase(at, 1);
  return out;
}

std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
  std::string out;
  if (option->get_items_expected_max() > 0) {
    out += " " + value_name(option->get_type_name());
    if (option->get_expected_max() == CLI::detail::expected_max_vector_size) out += " ...";
    std::string preset = option->get_default_str();
    if (preset.starts_with('[') && preset.ends_with(']'))  // of a list
      preset = preset.substr(1, preset.size() - 2);
    if (!preset.empty()) out += " [" + preset + "]";
    if (option->get_required()) out += " (required)";
  }
  if (!option->get_envname().empty()) out += " (or $" + option->get_envname() + ")";
  return out;
}

std::string tidy_message(std::string message) {
  while (!message.empty() && (message.back() == '\n' || message.back() == '.')) message.pop_back();
  std::replace(message.begin(), message.end(), '\n', ' ');
  const std::string_view kUnreadable = "Could not convert: ";
  const size_t equals = message.find(" = ");
  if (message.starts_with(kUnreadable) && equals != std::string::npos)
    message = message.substr(kUnreadable.size(), equals - kUnreadable.size()) + ": cannot read \"" +
              message.substr(equals + 3) + "\"";
  if (const size_t range = message.find(" not in range "); range != std::string::npos)
    message = message.substr(0, range) + without_idle_zeros(message.substr(range));
  return message;
}

std::string number_given(const std::string& text) {
  return text.empty() ? "a number is missing" : "";
}

std::string nearest(std::string_view word, std::span<const std::string> known) {
  std::string best;
  size_t least = std::max<size_t>(2, word.size() / 3 + 1);  // this far is another word
  for (const std::string& candidate : known) {
    const size_t d = distance(word, candidate);
    const bool beginning = word.size() > 1 && candidate.starts_with(word);
    if (d < least || (beginning && best.empty())) {
      best = candidate;
      least = std::min(least, d);
    }
  }
  return best;
}

}  // namespace xh::cli
