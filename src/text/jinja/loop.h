// The objects that tie values to running code: scopes, macros, the `loop` of a for statement.
#pragma once

#include <deque>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/value.h"

namespace xh::jinja {

// Names of one block. Lookup walks to the parents; the outermost scope is an array in the
// interpreter.
struct Scope {
  Scope* parent = nullptr;
  bool captured = false;  // a macro refers to it: it must live until the rendering ends
  std::vector<std::pair<Symbol, Value>> names;
};

struct Macro : Object {
  Macro() : Object(Kind::kMacro) {}
  const MacroNode* node = nullptr;
  Scope* scope = nullptr;  // where it was defined; null for the outermost
};

// Walks any iterable value from front to back.
struct Cursor {
  Value over;
  size_t at = 0;
  size_t end = 0;  // items, or bytes of a string; unused for generators
};

struct Loop : Object {
  Loop() : Object(Kind::kLoop) {}
  const Stmt* stmt = nullptr;
  Scope* outer = nullptr;
  Cursor cursor;
  std::deque<Value> ahead;  // fetched early, for .last, .nextitem and .length
  Value previous, current, changed;
  int64_t index0 = -1;
  int64_t length = -1;
  int64_t depth0 = 0;
  bool active = true;
};

}  // namespace xh::jinja
