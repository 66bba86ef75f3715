#include "cli/inspect.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "cli/console.h"

namespace xh::cli {
namespace {

namespace json = boost::json;

constexpr size_t kShownItems = 8;
constexpr size_t kShownText = 100;

// File contents must not steer a terminal: control characters become spaces or escapes.
std::string shown(std::string_view text, size_t limit) {
  std::string out;
  for (const char c : text) {
    if (out.size() >= limit && (static_cast<unsigned char>(c) & 0xC0) != 0x80) return out + "…";
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

// Several lines kept as lines, everything else as above.
std::string shown_lines(std::string_view text) {
  std::string out;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    out += "  " + shown(text.substr(at, end - at), SIZE_MAX) + "\n";
    at = end + 1;
  }
  return out;
}

// JSON text must be UTF-8; a file may hold any bytes.
json::string utf8(std::string_view text) {
  json::string out;
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80                   ? 1
                          : lead >= 0xC2 && lead < 0xE0 ? 2
                          : lead >= 0xE0 && lead < 0xF0 ? 3
                          : lead >= 0xF0 && lead < 0xF5 ? 4
                                                        : 0;
    bool good = length > 0 && i + length <= text.size();
    for (size_t k = 1; good && k < length; ++k)
      good = (static_cast<unsigned char>(text[i + k]) & 0xC0) == 0x80;
    if (good) {
      out.append(json::string_view(text.data() + i, length));
      i += length;
    } else {
      out.append("\xEF\xBF\xBD");
      ++i;
    }
  }
  return out;
}

template <class T>
json::value item(const T& value) {
  if constexpr (std::is_same_v<T, std::string>)
    return utf8(value);
  else
    return json::value(value);
}

json::value value_json(const MetaValue& value) {
  return std::visit(
      [](const auto& v) -> json::value {
        using T = std::decay_t<decltype(v)>;
        if constexpr (requires { typename T::value_type; } && !std::is_same_v<T, std::string>) {
          json::array first;
          for (size_t i = 0; i < std::min(v.size(), kShownItems); ++i)
            first.push_back(item<typename T::value_type>(v[i]));
          if (v.size() <= kShownItems) return first;
          return json::object{{"count", v.size()}, {"first", std::move(first)}};
        } else {
          return item<T>(v);
        }
      },
      value);
}

std::string value_text(const MetaValue& value) {
  return std::visit(
      [](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string>) {
          return shown(v, kShownText);
        } else if constexpr (requires { typename T::value_type; }) {
          std::string out = fmt::format("{} items:", v.size());
          for (size_t i = 0; i < std::min(v.size(), kShownItems); ++i) {
            if constexpr (std::is_same_v<typename T::value_type, std::string>)
              out += " " + shown(v[i], 24);
            else
              out += fmt::format(" {}", static_cast<typename T::value_type>(v[i]));
          }
          return out + (v.size() > kShownItems ? " …" : "");
        } else {
          return fmt::format("{}", v);
        }
      },
      value);
}

struct TypeSum {
  uint64_t tensors = 0, values = 0, bytes = 0;
};

std::map<std::string, TypeSum> type_sums(const ModelFile& file) {
  std::map<std::string, TypeSum> sums;
  for (const auto& tensor : file.tensors()) {
    auto& sum = sums[std::string(dtype_name(tensor.view.type))];
    ++sum.tensors;
    sum.values += static_cast<uint64_t>(tensor.view.shape.count());
    sum.bytes += tensor.view.bytes;
  }
  return sums;
}

// The facts a reader asks for first: label, key after the architecture's name.
struct Dimension {
  const char *label, *gguf, *hugging_face;  // keys after "ARCHITECTURE." and after "hf."
};
constexpr Dimension kDimensions[] = {
    {"layers", "block_count", "num_hidden_layers"},
    {"context", "context_length", "max_position_embeddings"},
    {"embedding", "embedding_length", "hidden_size"},
    {"feed_forward", "feed_forward_length", "intermediate_size"},
    {"heads", "attention.head_count", "num_attention_heads"},
    {"kv_heads", "attention.head_count_kv", "num_key_value_heads"},
    {"key_length", "attention.key_length", "head_dim"},
    {"experts", "expert_count", "num_experts"},
    {"experts_used", "expert_used_count", "num_experts_per_tok"},
    {"rope_base", "rope.freq_base", "rope_theta"},
};

// A folder of safetensors has no container version; its config.json is under "hf.".
bool is_gguf(const ModelFile& file) {
  return file.version() > 0;
}

std::string text_or(const Metadata& meta, const std::string& key, const char* fallback = "") {
  auto value = meta.get_string_or(key, fallback);
  return value ? *value : fallback;
}

json::object tokenizer_json(const Metadata& meta) {
  json::object out;
  out["model"] = utf8(text_or(meta, "tokenizer.ggml.model"));
  out["pre"] = utf8(text_or(meta, "tokenizer.ggml.pre"));
  const auto* tokens = meta.strings("tokenizer.ggml.tokens");
  const auto* merges = meta.strings("tokenizer.ggml.merges");
  out["tokens"] = tokens == nullptr ? 0 : tokens->size();
  out["merges"] = merges == nullptr ? 0 : merges->size();
  for (const char* name : {"bos", "eos", "unknown", "padding"}) {
    const auto id = meta.get_int_or("tokenizer.ggml." + std::string(name) + "_token_id", -1);
    if (!id || *id < 0) continue;
    json::object token{{"id", *id}};
    if (tokens != nullptr && static_cast<uint64_t>(*id) < tokens->size())
      token["text"] = utf8((*tokens)[static_cast<size_t>(*id)]);
    out[name] = std::move(token);
  }
  return out;
}

json::object dimensions_json(const Metadata& meta, const std::string& architecture) {
  json::object out;
  for (const auto& [label, gguf, hugging_face] : kDimensions) {
    const MetaValue* value = meta.find(architecture + "." + gguf);
    if (value == nullptr) value = meta.find(std::string("hf.") + hugging_face);
    if (value != nullptr) out[label] = value_json(*value);
  }
  return out;
}

std::string shape_text(const Shape& shape) {
  std::string out = "(";
  for (int i = 0; i < shape.rank; ++i) out += fmt::format("{}{}", i == 0 ? "" : ", ", shape[i]);
  return out + ")";
}

uint64_t parameter_count(const ModelFile& file) {
  uint64_t count = 0;
  for (const auto& [type, sum] : type_sums(file)) count += sum.values;
  return count;
}

std::string plain(const json::value& value) {
  return value.is_string()
             ? shown(std::string_view(value.as_string().data(), value.as_string().size()),
                     kShownText)
             : json::serialize(value);
}

std::string type_table(const ModelFile& file) {
  std::vector<std::vector<std::string>> rows = {
      {"TYPE", "TENSORS", "VALUES", "BYTES", "BITS/VALUE", ""}};
  uint64_t all = 0;
  const auto sums = type_sums(file);
  for (const auto& [type, sum] : sums) all += sum.bytes;
  for (const auto& [type, sum] : sums) {
    const double part = all == 0 ? 0 : static_cast<double>(sum.bytes) / static_cast<double>(all);
    const double bits =
        sum.values == 0 ? 0
                        : 8.0 * static_cast<double>(sum.bytes) / static_cast<double>(sum.values);
    rows.push_back({type, std::to_string(sum.tensors), human_count(sum.values),
                    human_bytes(sum.bytes), fmt::format("{:.2f}", bits),
                    std::string(static_cast<size_t>(part * 30 + 0.5), '#')});
  }
  return format_table(rows, {1, 2, 3, 4});
}

std::string tensor_table(const ModelFile& file) {
  std::vector<std::vector<std::string>> rows = {{"TENSOR", "TYPE", "SHAPE (rows first)", "BYTES"}};
  for (const auto& tensor : file.tensors())
    rows.push_back({shown(tensor.name, kShownText), std::string(dtype_name(tensor.view.type)),
                    shape_text(tensor.view.shape), human_bytes(tensor.view.bytes)});
  return format_table(rows, {3});
}

}  // namespace

