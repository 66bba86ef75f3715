#include "text/jinja/string_methods.h"

#include <algorithm>

#include "text/jinja/format.h"
#include "text/jinja/operations.h"
#include "text/jinja/text_form.h"
#include "text/jinja/utf8.h"

namespace xh::jinja {

namespace {

Value list_of(Runtime& rt, const std::vector<std::string_view>& pieces) {
  std::vector<Value> items;
  if (!rt.burn(pieces.size() * 3)) return Value::error();
  items.reserve(pieces.size());
  for (auto piece : pieces) {
    items.push_back(rt.string(std::string(piece)));
    if (items.back().failed()) return Value::error();
  }
  return rt.list(std::move(items));
}

bool want_text(Runtime& rt, const Value& v, const char* function) {
  if (v.is_string()) return true;
  if (v.is_undefined()) rt.use_of_undefined(v);
  rt.type_error(std::string(function) + "() needs a text, not " + type_name(v.kind()));
  return false;
}

bool want_integer(Runtime& rt, const Value& v, const char* function, int64_t& out) {
  if (v.missing() || v.is(Kind::kNone)) return true;
  if (v.is_integral()) {
    out = v.integer();
    return true;
  }
  rt.type_error(std::string(function) + "() needs an integer, not " + type_name(v.kind()));
  return false;
}

enum class Side { kLeft, kRight, kBoth };

template <Side side>
Value strip(Runtime& rt, const Value& self, const Args& args) {
  Value a[1];
  if (!bind(rt, args, "strip", {"/chars"}, 0, a)) return Value::error();
  std::string_view text = self.text();
  if (a[0].missing() || a[0].is(Kind::kNone)) {
    if constexpr (side != Side::kRight) text = strip_left(text);
    if constexpr (side != Side::kLeft) text = strip_right(text);
  } else {
    if (!want_text(rt, a[0], "strip")) return Value::error();
    std::string_view chars = a[0].text();
    if (chars.size() > 64 && !rt.burn_bytes(chars.size() * text.size())) return Value::error();
    if constexpr (side != Side::kRight) text = strip_left(text, chars);
    if constexpr (side != Side::kLeft) text = strip_right(text, chars);
  }
  if (!rt.burn_bytes((self.text().size() - text.size()) * 4)) return Value::error();
  return text.size() == self.text().size() ? self : rt.string(std::string(text));
}

template <std::string (*map)(std::string_view)>
Value mapped(Runtime& rt, const Value& self, const Args& args) {
  if (!bind(rt, args, "this method", {}, 0, nullptr)) return Value::error();
  if (!rt.burn_mapping(self.as<String>())) return Value::error();
  return rt.string(map(self.text()));
}

std::vector<std::string_view> split_spaces(std::string_view text, int64_t limit) {
  std::vector<std::string_view> pieces;
  text = strip_left(text);
  while (!text.empty()) {
    if (limit == 0) {
      pieces.push_back(text);  // with the white space at its end
      break;
    }
    size_t end = 0;
    while (end < text.size()) {
      size_t next = end;
      if (is_space(next_code_point(text, next))) break;
      end = next;
    }
    pieces.push_back(text.substr(0, end));
    text = strip_left(text.substr(end));
    --limit;
  }
  return pieces;
}

std::vector<std::string_view> rsplit_spaces(std::string_view text, int64_t limit) {
  std::vector<std::string_view> words = split_spaces(text, -1);
  if (limit < 0 || static_cast<int64_t>(words.size()) <= limit) return words;
  size_t keep = words.size() - static_cast<size_t>(limit);  // these stay one piece
  std::string_view body = strip_left(text);
  const char* end = keep ? words[keep - 1].data() + words[keep - 1].size() : body.data();
  std::vector<std::string_view> pieces;
  // With limit 0 Python keeps the leading white space and strips the end only.
  const char* begin = text.data();
  if (keep) pieces.push_back(std::string_view(begin, static_cast<size_t>(end - begin)));
  pieces.insert(pieces.end(), words.begin() + static_cast<int64_t>(keep), words.end());
  return pieces;
}

// Positions where `needle` starts, found from the right without overlap, last first.
std::vector<size_t> find_from_right(Runtime& rt, std::string_view text, std::string_view needle,
                                    int64_t limit) {
  std::string backward(text.rbegin(), text.rend()), key(needle.rbegin(), needle.rend());
  std::vector<size_t> found;
  size_t pos = 0;
  for (int64_t n = 0; n != limit; ++n) {
    int64_t at = find_text(rt, backward, key, pos);
    if (at < 0 || !rt.burn(1)) break;
    found.push_back(text.size() - static_cast<size_t>(at) - needle.size());
    pos = static_cast<size_t>(at) + needle.size();
  }
  return found;
}

template <bool from_right>
Value split(Runtime& rt, const Value& self, const Args& args) {
  Value a[2];
  if (!bind(rt, args, "split", {"sep", "maxsplit"}, 0, a)) return Value::error();
  int64_t limit = -1;
  std::string_view text = self.text();
  if (!want_integer(rt, a[1], "split", limit) || !rt.burn(text.size() / 16 + 1))
    return Value::error();
  if (a[0].missing() || a[0].is(Kind::kNone))
    return list_of(rt, from_right ? rsplit_spaces(text, limit) : split_spaces(text, limit));
  if (!want_text(rt, a[0], "split")) return Value::error();
  std::string_view sep = a[0].text();
  if (sep.empty()) return rt.type_error("split() with an empty separator");
  std::vector<std::string_view> pieces;
  if (from_right) {
    size_t end = text.size();
    for (size_t at : find_from_right(rt, text, sep, limit)) {
      pieces.push_back(text.substr(at + sep.size(), end - at - sep.size()));
      end = at;
    }
    pieces.push_back(text.substr(0, end));
    std::reverse(pieces.begin(), pieces.end());
  } else {
    size_t pos = 0;
    for (int64_t n = 0; n != limit; ++n) {
      int64_t at = find_text(rt, text, sep, pos);
      if (at < 0 || !rt.burn(1)) break;
      pieces.push_back(text.substr(pos, static_cast<size_t>(at) - pos));
      pos = static_cast<size_t>(at) + sep.size();
    }
    pieces.push_back(text.substr(pos));
  }
  return rt.failed() ? Value::error() : list_of(rt, pieces);
}

template <bool from_right>
Value partition(Runtime& rt, const Value& self, const Args& args) {
  Value a[1];
  if (!bind(rt, args, "partition", {"/sep"}, 1, a) || !want_text(rt, a[0], "partition") ||
      !rt.burn_bytes(self.text().size()))
    return Value::error();
  std::string_view text = self.text(), sep = a[0].text();
  if (sep.empty()) return rt.type_error("partition() with an empty separator");
  int64_t at = -1;
  if (from_right) {
    auto found = find_from_right(rt, text, sep, 1);
    if (!found.empty()) at = static_cast<int64_t>(found[0]);
  } else {
    at = find_text(rt, text, sep, 0);
  }
  if (rt.failed()) return Value::error();
  Value empty = rt.string("");
  if (at < 0) return from_right ? rt.tuple({empty, empty, self}) : rt.tuple({self, empty, empty});
  size_t cut = static_cast<size_t>(at);
  Value before = rt.string(std::string(text.substr(0, cut)));
  Value after = rt.string(std::string(text.substr(cut + sep.size())));
  if (before.failed() || after.failed()) return Value::error();
  return rt.tuple({before, a[0], after});
}

// The part of `text` that start and end (code points) leave; false when start is past the end.
bool window(Runtime& rt, const Value& self, const Value& from, const Value& to, size_t& begin,
            std::string_view& out) {
  auto& s = self.as<String>();
  begin = 0;
  out = s.text;
  if (from.missing() && to.missing()) return true;
  if (!rt.burn(s.text.size() / 16 + 1)) return false;
  int64_t size = s.code_points(), start = 0, end = size;
  if (!want_integer(rt, from, "find", start) || !want_integer(rt, to, "find", end)) return false;
  if (start < 0) start = std::max<int64_t>(start < -size ? 0 : start + size, 0);
  if (end < 0) end = std::max<int64_t>(end < -size ? 0 : end + size, 0);
  end = std::min(end, size);
  if (start > end) return false;
  begin = byte_offset(s.text, static_cast<size_t>(start));
  out = s.text.substr(0, byte_offset(s.text, static_cast<size_t>(end)));
  return true;
}

template <bool from_right, bool must>
Value find(Runtime& rt, const Value& self, const Args& args) {
  Value a[3];
  if (!bind(rt, args, "find", {"/sub", "/start", "/end"}, 1, a) || !want_text(rt, a[0], "find") ||
      !rt.burn_bytes(self.text().size()))
    return Value::error();
  size_t begin;
  std::string_view text;
  int64_t at = -1;
  if (window(rt, self, a[1], a[2], begin, text)) {
    if (from_right && !a[0].text().empty()) {
      auto found = find_from_right(rt, text.substr(begin), a[0].text(), 1);
      if (!found.empty()) at = static_cast<int64_t>(found[0] + begin);
    } else if (from_right) {
      at = static_cast<int64_t>(text.size());
    } else {
      at = find_text(rt, text, a[0].text(), begin);
    }
  }
  if (rt.failed()) return Value::error();
  if (at < 0 && must) return rt.type_error("substring not found");
  if (at < 0) return Value::integer(-1);
  return Value::integer(
      static_cast<int64_t>(count_code_points(self.text().substr(0, static_cast<size_t>(at)))));
}

template <bool at_end>
Value affix(Runtime& rt, const Value& self, const Args& args) {
  const char* name = at_end ? "endswith" : "startswith";
  Value a[3];
  if (!bind(rt, args, name, {"/affix", "/start", "/end"}, 1, a)) return Value::error();
  size_t begin;
  std::string_view text;
  bool inside = window(rt, self, a[1], a[2], begin, text);
  if (rt.failed()) return Value::error();
  std::vector<Value> candidates = {a[0]};
  if (a[0].is(Kind::kTuple)) candidates = a[0].as<Sequence>().items;
  for (const Value& c : candidates) {
    if (!want_text(rt, c, name) || !rt.burn_bytes(c.text().size())) return Value::error();
    if (!inside) continue;
    std::string_view part = text.substr(begin);
    if (at_end ? part.ends_with(c.text()) : part.starts_with(c.text())) return Value::boolean(true);
  }
  return Value::boolean(false);
}

template <bool suffix>
Value remove_affix(Runtime& rt, const Value& self, const Args& args) {
  Value a[1];
  const char* name = suffix ? "removesuffix" : "removeprefix";
  if (!bind(rt, args, name, {"/affix"}, 1, a) || !want_text(rt, a[0], name)) return Value::error();
  std::string_view text = self.text(), cut = a[0].text();
  if (suffix && text.ends_with(cut)) text.remove_suffix(cut.size());
  if (!suffix && text.starts_with(cut)) text.remove_prefix(cut.size());
  return rt.string(std::string(text));
}

Value replace(Runtime& rt, const Value& self, const Args& args) {
  Value a[3];
  int64_t count = -1;
  if (!bind(rt, args, "replace", {"/old", "/new", "/count"}, 2, a) ||
      !want_text(rt, a[0], "replace") || !want_text(rt, a[1], "replace") ||
      !want_integer(rt, a[2], "replace", count))
    return Value::error();
  return replace_text(rt, self.text(), a[0].text(), a[1].text(), count);
}

Value join(Runtime& rt, const Value& self, const Args& args) {
  Value a[1];
  std::vector<Value> items;
  if (!bind(rt, args, "join", {"/items"}, 1, a) || !rt.to_vector(a[0], items))
    return Value::error();
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!want_text(rt, items[i], "join") || (i && !rt.append(out, self.text())) ||
        !rt.append(out, items[i].text()))
      return Value::error();
  }
  return rt.string(std::move(out));
}

