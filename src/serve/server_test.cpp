// The whole server over real loopback sockets, with the pretended engine.
#include "serve/server.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <tests/api/fake_client.h>
#include <tests/api/http_probe.h>

#include <boost/json.hpp>
#include <sstream>
#include <thread>

#include "base/log.h"
#include "serve/router.h"

namespace xh::serve {
namespace {

using testing::FakeClient;
using testing::get;
using testing::post;
using testing::Probe;
using testing::ProbeAnswer;
namespace json = boost::json;
using namespace std::chrono_literals;

struct Running {
  explicit Running(ServeOptions options = {}, int32_t context = 4096, size_t streams = 256)
      : client(context, streams) {
    log::set_level(log::level::off);
    options.port = 0;
    auto started = Server::start(client, std::move(options));
    if (!started) {
      ADD_FAILURE() << started.error().to_string();
      return;
    }
    server = std::move(*started);
  }
  uint16_t port() const { return server->port(); }

  ProbeAnswer ask(const std::string& request) {
    Probe probe(port());
    probe.send(request);
    return probe.answer();
  }
  json::object ask_json(const std::string& path, const std::string& body, int expected = 200) {
    const ProbeAnswer answer = ask(post(path, body));
    EXPECT_EQ(answer.status, expected) << answer.body;
    return json::parse(answer.body).as_object();
  }
  // Waits until nothing is generated any more.
  bool idle_within(std::chrono::milliseconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (std::chrono::steady_clock::now() < end) {
      if (client.stats().running == 0) return true;
      std::this_thread::sleep_for(5ms);
    }
    return false;
  }