json::object inspect_json(const ModelFile& file) {
  const Metadata& meta = file.metadata();
  const std::string architecture =
      is_gguf(file) ? text_or(meta, "general.architecture") : text_or(meta, "hf.model_type");
  json::array types, tensors;
  for (const auto& [type, sum] : type_sums(file))
    types.push_back(json::object{
        {"type", type}, {"tensors", sum.tensors}, {"values", sum.values}, {"bytes", sum.bytes}});
  for (const auto& tensor : file.tensors()) {
    json::array shape;
    for (int i = 0; i < tensor.view.shape.rank; ++i) shape.push_back(tensor.view.shape[i]);
    tensors.push_back(json::object{{"name", utf8(tensor.name)},
                                   {"type", dtype_name(tensor.view.type)},
                                   {"shape", std::move(shape)},
                                   {"bytes", tensor.view.bytes}});
  }
  json::object metadata;
  for (const auto& [key, value] : meta.values()) metadata[utf8(key)] = value_json(value);
  return {{"path", utf8(file.path())},
          {"format", is_gguf(file) ? "gguf" : "safetensors"},
          {"version", file.version()},
          {"file_bytes", file.file_bytes()},
          {"architecture", utf8(architecture)},
          {"name", utf8(text_or(meta, "general.name"))},
          {"licence", utf8(text_or(meta, "general.license"))},
          {"parameters", parameter_count(file)},
          {"dimensions", dimensions_json(meta, architecture)},
          {"types", std::move(types)},
          {"tokenizer", tokenizer_json(meta)},
          {"chat_template", utf8(text_or(meta, "tokenizer.chat_template"))},
          {"metadata", std::move(metadata)},
          {"tensors", std::move(tensors)}};
}

