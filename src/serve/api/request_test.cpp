// Every field at its bounds and beyond: refused with the field's name before any work.
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "serve/api/chat_request.h"
#include "serve/api/completion_request.h"
#include "serve/api/token_text.h"
#include "serve/metrics.h"

namespace xh::serve {
namespace {

namespace json = boost::json;

ClientInfo info() {
  return {.model_name = "fake", .context_length = 4096, .vocab_size = 300};
}

std::string chat(const std::string& more) {
  return R"({"model":"fake","messages":[{"role":"user","content":"Hi"}])" +
         (more.empty() ? "" : "," + more) + "}";
}

struct Case {
  std::string fields;
  const char* param;  // null: accepted
};

TEST(ChatRequest, ChecksEveryField) {
  std::string stops = "\"x\"", tools = R"({"type":"function","function":{"name":"f"}})", bias;
  for (int i = 0; i < 500'000; ++i) stops += ",\"x\"";
  for (int i = 0; i < 1100; ++i) {
    tools += R"(,{"type":"function","function":{"name":"f"}})";
    bias += (i ? ",\"" : "\"") + std::to_string(i) + "\":1";
  }
  const Case cases[] = {
      {"", nullptr},
      {R"("temperature":0)", nullptr},
      {R"("temperature":2)", nullptr},
      {R"("temperature":2.01)", "temperature"},
      {R"("temperature":-0.1)", "temperature"},
      {R"("temperature":"1")", "temperature"},
      {R"("temperature":null)", nullptr},
      {R"("top_p":1.5)", "top_p"},
      {R"("top_p":0)", nullptr},
      {R"("min_p":-1)", "min_p"},
      {R"("top_k":-1)", nullptr},
      {R"("top_k":-2)", "top_k"},
      {R"("top_k":99999999999)", "top_k"},
      {R"("repetition_penalty":0)", "repetition_penalty"},
      {R"("frequency_penalty":2.5)", "frequency_penalty"},
      {R"("presence_penalty":-2.5)", "presence_penalty"},
      {R"("seed":-1)", nullptr},
      {R"("seed":9223372036854775807)", nullptr},
      {R"("seed":1.5)", "seed"},
      {R"("n":0)", "n"},
      {R"("n":8)", nullptr},
      {R"("n":9)", "n"},
      {R"("n":-2147483648)", "n"},
      {R"("n":1e30)", "n"},
      {R"("max_tokens":0)", "max_tokens"},
      {R"("max_tokens":-5)", "max_tokens"},
      {R"("max_tokens":4096)", nullptr},
      {R"("max_tokens":4097)", "max_tokens"},
      {R"("max_completion_tokens":2147483648)", "max_completion_tokens"},
      {R"("stop":"x")", nullptr},
      {R"("stop":null)", nullptr},
      {R"("stop":[])", nullptr},
      {R"("stop":["a","b"])", nullptr},
      {R"("stop":["a",5])", "stop[1]"},
      {R"("stop":[""])", "stop[0]"},
      {"\"stop\":[" + stops + "]", "stop"},
      {"\"stop\":\"" + std::string(2000, 'x') + "\"", "stop"},
      {R"("logit_bias":{"5":-100,"299":100})", nullptr},
      {R"("logit_bias":{"300":1})", "logit_bias.300"},
      {R"("logit_bias":{"-1":1})", "logit_bias.-1"},
      {R"("logit_bias":{"a":1})", "logit_bias.a"},
      {R"("logit_bias":{"5":101})", "logit_bias.5"},
      {R"("logit_bias":{"5":"x"})", "logit_bias.5"},
      {R"("logit_bias":[1])", "logit_bias"},
      {"\"logit_bias\":{" + bias + "}", "logit_bias"},
      {R"("logprobs":true,"top_logprobs":20)", nullptr},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs"},
      {R"("top_logprobs":5)", "top_logprobs"},
      {R"("logprobs":5)", "logprobs"},
      {R"("stream":"yes")", "stream"},
      {R"("stream":true,"stream_options":{"include_usage":true})", nullptr},
      {R"("stream_options":{"include_usage":true})", "stream_options"},
      {R"("stream":true,"stream_options":{"x":1})", "stream_options"},
      {R"("response_format":{"type":"text"})", nullptr},
      {R"("response_format":{"type":"json_object"})", "response_format"},
      {R"("response_format":{"type":"json_schema","json_schema":{}})", "response_format"},
      {R"("response_format":{})", "response_format"},
      {R"("tools":[{"type":"function","function":{"name":"f","parameters":{}}}])", nullptr},
      {R"("tools":[{"type":"function","function":{"name":5}}])", "tools[0].function.name"},
      {R"("tools":[{"type":"function"}])", "tools[0].function"},
      {R"("tools":[{"type":"retrieval"}])", "tools[0].type"},
      {R"("tools":{})", "tools"},
      {"\"tools\":[" + tools + "]", "tools"},
      {R"("tool_choice":"auto")", nullptr},
      {R"("tool_choice":"none")", nullptr},
      {R"("tool_choice":"required")", "tool_choice"},
      {R"("tool_choice":{"type":"function","function":{"name":"f"}})", "tool_choice"},
      {R"("tool_choice":"maybe")", "tool_choice"},
      {R"("chat_template_kwargs":{"enable_thinking":false})", nullptr},
      {R"("chat_template_kwargs":{"messages":[]})", "chat_template_kwargs"},
      {R"("chat_template_kwargs":{"enable_thinking":"no"})", "chat_template_kwargs"},
      {R"("priority":-5)", nullptr},
      {R"("priority":1)", "priority"},
      {R"("functions":[])", "functions"},
      {R"("modalities":["text","audio"])", "modalities"},
      {R"("user":"someone","store":false,"metadata":{"a":"b"})", nullptr},
      {R"("guided_json":{})", "guided_json"},
      {R"("max_token":5)", "max_token"},
  };
  for (const Case& c : cases) {
    const auto request = parse_chat_request(chat(c.fields), info());
    const std::string shown = c.fields.substr(0, 80);
    if (!c.param) {
      EXPECT_TRUE(request) << shown << ": " << request.error().message;
      continue;
    }
    ASSERT_FALSE(request) << shown;
    EXPECT_EQ(request.error().status, 400) << shown;
    EXPECT_EQ(request.error().param, c.param) << shown << ": " << request.error().message;
    EXPECT_NE(request.error().message.find(c.param), std::string::npos) << shown;
  }
}

std::string first_param(const std::string& messages) {
  const auto request =
      parse_chat_request(R"({"model":"fake","messages":)" + messages + "}", info());
  return request ? "" : request.error().param;
}

TEST(ChatRequest, ChecksEveryMessage) {
  EXPECT_EQ(first_param("[]"), "messages");
  EXPECT_EQ(first_param("{}"), "messages");
  EXPECT_EQ(first_param("null"), "messages");
  EXPECT_EQ(first_param("[5]"), "messages[0]");
  EXPECT_EQ(first_param(R"([{"role":"user"}])"), "messages[0].content");
  EXPECT_EQ(first_param(R"([{"role":"king","content":"x"}])"), "messages[0].role");
  EXPECT_EQ(first_param(R"([{"content":"x"}])"), "messages[0].role");
  EXPECT_EQ(first_param(R"([{"role":"user","content":5}])"), "messages[0].content");
  EXPECT_EQ(first_param(R"([{"role":"user","content":"x","extra":1}])"), "messages[0].extra");
  EXPECT_EQ(first_param(R"([{"role":"user","content":[{"type":"image_url","image_url":{}}]}])"),
            "messages[0].content[0].type");
  EXPECT_EQ(first_param(R"([{"role":"user","content":[{"type":"text"}]}])"),
            "messages[0].content[0]");
  EXPECT_EQ(first_param(R"([{"role":"assistant","tool_calls":[{"function":{"name":"f",)"
                        R"("arguments":"not json"}}]}])"),
            "messages[0].tool_calls[0].function.arguments");
  std::string many = R"({"role":"user","content":"x"})";
  for (int i = 0; i < 5000; ++i) many += R"(,{"role":"user","content":"x"})";
  EXPECT_EQ(first_param("[" + many + "]"), "messages");
}

TEST(ChatRequest, BringsMessagesIntoTheFormOfTemplates) {
  const auto request = parse_chat_request(
      R"({"model":"fake","messages":[
        {"role":"developer","content":"Be brief."},
        {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
        {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",
          "function":{"name":"f","arguments":"{\"x\":1}"}}]},
        {"role":"tool","tool_call_id":"c1","content":"2"}],
        "tools":[{"type":"function","function":{"name":"f"}}]})",
      info());
  ASSERT_TRUE(request) << request.error().message;
  const auto& list = request->variables.at("messages");
  EXPECT_EQ(json::serialize(list.at(0)), R"({"role":"system","content":"Be brief."})");
  EXPECT_EQ(list.at(1).at("content").as_string(), "ab");
  EXPECT_EQ(json::serialize(list.at(2).at("tool_calls").at(0).at("function").at("arguments")),
            R"({"x":1})");
  EXPECT_EQ(list.at(3).at("tool_call_id").as_string(), "c1");
  EXPECT_TRUE(request->has_tools);
  EXPECT_TRUE(request->variables.at("add_generation_prompt").as_bool());
}