Value splitlines(Runtime& rt, const Value& self, const Args& args) {
  Value a[1];
  if (!bind(rt, args, "splitlines", {"keepends"}, 0, a) || !rt.burn(self.text().size() / 16 + 1))
    return Value::error();
  return list_of(rt, split_lines(self.text(), truthy(a[0])));
}

Value pad_text(Runtime& rt, const Value& self, const Args& args, const char* name, int side) {
  Value a[2];
  int64_t width = 0;
  if (!bind(rt, args, name, {"/width", "/fillchar"}, 1, a) || !want_integer(rt, a[0], name, width))
    return Value::error();
  std::string_view fill = a[1].is_string() ? a[1].text() : " ";
  if (count_code_points(fill.substr(0, 8)) != 1)
    return rt.type_error("a fill of one character is needed");
  int64_t size = length(rt, self);
  if (size < 0) return Value::error();
  int64_t missing = std::max<int64_t>(width - size, 0);
  if (!rt.fits(static_cast<uint64_t>(missing)) ||
      !rt.burn_bytes(static_cast<uint64_t>(missing) * 4))
    return Value::error();
  // Python's centre puts the odd one left when the width is odd, else right.
  int64_t left = side < 0 ? 0 : side > 0 ? missing : missing / 2 + (missing & width & 1);
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += self.text();
  for (int64_t i = left; i < missing; ++i) out += fill;
  return rt.string(std::move(out));
}

