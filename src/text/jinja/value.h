// Values of a template: a 16-byte tagged word; strings and containers are counted objects on a
// Heap. Containers never change after they are made (only a namespace does), so cycles can only
// pass through namespaces and macros; the runtime breaks those when a rendering ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace xh::jinja {

enum class Kind : uint8_t {
  kMissing,    // no value at all: an argument not given, a name not assigned
  kError,      // evaluation failed; the runtime holds the reason
  kUndefined,  // Jinja's undefined
  kNone,
  kBool,
  kInt,
  kUint,  // an integer of JSON above the range of kInt
  kFloat,
  kFunction,  // a global function, by number
  // From here on: counted objects.
  kString,
  kList,
  kTuple,
  kDict,
  kView,  // dict.keys(), .values(), .items()
  kRange,
  kGenerator,  // what lazy filters return: can be walked once
  kNamespace,
  kMacro,
  kMethod,  // "abc".upper without the call
  kLoop,
};

struct Expr;

// Bytes held by living objects of one rendering.
struct Heap {
  uint64_t live = 0;
  uint64_t limit = UINT64_MAX;
};

struct Object {
  uint32_t refs = 0;
  Kind kind;
  bool immortal =
      false;           // belongs to the parsed template and is shared between threads: not counted
  uint16_t depth = 0;  // nesting of containers below this one
  Heap* heap = nullptr;
  uint64_t bytes = 0;  // charged to the heap
  explicit Object(Kind k) : kind(k) {}
};

void destroy(Object* object);  // frees one object by its kind

class Value {
 public:
  Value() = default;
  Value(const Value& other) : kind_(other.kind_), origin_(other.origin_), as_(other.as_) {
    retain();
  }
  Value(Value&& other) noexcept : kind_(other.kind_), origin_(other.origin_), as_(other.as_) {
    other.kind_ = Kind::kMissing;
  }
  Value& operator=(Value other) noexcept {
    std::swap(kind_, other.kind_);
    std::swap(origin_, other.origin_);
    std::swap(as_, other.as_);
    return *this;
  }
  ~Value() { release(); }

  static Value error() { return Value(Kind::kError); }
  static Value none() { return Value(Kind::kNone); }
  // `source` is the expression that came out undefined (it lives as long as the template);
  // `of` is the kind of the object in which a name was looked for. Both serve messages only.
  static Value undefined(const Expr* source = nullptr, Kind of = Kind::kMissing) {
    Value v(Kind::kUndefined);
    v.as_.source = source;
    v.origin_ = of;
    return v;
  }
  static Value boolean(bool b) {
    Value v(Kind::kBool);
    v.as_.integer = b;
    return v;
  }
  static Value integer(int64_t i) {
    Value v(Kind::kInt);
    v.as_.integer = i;
    return v;
  }
  static Value unsigned_integer(uint64_t u) {
    if (u <= static_cast<uint64_t>(INT64_MAX)) return integer(static_cast<int64_t>(u));
    Value v(Kind::kUint);
    v.as_.integer = static_cast<int64_t>(u);
    return v;
  }
  static Value real(double d) {
    Value v(Kind::kFloat);
    v.as_.real = d;
    return v;
  }
  static Value function(int64_t number) {
    Value v(Kind::kFunction);
    v.as_.integer = number;
    return v;
  }
  static Value object(Object* o) {
    Value v(o->kind);
    v.as_.object = o;
    v.retain();
    return v;
  }

  Kind kind() const { return kind_; }
  bool is(Kind k) const { return kind_ == k; }
  bool failed() const { return kind_ == Kind::kError; }
  bool missing() const { return kind_ == Kind::kMissing; }
  bool is_undefined() const { return kind_ == Kind::kUndefined; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_integral() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }  // as in Python
  bool is_number() const { return is_integral() || kind_ == Kind::kFloat || kind_ == Kind::kUint; }
  bool is_sequence() const { return kind_ == Kind::kList || kind_ == Kind::kTuple; }

  bool boolean() const { return as_.integer != 0; }
  int64_t integer() const { return as_.integer; }
  uint64_t unsigned_integer() const { return static_cast<uint64_t>(as_.integer); }
  double real() const { return as_.real; }
  double number() const;  // any number as a double
  const Expr* source() const { return as_.source; }
  Kind origin() const { return origin_; }
  Object* object() const { return as_.object; }
  template <class T>
  T& as() const {
    return *static_cast<T*>(as_.object);
  }
  inline std::string_view text() const;  // of a string

 private:
  explicit Value(Kind kind) : kind_(kind) {}
  void retain() const {
    if (kind_ >= Kind::kString && !as_.object->immortal) ++as_.object->refs;
  }
  void release() {
    if (kind_ >= Kind::kString && !as_.object->immortal && --as_.object->refs == 0)
      destroy(as_.object);
  }

  Kind kind_ = Kind::kMissing;
  Kind origin_ = Kind::kMissing;
  union {
    int64_t integer;
    double real;
    const Expr* source;
    Object* object;
  } as_{};
};

struct String : Object {
  String() : Object(Kind::kString) {}
  std::string owned;
  std::string_view text;  // `owned`, or memory that outlives the rendering
  bool safe = false;      // Markup in Jinja's terms: + escapes what it is joined with
  int64_t length = -1;    // in code points, once counted
  bool ascii() { return code_points() == static_cast<int64_t>(text.size()); }
  int64_t code_points();
};

struct Sequence : Object {  // list or tuple
  explicit Sequence(Kind k) : Object(k) {}
  std::vector<Value> items;
  bool group = false;  // a result of groupby: also has .grouper and .list
};

// Keeps insertion order. Keys are unique by Python's equality (1 == 1.0 == True).
struct Dict : Object {
  Dict() : Object(Kind::kDict) {}
  std::vector<std::pair<Value, Value>> entries;
  std::vector<uint32_t> index;  // positions sorted by key; made on first need when large

  // Position of the key, or -1. Unhashable keys are never found.
  int64_t find(const Value& key);
  int64_t find(std::string_view key);
};

struct View : Object {
  enum class What : uint8_t { kKeys, kValues, kItems };
  View() : Object(Kind::kView) {}
  Value dict;
  What what = What::kKeys;
};

struct Range : Object {
  Range() : Object(Kind::kRange) {}
  int64_t start = 0, stop = 0, step = 1, count = 0;
};

struct Generator : Object {
  Generator() : Object(Kind::kGenerator) {}
  std::vector<Value> items;
  size_t next = 0;
};

struct Namespace : Object {
  Namespace() : Object(Kind::kNamespace) {}
  std::vector<std::pair<Value, Value>> attributes;
};

struct MethodEntry;
struct BoundMethod : Object {
  BoundMethod() : Object(Kind::kMethod) {}
  Value self;
  const MethodEntry* entry = nullptr;
};

inline std::string_view Value::text() const {
  return as<String>().text;
}

// Python's name for the type, as its messages use it.
const char* type_name(Kind kind);

// A total order over hashable values, consistent with Python's ==; used for dict keys and sets.
int compare_keys(const Value& a, const Value& b);
bool same_key(const Value& a, const Value& b);  // compare_keys() == 0, sooner
bool hashable(const Value& v);

}  // namespace xh::jinja