std::string completion_param(const std::string& fields) {
  const auto request = parse_completion_request(R"({"model":"fake",)" + fields + "}", info());
  if (request) return "";
  EXPECT_EQ(request.error().status, 400) << fields.substr(0, 80);
  return request.error().param;
}

TEST(CompletionRequest, ChecksPromptsAndFields) {
  EXPECT_EQ(completion_param(R"("prompt":"x")"), "");
  EXPECT_EQ(completion_param(R"("prompt":["x","y"])"), "");
  EXPECT_EQ(completion_param(R"("prompt":[1,2,299])"), "");
  EXPECT_EQ(completion_param(R"("prompt":[[1],[2,3]])"), "");
  EXPECT_EQ(completion_param(R"("n":1)"), "prompt");
  EXPECT_EQ(completion_param(R"("prompt":[])"), "prompt");
  EXPECT_EQ(completion_param(R"("prompt":5)"), "prompt");
  EXPECT_EQ(completion_param(R"("prompt":[1,300])"), "prompt[1]");
  EXPECT_EQ(completion_param(R"("prompt":[1,-1])"), "prompt[1]");
  EXPECT_EQ(completion_param(R"("prompt":[1,"x"])"), "prompt[1]");
  EXPECT_EQ(completion_param(R"("prompt":["x",1])"), "prompt[1]");
  EXPECT_EQ(completion_param(R"("prompt":[[1],"x"])"), "prompt[1]");
  EXPECT_EQ(completion_param(R"("prompt":[[1],[4294967296]])"), "prompt[1][0]");
  EXPECT_EQ(completion_param(R"("prompt":[{}])"), "prompt[0]");
  EXPECT_EQ(completion_param(R"("prompt":"x","max_tokens":0)"), "max_tokens");
  EXPECT_EQ(completion_param(R"("prompt":"x","max_tokens":0,"echo":true)"), "");
  EXPECT_EQ(completion_param(R"("prompt":"x","logprobs":21)"), "logprobs");
  EXPECT_EQ(completion_param(R"("prompt":"x","logprobs":true)"), "logprobs");
  EXPECT_EQ(completion_param(R"("prompt":"x","suffix":"y")"), "suffix");
  EXPECT_EQ(completion_param(R"("prompt":"x","best_of":3)"), "best_of");
  EXPECT_EQ(completion_param(R"("prompt":"x","best_of":1)"), "");
  EXPECT_EQ(completion_param(R"("prompt":"x","echo":true,"stream":true)"), "echo");
  EXPECT_EQ(completion_param(R"("prompt":"x","messages":[])"), "messages");
  std::string many = "\"x\"";
  for (int i = 0; i < 99; ++i) many += ",\"x\"";
  EXPECT_EQ(completion_param("\"prompt\":[" + many + "]"), "");
  EXPECT_EQ(completion_param("\"n\":2,\"prompt\":[" + many + "]"), "n");
}