Value center(Runtime& rt, const Value& self, const Args& args) {
  return pad_text(rt, self, args, "center", 0);
}
Value ljust(Runtime& rt, const Value& self, const Args& args) {
  return pad_text(rt, self, args, "ljust", -1);
}
Value rjust(Runtime& rt, const Value& self, const Args& args) {
  return pad_text(rt, self, args, "rjust", 1);
}

Value zfill(Runtime& rt, const Value& self, const Args& args) {
  Value a[1];
  int64_t width = 0;
  if (!bind(rt, args, "zfill", {"/width"}, 1, a) || !want_integer(rt, a[0], "zfill", width))
    return Value::error();
  int64_t size = length(rt, self);
  if (size < 0) return Value::error();
  std::string_view text = self.text();
  std::string out;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    out = text[0];
    text.remove_prefix(1);
  }
  if (width > size && !rt.append(out, static_cast<uint64_t>(width - size), '0'))
    return Value::error();
  return rt.append(out, text) ? rt.string(std::move(out)) : Value::error();
}

Value expandtabs(Runtime& rt, const Value& self, const Args& args) {
  Value a[1];
  int64_t size = 8, column = 0;
  if (!bind(rt, args, "expandtabs", {"tabsize"}, 0, a) ||
      !want_integer(rt, a[0], "expandtabs", size))
    return Value::error();
  std::string out;
  std::string_view text = self.text();
  if (!rt.burn(text.size() / 8 + 1)) return Value::error();
  for (size_t pos = 0; pos < text.size();) {
    size_t start = pos;
    char32_t c = next_code_point(text, pos);
    if (c == '\t') {
      int64_t gap = size > 0 ? size - column % size : 0;
      if (!rt.append(out, static_cast<uint64_t>(gap), ' ')) return Value::error();
      column += gap;
    } else {
      out += text.substr(start, pos - start);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    }
  }
  return rt.string(std::move(out));
}

