#include "serve/json_input.h"

#include <boost/json/basic_parser_impl.hpp>
#include <cmath>

namespace xh::serve {
namespace {

namespace json = boost::json;

// Builds the value tree itself, because Boost's own builder silently keeps the last of two equal
// keys. Open containers stand on a stack; the parser bounds its height.
class Builder {
 public:
  static constexpr std::size_t max_object_size = std::size_t(-1);
  static constexpr std::size_t max_array_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = std::size_t(-1);
  static constexpr std::size_t max_string_size = std::size_t(-1);

  explicit Builder(JsonLimits limits) : limits_(limits) {}

  using Code = json::error_code;
  using View = json::string_view;

  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code& ec) { return open(json::object(), ec); }
  bool on_object_end(std::size_t, Code& ec) { return close(ec); }
  bool on_array_begin(Code& ec) { return open(json::array(), ec); }
  bool on_array_end(std::size_t, Code& ec) { return close(ec); }
  bool on_key_part(View part, std::size_t size, Code& ec) {
    if (size > limits_.key_bytes) return stop("an object's key is too long", ec);
    text_.append(part);
    return true;
  }
  bool on_key(View part, std::size_t size, Code& ec) {
    if (!on_key_part(part, size, ec)) return false;
    keys_.push_back(std::move(text_));
    text_.clear();
    return true;
  }
  bool on_string_part(View part, std::size_t, Code&) {
    text_.append(part);
    return true;
  }
  bool on_string(View part, std::size_t, Code& ec) {
    text_.append(part);
    json::value value(text_);
    text_.clear();
    return add(std::move(value), ec);
  }
  bool on_number_part(View, Code&) { return true; }
  bool on_int64(int64_t i, View, Code& ec) { return add(i, ec); }
  bool on_uint64(uint64_t u, View, Code& ec) { return add(u, ec); }
  bool on_double(double d, View, Code& ec) {
    if (!std::isfinite(d)) return stop("a number is too large", ec);
    return add(d, ec);
  }
  bool on_bool(bool b, Code& ec) { return add(b, ec); }
  bool on_null(Code& ec) { return add(nullptr, ec); }
  bool on_comment_part(View, Code&) { return true; }
  bool on_comment(View, Code&) { return true; }

  std::string problem;
  std::string param;
  json::value root;

 private:
  bool stop(std::string why, Code& ec) {
    problem = std::move(why);
    ec = json::make_error_code(json::error::syntax);
    return false;
  }

  bool open(json::value container, Code& ec) {
    if (++count_ > limits_.values) return stop("there are too many values", ec);
    open_.push_back(std::move(container));
    return true;
  }

  bool close(Code& ec) {
    json::value value = std::move(open_.back());
    open_.pop_back();
    --count_;  // add() counts it again
    return add(std::move(value), ec);
  }

  bool add(json::value value, Code& ec) {
    if (++count_ > limits_.values) return stop("there are too many values", ec);
    if (open_.empty()) {
      root = std::move(value);
    } else if (auto* array = open_.back().if_array()) {
      array->push_back(std::move(value));
    } else {
      std::string key = std::move(keys_.back());
      keys_.pop_back();
      if (!open_.back().get_object().emplace(key, std::move(value)).second) {
        param = key;
        return stop("the key '" + key.substr(0, 100) + "' appears twice", ec);
      }
    }
    return true;
  }

  JsonLimits limits_;
  std::vector<json::value> open_;
  std::vector<std::string> keys_;
  std::string text_;
  uint64_t count_ = 0;
};

std::string describe(json::error_code code) {
  if (code == json::error::too_deep) return "it is nested too deeply";
  if (code == json::error::incomplete) return "it ends too early";
  if (code == json::error::extra_data) return "something follows after its end";
  return code.message();
}

}  // namespace

ApiResult<boost::json::value> parse_json(std::string_view text, JsonLimits limits) {
  try {
    json::parse_options options;
    options.max_depth = limits.depth;
    json::basic_parser<Builder> parser(options, limits);
    json::error_code ec;
    const size_t used = parser.write_some(false, text.data(), text.size(), ec);
    if (!ec && used < text.size()) ec = json::make_error_code(json::error::extra_data);
    if (!ec) return std::move(parser.handler().root);
    auto& builder = parser.handler();
    return refuse(400,
                  "The body is not acceptable JSON: " +
                      (builder.problem.empty() ? describe(ec) : builder.problem) + ", at byte " +
                      std::to_string(used) + ".",
                  builder.param, "invalid_json");
  } catch (const std::exception&) {  // out of memory is the only one left
    return refuse(503, "The body needs more memory than there is.", {}, "out_of_memory");
  }
}

}  // namespace xh::serve