TEST(TokenText, TellsBrokenCharactersApart) {
  EXPECT_TRUE(is_utf8("aé小\U0001F42F"));
  for (const char* bad : {"\xff", "\xc0\x80", "\xe4\xb8", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                          "\x80", "\xe0\x80\x80"}) {
    EXPECT_FALSE(is_utf8(bad));
  }
  EXPECT_EQ(count_characters("aé小\U0001F42F"), 4u);
}

TEST(Metrics, WritesPrometheusText) {
  Metrics metrics;
  metrics.count_request("/x", 200);
  metrics.count_request("/x", 200);
  metrics.first_token.observe(0.003);
  metrics.first_token.observe(1000);
  ClientInfo model = info();
  model.model_name = "a\"b\\c\nd";
  model.kv_type = "q4";
  EngineStats engine{.running = 3, .step_seconds = 0.5};
  engine.step_times[0] = 4;
  engine.step_times[EngineStats::kStepBounds.size()] = 1;
  engine.prefix_hits_memory = 7;
  engine.kv_disk.on = true;
  engine.kv_disk.pages_restored = 9;
  const std::string text = metrics.write(model, engine);
  for (const char* line : {
           "xiaohu_model_info{model=\"a\\\"b\\\\c\\nd\",",
           "context_length=\"4096\",kv=\"q4\"} 1\n",
           "\nxiaohu_http_requests_total{route=\"/x\",status=\"200\"} 2\n",
           "\nxiaohu_time_to_first_token_seconds_bucket{le=\"0.0025\"} 0\n",
           "\nxiaohu_time_to_first_token_seconds_bucket{le=\"0.005\"} 1\n",
           "\nxiaohu_time_to_first_token_seconds_bucket{le=\"300\"} 1\n",
           "\nxiaohu_time_to_first_token_seconds_bucket{le=\"+Inf\"} 2\n",
           "\nxiaohu_time_to_first_token_seconds_count 2\n",
           "\nxiaohu_prefix_hits_total{model=\"a\\\"b\\\\c\\nd\",from=\"memory\"} 7\n",
           "\nxiaohu_kv_disk_pages_restored_total{model=\"a\\\"b\\\\c\\nd\"} 9\n",
           "\nxiaohu_requests_running{model=\"a\\\"b\\\\c\\nd\"} 3\n",
           "\nxiaohu_engine_step_seconds_bucket{model=\"a\\\"b\\\\c\\nd\",le=\"0.001\"} 4\n",
           "\nxiaohu_engine_step_seconds_bucket{model=\"a\\\"b\\\\c\\nd\",le=\"1\"} 4\n",
           "\nxiaohu_engine_step_seconds_bucket{model=\"a\\\"b\\\\c\\nd\",le=\"+Inf\"} 5\n",
           "\nxiaohu_engine_step_seconds_sum{model=\"a\\\"b\\\\c\\nd\"} 0.5\n",
           "\nxiaohu_engine_step_seconds_count{model=\"a\\\"b\\\\c\\nd\"} 5\n",
       }) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
}

TEST(Metrics, WritesTheGaugesThatRoutersRead) {
  ClientInfo model = info();
  model.model_name = "org/m";
  const EngineStats engine{
      .waiting = 2, .running = 3, .pages_total = 200, .pages_used = 150, .pages_cached = 100};
  const std::string text = Metrics::write_vllm_names(model, engine, 1'700'000'000);
  for (const char* line : {
           "\n# TYPE vllm:num_requests_running gauge\n",
           "\nvllm:num_requests_waiting{model_name=\"org/m\"} 2\n",
           "\nvllm:num_requests_running{model_name=\"org/m\"} 3\n",
           "\nvllm:kv_cache_usage_perc{model_name=\"org/m\"} 0.25\n",
           "\nvllm:cache_config_info{model_name=\"org/"
           "m\",block_size=\"32\",num_gpu_blocks=\"200\",",
           "\nvllm:lora_requests_info{max_lora=\"0\",running_lora_adapters=\"\","
           "waiting_lora_adapters=\"\"} 1700000000\n",
       }) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
}

}  // namespace
}  // namespace xh::serve