Value format_method(Runtime& rt, const Value& self, const Args& args) {
  return format_braces(rt, self, args);
}

Value format_map(Runtime& rt, const Value& self, const Args& args) {
  Value a[1];
  if (!bind(rt, args, "format_map", {"/mapping"}, 1, a)) return Value::error();
  if (!a[0].is(Kind::kDict)) return rt.type_error("format_map() needs a mapping");
  Args named;
  for (const auto& [key, value] : a[0].as<Dict>().entries)
    if (key.is_string()) named.named.emplace_back(key, value);
  return format_braces(rt, self, named);
}

// True when the text is not empty and every character passes.
template <class Test>
Value all_of(Runtime& rt, const Value& self, const Args& args, Test test) {
  if (!bind(rt, args, "this method", {}, 0, nullptr) || !rt.burn(self.text().size() / 4 + 1))
    return Value::error();
  std::string_view text = self.text();
  for (size_t pos = 0; pos < text.size();)
    if (!test(next_code_point(text, pos))) return Value::boolean(false);
  return Value::boolean(!text.empty());
}

template <CharTest test>
Value is_all(Runtime& rt, const Value& self, const Args& args) {
  return all_of(rt, self, args, [](char32_t c) { return char_is(c, test); });
}
Value isalnum(Runtime& rt, const Value& self, const Args& args) {
  return all_of(rt, self, args, [](char32_t c) {
    return char_is(c, CharTest::kAlpha) || char_is(c, CharTest::kNumeric);
  });
}
Value isspace(Runtime& rt, const Value& self, const Args& args) {
  return all_of(rt, self, args, is_space);
}
Value isascii(Runtime& rt, const Value& self, const Args& args) {
  if (self.text().empty()) return Value::boolean(true);
  return all_of(rt, self, args, [](char32_t c) { return c < 0x80; });
}
Value isprintable(Runtime& rt, const Value& self, const Args& args) {
  if (self.text().empty()) return Value::boolean(true);
  return all_of(rt, self, args, is_printable);
}
Value isidentifier(Runtime& rt, const Value& self, const Args& args) {
  bool first = true;
  return all_of(rt, self, args, [&](char32_t c) {
    bool ok = first ? is_identifier_start(c) : is_identifier_part(c);
    first = false;
    return ok;
  });
}

