// The parsed template: plain nodes owned by one arena, so that no destructor recurses.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/jinja/value.h"

namespace xh::jinja {

using Symbol = uint32_t;  // a name, numbered in the order of its first appearance

enum class Op : uint8_t {
  kConst,   // value
  kName,    // symbol
  kAttr,    // args[0].symbol
  kItem,    // args[0][args[1]]
  kSlice,   // args[0][args[1]:args[2]:args[3]], absent parts null
  kCall,    // args[0](call)
  kFilter,  // args[0] | symbol(call); args[0] null inside a filter block
  kTest,    // args[0] is symbol(call)
  kNot,
  kNegate,
  kPlus,
  kAnd,
  kOr,
  kIf,       // args[0] if args[1] else args[2] (may be null)
  kCompare,  // args[0] compares[0] args[1] compares[1] args[2] …
  kConcat,   // ~
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kList,
  kTuple,
  kDict,          // key, value, key, value …
  kNamespaceRef,  // assignment target: ns.attr; args[0] is the name, symbol the attribute
};

enum class Compare : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };

struct FilterEntry;
struct TestEntry;

struct CallArgs {
  uint32_t n_positional = 0;
  std::vector<std::pair<Value, Expr*>> named;  // name as a string value
  std::vector<Expr*> positional;
  Expr* star = nullptr;       // *args
  Expr* star_star = nullptr;  // **kwargs
};

struct Expr {
  Op op = Op::kConst;
  uint32_t line = 0, column = 0;
  Symbol symbol = 0;
  Value value;
  std::vector<Expr*> args;
  std::vector<Compare> compares;
  CallArgs* call = nullptr;
  union {
    const MethodEntry* method = nullptr;  // kAttr: the built-in method of that name, if any
    const FilterEntry* filter;            // kFilter; null when there is none of that name
    const TestEntry* test;                // kTest; likewise
  };
};

enum class StmtOp : uint8_t {
  kText,
  kPrint,
  kIf,
  kFor,
  kSet,
  kSetBlock,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kWith,
  kScope,
  kBreak,
  kContinue,
};

struct Stmt;
using Block = std::vector<Stmt*>;

// A macro, or the body of a call block.
struct MacroNode {
  std::string name;
  std::vector<Symbol> params;
  std::vector<Expr*> defaults;  // for the last params
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
  Block body;
};

struct Stmt {
  StmtOp op = StmtOp::kText;
  uint32_t line = 0, column = 0;
  std::string text;           // kText
  Symbol symbol = 0;          // kMacro: its name
  Expr* target = nullptr;     // kFor, kSet, kSetBlock
  Expr* value = nullptr;      // kFor: iterable; kSet; kPrint; kCallBlock: the call; filter chain
  Expr* condition = nullptr;  // kFor: filter
  bool recursive = false;     // kFor
  Block body, otherwise;      // kFor: else
  std::vector<std::pair<Expr*, Block>> branches;  // kIf: condition (null for else), body
  std::vector<std::pair<Expr*, Expr*>> bindings;  // kWith: target, value
  MacroNode* macro = nullptr;
};

struct Template {
  std::deque<String> strings;  // constants; immortal. Destroyed after the nodes that use them
  std::deque<Expr> exprs;
  std::deque<Stmt> stmts;
  std::deque<CallArgs> calls;
  std::deque<MacroNode> macros;
  std::vector<std::string_view> names;  // by Symbol
  std::deque<std::string> name_storage;
  std::unordered_map<std::string_view, Symbol> symbols;
  Block body;

  Symbol intern(std::string_view name) {
    if (auto it = symbols.find(name); it != symbols.end()) return it->second;
    name_storage.emplace_back(name);
    names.push_back(name_storage.back());
    symbols.emplace(names.back(), static_cast<Symbol>(names.size() - 1));
    return static_cast<Symbol>(names.size() - 1);
  }
  Value constant(std::string text);  // an immortal string
};

}  // namespace xh::jinja