  FakeClient client;
  std::unique_ptr<Server> server;
};

std::string chat(const std::string& said, const std::string& more = {}) {
  return R"({"model":"fake","messages":[{"role":"user","content":)" +
         json::serialize(json::value(said)) + "}]" + (more.empty() ? "" : "," + more) + "}";
}

// The data of each event; fails the test when the stream is not well-formed.
std::vector<std::string> events(const std::string& body) {
  std::vector<std::string> out;
  size_t at = 0;
  while (at < body.size()) {
    const size_t end = body.find("\n\n", at);
    if (end == std::string::npos) {
      ADD_FAILURE() << "an event does not end";
      break;
    }
    const std::string event = body.substr(at, end - at);
    if (event.starts_with("data: ")) {
      out.push_back(event.substr(6));
    } else {
      EXPECT_TRUE(event.starts_with(": ")) << event;
    }
    at = end + 2;
  }
  return out;
}

TEST(Server, AnswersHealthModelsAndMetrics) {
  Running running;
  EXPECT_EQ(running.ask(get("/health")).body, R"({"status":"ok"})");
  EXPECT_EQ(running.ask(get("/ready")).status, 200);
  const auto models = json::parse(running.ask(get("/v1/models")).body);
  EXPECT_EQ(models.at("data").at(0).at("id").as_string(), "fake");
  EXPECT_EQ(running.ask(get("/v1/models/fake")).status, 200);
  EXPECT_EQ(running.ask(get("/v1/models/other")).status, 404);
  const ProbeAnswer metrics = running.ask(get("/metrics"));
  EXPECT_EQ(metrics.header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_NE(metrics.body.find("xiaohu_http_requests_total{route=\"/health\",status=\"200\"} 1"),
            std::string::npos);
}

TEST(Server, ChatsWhole) {
  Running running;
  const auto body = running.ask_json("/v1/chat/completions", chat("Hello 小虎"));
  EXPECT_EQ(body.at("object").as_string(), "chat.completion");
  const auto& choice = body.at("choices").at(0);
  EXPECT_EQ(choice.at("message").at("content").as_string(), "You said: Hello 小虎");
  EXPECT_EQ(choice.at("finish_reason").as_string(), "stop");
  EXPECT_EQ(body.at("usage").at("completion_tokens").as_int64(), 22);
  EXPECT_EQ(body.at("usage").at("total_tokens").as_int64(),
            body.at("usage").at("prompt_tokens").as_int64() + 22);
}

TEST(Server, ChatsAsAStream) {
  Running running;
  const ProbeAnswer answer = running.ask(post(
      "/v1/chat/completions", chat("!say <think>\\nhm\\n</think>\\n\\nHi 小虎",
                                   R"("stream":true,"stream_options":{"include_usage":true})")));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("Content-Type"), "text/event-stream; charset=utf-8");
  const auto list = events(answer.body);
  ASSERT_GE(list.size(), 4u);
  EXPECT_EQ(list.back(), "[DONE]");
  std::string content, thought, finish;
  for (size_t i = 0; i + 2 < list.size(); ++i) {
    const auto chunk = json::parse(list[i]).as_object();
    EXPECT_EQ(chunk.at("object").as_string(), "chat.completion.chunk");
    EXPECT_TRUE(chunk.at("usage").is_null());
    const auto& choice = chunk.at("choices").at(0).as_object();
    const auto& delta = choice.at("delta").as_object();
    if (i == 0) {
      EXPECT_EQ(delta.at("role").as_string(), "assistant");
    }
    if (delta.contains("content")) content += delta.at("content").as_string();
    if (delta.contains("reasoning_content")) thought += delta.at("reasoning_content").as_string();
    if (choice.at("finish_reason").is_string()) finish = choice.at("finish_reason").as_string();
  }
  EXPECT_EQ(content, "Hi 小虎");
  EXPECT_EQ(thought, "hm");
  EXPECT_EQ(finish, "stop");
  const auto last = json::parse(list[list.size() - 2]).as_object();
  EXPECT_TRUE(last.at("choices").as_array().empty());
  EXPECT_GT(last.at("usage").at("completion_tokens").as_int64(), 0);
}

TEST(Server, KeepsTheConnectionAndAnswersPipelinedRequestsInOrder) {
  Running running;
  Probe probe(running.port());
  probe.send(get("/health") + post("/v1/chat/completions", chat("one")) + get("/v1/models/nobody") +
             post("/v1/chat/completions", chat("two")));
  EXPECT_EQ(probe.answer().body, R"({"status":"ok"})");
  EXPECT_NE(probe.answer().body.find("You said: one"), std::string::npos);
  EXPECT_EQ(probe.answer().status, 404);
  EXPECT_NE(probe.answer().body.find("You said: two"), std::string::npos);
}

TEST(Server, StreamsToHttp10UntilTheConnectionEnds) {
  Running running;
  const std::string body = chat("Hi", R"("stream":true)");
  Probe probe(running.port());
  probe.send(
      "POST /v1/chat/completions HTTP/1.0\r\nContent-Type: application/json\r\n"
      "Content-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body);
  const ProbeAnswer answer = probe.answer();
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_EQ(answer.header("Transfer-Encoding"), "");
  EXPECT_EQ(events(answer.body).back(), "[DONE]");
  EXPECT_TRUE(probe.ended());
}

TEST(Server, ChoosesNAnswersAndReportsTools) {
  Running running;
  const auto many = running.ask_json("/v1/chat/completions", chat("x", R"("n":3,"seed":5)"));
  EXPECT_EQ(many.at("choices").as_array().size(), 3u);
  EXPECT_EQ(many.at("choices").at(2).at("index").as_int64(), 2);
  EXPECT_EQ(running.client.last_request().sampling.seed, 7u);

  const std::string call = R"(!say Let me see.\n<tool_call>\n{"name": "weather", "arguments": )"
                           R"({"city": "Köln"}}\n</tool_call>)";
  const std::string tools =
      R"("tools":[{"type":"function","function":{"name":"weather","parameters":{}}}])";
  const auto body = running.ask_json("/v1/chat/completions", chat(call, tools));
  const auto& choice = body.at("choices").at(0);
  EXPECT_EQ(choice.at("finish_reason").as_string(), "tool_calls");
  EXPECT_EQ(choice.at("message").at("content").as_string(), "Let me see.");
  const auto& function = choice.at("message").at("tool_calls").at(0).at("function");
  EXPECT_EQ(function.at("name").as_string(), "weather");
  EXPECT_EQ(function.at("arguments").as_string(), R"({"city":"Köln"})");
}

TEST(Server, ItsDefaultsHoldWhereARequestSaysNothing) {
  ServeOptions options;
  options.default_sampling = {.temperature = 0.3f, .top_k = 7};
  Running running(options);
  running.ask_json("/v1/chat/completions", chat("x"));
  EXPECT_EQ(running.client.last_request().sampling.temperature, 0.3f);
  EXPECT_EQ(running.client.last_request().sampling.top_k, 7);
  running.ask_json("/v1/chat/completions", chat("x", R"("temperature":1,"top_k":0)"));
  EXPECT_EQ(running.client.last_request().sampling.temperature, 1.0f);
  EXPECT_EQ(running.client.last_request().sampling.top_k, 0);
}

TEST(Server, JudgesPromptsAsEvaluationHarnessesAsk) {
  Running running;
  const auto body = running.ask_json(
      "/v1/completions",
      R"({"model":"fake","prompt":[[72,105,228,189,160],[33,34]],"temperature":0,"max_tokens":1,)"
      R"("logprobs":1,"echo":true,"seed":1234})");
  const auto& choices = body.at("choices").as_array();
  ASSERT_EQ(choices.size(), 2u);
  const auto& lists = choices[0].at("logprobs");
  const auto& values = lists.at("token_logprobs").as_array();
  ASSERT_EQ(values.size(), 6u);  // the prompt's five and the one that was generated
  EXPECT_TRUE(values[0].is_null());
  EXPECT_TRUE(lists.at("top_logprobs").at(0).is_null());
  EXPECT_EQ(json::serialize(lists.at("text_offset")), "[0,1,2,3,3,3]");
  EXPECT_EQ(lists.at("tokens").at(2).as_string(), "bytes:\\xe4");
  EXPECT_EQ(choices[0].at("text").as_string(), "Hi你Y");
  // 105 % 5 == 0: the fake says that another token was likelier.
  const auto& top = lists.at("top_logprobs").at(1).as_object();
  EXPECT_TRUE(top.contains("i"));
  EXPECT_EQ(top.size(), 2u);
}

TEST(Server, JudgesWithoutGenerating) {
  Running running;
  const auto body =
      running.ask_json("/v1/completions",
                       R"({"model":"fake","prompt":"Hi","max_tokens":0,"logprobs":0,"echo":true})");
  const auto& choice = body.at("choices").at(0);
  EXPECT_EQ(choice.at("text").as_string(), "Hi");
  EXPECT_EQ(choice.at("logprobs").at("tokens").as_array().size(), 2u);
  EXPECT_EQ(body.at("usage").at("completion_tokens").as_int64(), 0);
}

TEST(Server, AnErrorInTheMiddleIsAnEvent) {
  Running running;
  const ProbeAnswer answer =
      running.ask(post("/v1/chat/completions", chat("!say Hello\n!error", R"("stream":true)")));
  const auto list = events(answer.body);
  ASSERT_GE(list.size(), 2u);
  EXPECT_NE(list[list.size() - 2].find("the fake was told to fail"), std::string::npos);
  EXPECT_EQ(running.ask(post("/v1/chat/completions", chat("!say Hello\n!error"))).status, 500);
}

TEST(Server, AClientThatGoesAwayFreesItsWork) {
  Running running;
  for (const char* more : {R"("stream":true)", R"("stream":false)"}) {
    Probe probe(running.port());
    probe.send(post("/v1/chat/completions", chat("!delay 5\n!endless", more)));
    const auto end = std::chrono::steady_clock::now() + 5s;
    while (running.client.stats().running == 0 && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(2ms);
    }
    EXPECT_EQ(running.client.stats().running, 1);
    probe.close();
    EXPECT_TRUE(running.idle_within(250ms)) << more;
  }
}

// The access log's lines, while this lives.
class LogLines {
 public:
  LogLines() : before_(spdlog::default_logger()) {
    auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(text_);
    sink->set_pattern("%v");
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("captured", sink));
  }
  // Once nothing is logged any more.
  ~LogLines() { spdlog::set_default_logger(before_); }
  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  std::shared_ptr<spdlog::logger> before_;
};

// The "N" of "… P + N tokens" in the last line.
int64_t tokens_in_log(const std::string& text) {
  const size_t plus = text.rfind(" + ");
  return plus == std::string::npos ? -1 : std::stoll(text.substr(plus + 3));
}

TEST(Server, CountsTheTokensOfAnAnswerThatNobodyWaitedFor) {
  for (const char* more :
       {R"("stream":true)", R"("stream":false)", R"("stream":true,"n":3)", R"("n":3)"}) {
    LogLines log_lines;
    Running running;
    log::set_level(log::level::info);
    Probe probe(running.port());
    probe.send(post("/v1/chat/completions", chat("!delay 1\n!endless", more)));
    while (running.client.stats().generated_tokens < 30) std::this_thread::sleep_for(2ms);
    probe.close();
    EXPECT_TRUE(running.idle_within(1s));
    running.server.reset();  // joins: the line is written
    const auto counted = tokens_in_log(log_lines.text());
    EXPECT_GE(counted, 30) << more << ": " << log_lines.text();
    EXPECT_LE(counted, int64_t(running.client.stats().generated_tokens)) << more;
  }
}

TEST(Server, CountsTheTokensOfAnAnswerThatFailed) {
  LogLines log_lines;
  Running running;
  log::set_level(log::level::info);
  running.ask(post("/v1/chat/completions", chat("!say Hello\n!error", R"("stream":true)")));
  running.server.reset();
  EXPECT_EQ(tokens_in_log(log_lines.text()), 5) << log_lines.text();
}

TEST(Server, KeepsASilentStreamAlive) {
  ServeOptions options;
  options.keep_alive_comment = 30ms;
  Running running(options);
  const ProbeAnswer answer =
      running.ask(post("/v1/chat/completions", chat("!say ab\n!delay 200", R"("stream":true)")));
  EXPECT_NE(answer.body.find(": keep-alive\n\n"), std::string::npos);
  EXPECT_EQ(events(answer.body).back(), "[DONE]");
}

TEST(Server, RefusesWhenTheEngineIsFull) {
  Running running({}, 4096, 1);
  Probe first(running.port());
  first.send(post("/v1/chat/completions", chat("!delay 5\n!endless", R"("stream":true)")));
  while (running.client.stats().running == 0) std::this_thread::sleep_for(2ms);
  const ProbeAnswer answer = running.ask(post("/v1/chat/completions", chat("x")));
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.header("Retry-After"), "1");
}

TEST(Server, DrainsGracefully) {
  Running running;
  Probe stream(running.port());
  stream.send(post("/v1/chat/completions", chat("!delay 20\n!say 0123456789", R"("stream":true)")));
  while (running.client.stats().running == 0) std::this_thread::sleep_for(2ms);
  running.server->drain();
  EXPECT_EQ(running.ask(get("/ready")).status, 503);
  EXPECT_EQ(running.ask(get("/health")).status, 200);
  const ProbeAnswer refused = running.ask(post("/v1/chat/completions", chat("x")));
  EXPECT_EQ(refused.status, 503);
  EXPECT_NE(refused.header("Retry-After"), "");
  const auto list = events(stream.answer().body);
  EXPECT_EQ(list.back(), "[DONE]");
  running.server->wait();
  EXPECT_TRUE(running.server->finished());
}

TEST(Server, TakesWorkForAWhileAfterItSaysThatItIsNotReady) {
  Running running({.drain_grace = 400ms});
  Probe kept(running.port());
  running.server->drain();
  EXPECT_EQ(running.ask(get("/ready")).status, 503);
  EXPECT_EQ(running.ask(post("/v1/chat/completions", chat("hello"))).status, 200);
  EXPECT_FALSE(running.server->finished());
  const auto end = std::chrono::steady_clock::now() + 5s;
  while (!running.server->finished() && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(10ms);
  EXPECT_TRUE(running.server->finished());
}

TEST(Server, TellsWhatFleetsAskFor) {
  Running plain({.api_keys = {"a-long-enough-key"}});
  for (const char* path : {"/v2/health/live", "/v2/health/ready"})
    EXPECT_EQ(plain.ask(get(path)).status, 200) << path;
  EXPECT_EQ(plain.ask(get("/metrics")).status, 401);
  Running fleet(
      {.api_keys = {"a-long-enough-key"}, .vllm_metric_names = true, .open_metrics = true});
  const std::string text = fleet.ask(get("/metrics")).body;
  EXPECT_NE(text.find("\nvllm:num_requests_running{model_name=\"fake\"} 0\n"), std::string::npos);
  EXPECT_EQ(fleet.ask(get("/v1/models")).status, 401);
}

TEST(Server, AnAnswerThatOutlastsTheDrainEndsWithAnError) {
  ServeOptions options;
  options.drain_timeout = 100ms;
  Running running(options);
  Probe stream(running.port()), whole(running.port());
  stream.send(post("/v1/chat/completions", chat("!delay 5\n!endless", R"("stream":true)")));
  whole.send(post("/v1/chat/completions", chat("!delay 5\n!endless")));
  while (running.client.stats().running < 2) std::this_thread::sleep_for(2ms);
  running.server->drain();
  const auto list = events(stream.answer().body);
  ASSERT_GE(list.size(), 2u);
  EXPECT_NE(list[list.size() - 2].find("shutting_down"), std::string::npos);
  EXPECT_EQ(list.back(), "[DONE]");
  EXPECT_EQ(whole.answer().status, 503);
  running.server->wait();
}

TEST(Server, StopsAtOnceWithWorkInProgress) {
  auto running = std::make_unique<Running>();
  Probe stream(running->port());
  stream.send(post("/v1/chat/completions", chat("!delay 20\n!endless", R"("stream":true)")));
  while (running->client.stats().running == 0) std::this_thread::sleep_for(2ms);
  const auto begin = std::chrono::steady_clock::now();
  running->server->stop();
  running->server->wait();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
  EXPECT_TRUE(stream.is_closed_within(1000));
}

TEST(Server, ManyStreamsAtOnce) {
  Running running;
  std::vector<std::unique_ptr<Probe>> probes;
  for (int i = 0; i < 64; ++i) {
    probes.push_back(std::make_unique<Probe>(running.port()));
    probes.back()->send(
        post("/v1/chat/completions",
             chat("!delay 1\n!say text number " + std::to_string(i), R"("stream":true)")));
  }
  for (int i = 0; i < 64; ++i) {
    std::string content;
    for (const std::string& event : events(probes[size_t(i)]->answer().body)) {
      if (event == "[DONE]") continue;
      const auto chunk = json::parse(event);
      const auto& delta = chunk.at("choices").at(0).at("delta").as_object();
      if (delta.contains("content")) content += delta.at("content").as_string();
    }
    EXPECT_EQ(content, "text number " + std::to_string(i));
  }
}

}  // namespace
}  // namespace xh::serve