std::string inspect_text(const ModelFile& file, const InspectOptions& options) {
  const json::object all = inspect_json(file);
  std::vector<std::vector<std::string>> facts = {
      {"file", shown(file.path(), SIZE_MAX)},
      {"format",
       fmt::format("{}, {}",
                   is_gguf(file) ? fmt::format("GGUF version {}", file.version()) : "safetensors",
                   human_bytes(file.file_bytes()))},
      {"name", plain(all.at("name"))},
      {"architecture", plain(all.at("architecture"))},
      {"parameters", human_count(parameter_count(file))}};
  if (!all.at("licence").as_string().empty())
    facts.push_back({"licence", plain(all.at("licence"))});
  for (const auto& [label, value] : all.at("dimensions").as_object())
    facts.push_back({std::string(label), plain(value)});
  const auto& tokenizer = all.at("tokenizer").as_object();
  if (is_gguf(file)) {
    facts.push_back(
        {"tokenizer", fmt::format("{} {}, {} tokens, {} merges", plain(tokenizer.at("model")),
                                  plain(tokenizer.at("pre")), plain(tokenizer.at("tokens")),
                                  plain(tokenizer.at("merges")))});
  }
  for (const char* name : {"bos", "eos", "unknown", "padding"}) {
    if (const auto* token = tokenizer.if_contains(name))
      facts.push_back(
          {fmt::format("  {}", name),
           fmt::format("{} {}", plain(token->at("id")),
                       token->as_object().contains("text") ? plain(token->at("text")) : "")});
  }
  const std::string chat_template = text_or(file.metadata(), "tokenizer.chat_template");
  facts.push_back({"chat template", chat_template.empty()
                                        ? "none"
                                        : fmt::format("{} characters: {}", chat_template.size(),
                                                      shown(chat_template, 60))});
  facts.push_back({"tensors", std::to_string(file.tensors().size())});

  std::string out = format_table(facts) + "\n" + type_table(file);
  if (options.chat_template) out += "\nchat template:\n" + shown_lines(chat_template);
  if (options.metadata) {
    std::vector<std::vector<std::string>> rows = {{"KEY", "VALUE"}};
    for (const auto& [key, value] : file.metadata().values())
      rows.push_back({shown(key, kShownText), value_text(value)});
    out += "\n" + format_table(rows);
  }
  if (options.tensors) out += "\n" + tensor_table(file);
  return out;
}

}  // namespace xh::cli