// islower, isupper: some cased character, and none of the other cases.
template <CharTest want, CharTest against>
Value is_case(Runtime& rt, const Value& self, const Args& args) {
  bool seen = false;
  Value r = all_of(rt, self, args, [&](char32_t c) {
    seen = seen || char_is(c, want);
    return !char_is(c, against) && !char_is(c, CharTest::kTitle);
  });
  return r.failed() ? r : Value::boolean(r.boolean() && seen);
}

Value istitle(Runtime& rt, const Value& self, const Args& args) {
  bool inside = false, seen = false;
  Value r = all_of(rt, self, args, [&](char32_t c) {
    bool upper = char_is(c, CharTest::kUpper) || char_is(c, CharTest::kTitle);
    bool lower = char_is(c, CharTest::kLower);
    bool ok = upper ? !inside : !lower || inside;
    inside = upper || lower;
    seen = seen || inside;
    return ok;
  });
  return r.failed() ? r : Value::boolean(r.boolean() && seen);
}

}  // namespace

Value string_count(Runtime& rt, const Value& self, const Args& args) {
  Value a[3];
  if (!bind(rt, args, "count", {"/sub", "/start", "/end"}, 1, a) || !want_text(rt, a[0], "count") ||
      !rt.burn_bytes(self.text().size()))
    return Value::error();
  size_t begin;
  std::string_view text;
  if (!window(rt, self, a[1], a[2], begin, text))
    return rt.failed() ? Value::error() : Value::integer(0);
  text = text.substr(begin);
  if (a[0].text().empty()) return Value::integer(static_cast<int64_t>(count_code_points(text)) + 1);
  int64_t n = 0;
  for (int64_t at = find_text(rt, text, a[0].text(), 0); at >= 0;
       at = find_text(rt, text, a[0].text(), static_cast<size_t>(at) + a[0].text().size()))
    ++n;
  return rt.failed() ? Value::error() : Value::integer(n);
}

Value string_index(Runtime& rt, const Value& self, const Args& args) {
  return find<false, true>(rt, self, args);
}

std::span<const std::pair<std::string_view, Native>> string_methods() {
  using enum CharTest;
  static constexpr std::pair<std::string_view, Native> kTable[] = {
      {"capitalize", mapped<capitalize>},
      {"casefold", mapped<to_casefold>},
      {"center", center},
      {"endswith", affix<true>},
      {"expandtabs", expandtabs},
      {"find", find<false, false>},
      {"format", format_method},
      {"format_map", format_map},
      {"isalnum", isalnum},
      {"isalpha", is_all<kAlpha>},
      {"isascii", isascii},
      {"isdecimal", is_all<kDecimal>},
      {"isdigit", is_all<kDigit>},
      {"isidentifier", isidentifier},
      {"islower", is_case<kLower, kUpper>},
      {"isnumeric", is_all<kNumeric>},
      {"isprintable", isprintable},
      {"isspace", isspace},
      {"istitle", istitle},
      {"isupper", is_case<kUpper, kLower>},
      {"join", join},
      {"ljust", ljust},
      {"lower", mapped<to_lower>},
      {"lstrip", strip<Side::kLeft>},
      {"partition", partition<false>},
      {"removeprefix", remove_affix<false>},
      {"removesuffix", remove_affix<true>},
      {"replace", replace},
      {"rfind", find<true, false>},
      {"rindex", find<true, true>},
      {"rjust", rjust},
      {"rpartition", partition<true>},
      {"rsplit", split<true>},
      {"rstrip", strip<Side::kRight>},
      {"split", split<false>},
      {"splitlines", splitlines},
      {"startswith", affix<false>},
      {"strip", strip<Side::kBoth>},
      {"swapcase", mapped<swapcase>},
      {"title", mapped<title>},
      {"upper", mapped<to_upper>},
      {"zfill", zfill},
  };
  return kTable;
}

}  // namespace xh::jinja
