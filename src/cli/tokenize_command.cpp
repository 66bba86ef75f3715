#include <fmt/core.h>
#include <unistd.h>

#include <boost/json.hpp>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/model_option.h"
#include "cli/usage.h"
#include "engine/tokenizer_metadata.h"
#include "weights/model_file.h"

namespace xh::cli {
namespace {

namespace json = boost::json;

constexpr size_t kMaxTextBytes = 64 << 20;

struct Options {
  std::string model;
  std::optional<std::string> text;
  std::vector<TokenId> decode;
  bool ids = false, json = false, no_special = false;
};

Result<std::unique_ptr<Tokenizer>> open_tokenizer(const std::string& model) {
  XH_TRY(const auto path, model_path(model));
  XH_TRY(const ModelFile file, ModelFile::open(path.string()));
  XH_TRY(TokenizerSpec spec, tokenizer_spec(file.metadata()));
  return Tokenizer::create(std::move(spec));
}

// The bytes of one token so that nothing in them moves the cursor: JSON's escapes, bytes outside
// UTF-8 as \xNN.
std::string visible(const std::string& bytes) {
  std::string out = "\"";
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    const size_t length = byte < 0x80                   ? 1
                          : byte >= 0xC2 && byte < 0xE0 ? 2
                          : byte >= 0xE0 && byte < 0xF0 ? 3
                          : byte >= 0xF0 && byte < 0xF5 ? 4
                                                        : 0;
    bool whole = length > 1 && i + length <= bytes.size();
    for (size_t k = 1; whole && k < length; ++k)
      whole = (static_cast<unsigned char>(bytes[i + k]) & 0xC0) == 0x80;
    if (whole) {
      out.append(bytes, i, length);
      i += length - 1;
    } else if (byte == '\n') {
      out += "\\n";
    } else if (byte == '"' || byte == '\\') {
      out += '\\';
      out += bytes[i];
    } else if (byte >= 0x20 && byte < 0x7f) {
      out += bytes[i];
    } else {
      out += fmt::format("\\x{:02x}", byte);
    }
  }
  return out + "\"";
}

void print_ids(const std::vector<TokenId>& ids) {
  for (size_t i = 0; i < ids.size(); ++i) fmt::print("{}{}", i == 0 ? "" : ",", ids[i]);
  fmt::print("\n");
}

Result<void> run_tokenize(const Options& options) {
  XH_TRY(const auto tokenizer, open_tokenizer(options.model));
  if (!options.decode.empty()) {
    fmt::print("{}\n", tokenizer->decode(options.decode, true));
    return {};
  }
  std::string text;
  if (options.text) {
    text = *options.text;
  } else {
    XH_TRY(text, read_stdin(kMaxTextBytes));
  }
  const auto ids = tokenizer->encode(
      text, {.add_special = !options.no_special, .parse_special = !options.no_special});
  if (options.json) {
    fmt::print("{}\n", json::serialize(json::object{{"count", ids.size()},
                                                    {"ids", json::array(ids.begin(), ids.end())}}));
  } else if (options.ids) {
    print_ids(ids);
  } else {
    std::vector<std::vector<std::string>> rows = {{"ID", "TEXT"}};
    for (const TokenId id : ids)
      rows.push_back({std::to_string(id), visible(tokenizer->token_bytes(id, true))});
    fmt::print("{}\n{} tokens\n", format_table(rows, {0}), ids.size());
  }
  return {};
}

}  // namespace

CommandBody set_up_tokenize(CLI::App& self) {
  auto options = std::make_shared<Options>();
  self.add_option("text", options->text, "The text (default: standard input)");
  add_model_option(self, options->model);
  self.add_flag("--ids", options->ids, "Only the ids, separated by commas");
  self.add_flag("--json", options->json, "One JSON object");
  self.add_flag("--no-special", options->no_special, "Neither add nor recognise control tokens");
  self.add_option("--decode", options->decode, "The other way: the text of these ids")
      ->delimiter(',')
      ->check(number_given);
  return [options] { return run_tokenize(*options); };
}

}  // namespace xh::cli
