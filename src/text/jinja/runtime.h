// What one rendering spends and makes: fuel, memory, the first error, new values.
// Every operation that can fail returns a Value (or bool) and leaves the reason here.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "text/chat_template.h"
#include "text/jinja/loop.h"
#include "text/jinja/value.h"

namespace xh::jinja {

constexpr uint16_t kMaxValueDepth = 256;  // containers in containers
constexpr uint64_t kBytesPerStep = 32;    // copying or scanning this much costs one step of fuel

struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<Value, Value>> named;  // name (string), value
};

class Runtime {
 public:
  Runtime(const Template& tmpl, const TemplateLimits& limits) : tmpl_(tmpl), limits_(limits) {
    heap_.limit = limits.output_bytes * 2 + (8u << 20);
    fuel_ = limits.fuel;
  }
  Runtime(const Runtime&) = delete;
  ~Runtime();

  // --- errors: the first one stays
  Value fail(ErrorCode code, std::string message, std::string remedy = {});
  Value type_error(std::string message) {
    return fail(ErrorCode::kInvalidArgument, std::move(message));
  }
  Value use_of_undefined(const Value& undefined);
  bool failed() const { return failed_; }
  const Error& error() const { return error_; }
  void at(uint32_t line, uint32_t column) { line_ = line, column_ = column; }
  void at(const Expr& e) { at(e.line, e.column); }
  uint32_t line() const { return line_; }
  uint32_t column() const { return column_; }

  // --- limits: false (or an error value) when exceeded
  bool burn(uint64_t steps) {
    if (steps > fuel_) return out_of_fuel();
    fuel_ -= steps;
    return true;
  }
  bool burn_bytes(uint64_t n) { return burn(n / kBytesPerStep + 1); }
  // Bytes added to a text that already has `size`: dearer as it grows past caches and fresh pages.
  bool burn_growth(uint64_t size, uint64_t n) {
    return burn(n / kBytesPerStep * (1 + ((size + n) >> 23)));
  }
  // Mappings of characters, as of their case, cost more per byte outside ASCII.
  bool burn_mapping(String& text) {
    return burn(text.text.size() / 16 + 1) && (text.ascii() || burn(text.text.size()));
  }
  bool append(std::string& out, std::string_view piece);
  bool append(std::string& out, uint64_t count, char c);
  bool fits(uint64_t bytes);  // may a string be this long?

  // --- new values
  Value string(std::string text);
  Value borrowed(std::string_view text);  // memory that outlives the rendering
  Value list(std::vector<Value> items) { return sequence(Kind::kList, std::move(items)); }
  Value tuple(std::vector<Value> items) { return sequence(Kind::kTuple, std::move(items)); }
  Value sequence(Kind kind, std::vector<Value> items, bool group = false);
  // Keys must be unique already.
  Value dict(std::vector<std::pair<Value, Value>> entries);
  Value generator(std::vector<Value> items);
  Value range(int64_t start, int64_t stop, int64_t step);
  Value view(const Value& dict, View::What what);
  Value namespace_object();
  Value macro(const MacroNode* node, Scope* scope);
  Value method(const Value& self, const MethodEntry* entry);
  Value loop(const Stmt* stmt, Scope* outer);
  bool set_attribute(Namespace& ns, const Value& name, Value value);
  Value from_json(const boost::json::value& json, int depth = 0);

  // --- walking
  bool start(Cursor& cursor, const Value& iterable);  // error when it cannot be walked
  Value next(Cursor& cursor);                         // kMissing at the end
  bool to_vector(const Value& iterable, std::vector<Value>& out);

  // --- names
  const Template& tmpl() const { return tmpl_; }
  int64_t now = 0;
  uint64_t fuel() const { return fuel_; }

 private:
  bool out_of_fuel();
  Value adopt(Object* object, uint64_t bytes);  // charges and wraps a new object

  const Template& tmpl_;
  TemplateLimits limits_;
  Heap heap_;
  uint64_t fuel_;
  Error error_;
  bool failed_ = false;
  uint32_t line_ = 0, column_ = 0;
  std::vector<Value> rooted_;  // all namespaces: where cycles are cut at the end
};

// Binds call arguments to parameters by position and name; those not given become kMissing.
// A name written "/name" is given by position only.
// False with an error that names `function` when one is unknown, given twice, or required and
// absent.
bool bind(Runtime& rt, const Args& args, const char* function,
          std::initializer_list<const char*> names, size_t required, Value* out);

}  // namespace xh::jinja
