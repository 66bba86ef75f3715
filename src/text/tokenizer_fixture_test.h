// Reads tests/fixtures/tokenizers/*.json (made by tools/make_tokenizer_fixtures.py).
#pragma once

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace xh::fixture {

inline boost::json::value read(const std::string& name) {
  std::ifstream file(std::string(XH_SOURCE_DIR) + "/tests/fixtures/tokenizers/" + name + ".json");
  EXPECT_TRUE(file) << name;
  std::stringstream text;
  text << file.rdbuf();
  return boost::json::parse(text.str());
}

inline std::vector<std::string> texts() {
  return boost::json::value_to<std::vector<std::string>>(read("texts"));
}

inline TokenizerSpec spec(const boost::json::value& file) {
  const auto& o = file.at("spec").as_object();
  const auto number = [&o](const char* key) {
    return o.contains(key) ? static_cast<TokenId>(o.at(key).as_int64()) : -1;
  };
  TokenizerSpec s;
  s.model = o.at("model").as_string();
  if (o.contains("pre")) s.pre = o.at("pre").as_string();
  s.tokens = boost::json::value_to<std::vector<std::string>>(o.at("tokens"));
  s.kinds = boost::json::value_to<std::vector<int32_t>>(o.at("kinds"));
  if (o.contains("merges"))
    s.merges = boost::json::value_to<std::vector<std::string>>(o.at("merges"));
  if (o.contains("scores")) s.scores = boost::json::value_to<std::vector<float>>(o.at("scores"));
  s.bos = number("bos");
  s.eos = number("eos");
  s.unknown = number("unknown");
  if (o.contains("add_space_prefix")) s.add_space_prefix = o.at("add_space_prefix").as_bool();
  return s;
}

inline std::unique_ptr<Tokenizer> tokenizer(const std::string& name) {
  auto t = Tokenizer::create(spec(read(name)));
  EXPECT_TRUE(t) << (t ? "" : t.error().to_string());
  return t ? std::move(*t) : nullptr;
}

}  // namespace xh::fixture
