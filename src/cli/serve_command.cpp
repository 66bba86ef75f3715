// xiaohu serve: a model, an engine, and the HTTP server before it.
#include <fmt/core.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/log.h"
#include "cli/command.h"
#include "cli/model_option.h"
#include "cli/pin_option.h"
#include "engine/engine.h"
#include "hub/catalogue.h"
#include "hub/settings.h"
#include "serve/kv_events.h"
#include "serve/server.h"

namespace xh::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct ServeSettings {
  std::string model;
  LoadOptions load;
  EngineOptions engine;
  serve::ServeOptions serve;
  PinChoice pin;
  std::optional<uint64_t> kv_disk_bytes;  // none: from the free space
  uint64_t max_body_mb = 32;
  uint32_t drain_seconds = 30;
  double drain_grace = 0;
  std::string log_level = "info";
  std::string kv{kv_type_name(EngineOptions().kv_type)};
  std::string metrics_alias;
  std::string kv_events, kv_events_id;
  bool insecure_kv_events = false;
  bool no_speculation = false;
};

void add_listen_options(CLI::App& self, ServeSettings& s) {
  const char* const group = "Listening";
  self.add_option("--host", s.serve.host, "Address to listen on")
      ->capture_default_str()
      ->group(group);
  self.add_option("--port", s.serve.port, "Port; 0 takes any free one")
      ->check(CLI::Range(0, 65'535))
      ->capture_default_str()
      ->group(group);
  self.add_option("--api-key", s.serve.api_keys, "Key that clients must send; may be repeated")
      ->envname("XIAOHU_API_KEY")
      ->type_name("KEY")
      ->group(group);
  self.add_option("--keys-file", s.serve.keys_file,
                  "File with lines NAME SHA256 (printf %s KEY | sha256sum)")
      ->type_name("FILE")
      ->group(group);
  self.add_option("--tls-cert", s.serve.tls_cert, "Certificate chain (PEM); turns on TLS 1.3")
      ->type_name("FILE")
      ->group(group);
  self.add_option("--tls-key", s.serve.tls_key, "The certificate's private key (PEM)")
      ->type_name("FILE")
      ->group(group);
  self.add_flag("--insecure-http", s.serve.insecure_http,
                "Allow other machines without TLS, when a proxy in front provides it")
      ->group(group);
  self.add_option("--cors-origin", s.serve.cors_origins,
                  "Let pages of this origin use the API; may be repeated")
      ->type_name("ORIGIN")
      ->group(group);
  self.add_option("--allowed-host", s.serve.allowed_hosts,
                  "Name by which a proxy reaches a loopback server; may be repeated")
      ->type_name("NAME")
      ->group(group);
}

void add_engine_options(CLI::App& self, ServeSettings& s) {
  const char* const group = "Model";
  self.add_option("--name", s.load.model_name, "Name of the model for clients")->group(group);
  self.add_option("--threads", s.load.threads, "Threads (default: physical cores)")
      ->check(CLI::Range(0, 1024))
      ->group(group);
  self.add_option("--context", s.engine.context_length,
                  "Tokens a conversation may have (default: the model's)")
      ->check(CLI::Range(0, 1 << 24))
      ->type_name("N")
      ->group(group);
  self.add_option("--kv-budget", s.engine.kv_budget_bytes,
                  "Memory for keys and values, such as 4GiB (default: from free memory)")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("SIZE")
      ->group(group);
  self.add_option("--kv", s.kv, "Keys and values as f32, f16, q8 or q4")
      ->check(CLI::IsMember({"f32", "f16", "q8", "q4"}))
      ->capture_default_str()
      ->group(group);
  self.add_option("--kv-disk", s.engine.kv_disk_folder,
                  "Folder for keys and values of long prompts (default: in xiaohu's data folder)")
      ->type_name("FOLDER")
      ->group(group);
  self.add_option("--kv-disk-budget", s.kv_disk_bytes,
                  "Disk space for them, such as 20GiB; 0: none (default: a tenth of the free "
                  "space, at most 8GiB)")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("SIZE")
      ->group(group);
  self.add_option("--pin", s.pin.files,
                  "Text that is read at the start and stays in memory, for prompts that begin with "
                  "it; may be repeated. FILE.json: an array of token ids")
      ->type_name("FILE")
      ->group(group);
  self.add_option("--pin-as", s.pin.as,
                  "How prompts have it: as system message, at the beginning of the first user "
                  "message, or as plain text")
      ->check(CLI::IsMember({"system", "user", "text"}))
      ->capture_default_str()
      ->group(group);
  self.add_option("--max-sequences,--max-running", s.engine.max_sequences,
                  "Answers computed at once; more wait in the queue")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str()
      ->group(group);
  self.add_option("--max-waiting", s.engine.max_waiting, "Requests in the queue")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str()
      ->group(group);
  self.add_option("--stall-ms", s.engine.stall_ms,
                  "How long a new prompt may keep running answers waiting")
      ->check(CLI::Range(1.0, 60'000.0))
      ->capture_default_str()
      ->group(group);
  self.add_flag("--no-speculation", s.no_speculation,
                "Never guess repeated text ahead (guessing changes speed, not answers)")
      ->group(group);
  self.add_option("--chat-template", s.load.chat_template_file,
                  "Template file to use instead of the model's own")
      ->type_name("FILE")
      ->group(group);
  self.add_option("--backend", s.load.backend, "cpu or reference")
      ->check(CLI::IsMember({"cpu", "reference"}))
      ->capture_default_str()
      ->group(group);
}

void add_default_options(CLI::App& self, SamplingParams& s) {
  const char* const group = "Defaults, for requests that do not say";
  self.add_option("--temperature", s.temperature, "0 takes the likeliest token")
      ->check(CLI::Range(0.0, 2.0))
      ->capture_default_str()
      ->group(group);
  self.add_option("--top-k", s.top_k, "Choose among the K likeliest (0: off)")
      ->check(CLI::Range(0, kMaxTopK))
      ->group(group);
  self.add_option("--top-p", s.top_p, "Choose among the likeliest that add up to P")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str()
      ->group(group);
  self.add_option("--min-p", s.min_p, "Drop tokens less likely than this part of the likeliest")
      ->check(CLI::Range(0.0, 1.0))
      ->group(group);
  self.add_option("--repetition-penalty", s.repetition_penalty, "Above 1: repeat less")
      ->check(CLI::Range(0.01, 10.0))
      ->group(group);
}

void add_limit_options(CLI::App& self, ServeSettings& s) {
  const char* const group = "Limits";
  self.add_option("--max-connections", s.serve.max_connections, "Open connections")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str()
      ->group(group);
  self.add_option("--max-requests-per-key", s.serve.max_requests_per_key,
                  "Answers at once for one key; more are told to wait")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str()
      ->group(group);
  self.add_option("--max-body-mb", s.max_body_mb, "Megabytes a request may have")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str()
      ->group(group);
  self.add_option("--drain-seconds", s.drain_seconds,
                  "How long running answers may take after SIGTERM")
      ->check(CLI::Range(0, 86'400))
      ->capture_default_str()
      ->group(group);
  self.add_option("--drain-grace", s.drain_grace,
                  "Seconds after SIGTERM in which /ready says 503 and requests are still taken, so "
                  "that a proxy notices in time")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str()
      ->group(group);
  self.add_option("--log-level", s.log_level, "debug, info, warn, error or off")
      ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}))
      ->capture_default_str()
      ->group(group);
}

void add_fleet_options(CLI::App& self, ServeSettings& s) {
  const char* const group = "In a fleet (docs/scale.md)";
  self.add_option("--metrics-alias", s.metrics_alias,
                  "Also write the gauges that routers read under another server's names: vllm")
      ->check(CLI::IsMember({"vllm"}))
      ->group(group);
  self.add_flag("--open-metrics", s.serve.open_metrics, "/metrics needs no key")->group(group);
  self.add_option("--kv-events", s.kv_events,
                  "Tell ZeroMQ subscribers which prefixes are in memory: tcp://127.0.0.1:5557, "
                  "tcp://*:5557, or the router's address")
      ->type_name("ENDPOINT")
      ->group(group);
  self.add_option("--kv-events-id", s.kv_events_id,
                  "This server's name in events, as the router knows it (default: HOST:PORT)")
      ->type_name("HOST:PORT")
      ->group(group);
  self.add_flag("--insecure-kv-events", s.insecure_kv_events,
                "Let events, which hold all prompts unencrypted, leave this machine")
      ->group(group);
}

void set_up_log(const std::string& level) {
  auto logger = spdlog::get("xiaohu");
  if (!logger) logger = spdlog::stderr_color_mt("xiaohu");
  logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
  spdlog::set_default_logger(logger);
  spdlog::set_level(spdlog::level::from_str(level));
}

void print_ready(const serve::Server& server, const Engine& engine, const ServeSettings& s,
                 Clock::time_point begin) {
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const ClientInfo& info = engine.info();
  // The name stands inside JSON inside single quotes of a shell.
  std::string name = boost::json::serialize(boost::json::value(info.model_name));
  for (size_t at = 0; (at = name.find('\'', at)) != std::string::npos; at += 4) {
    name.replace(at, 1, "'\\''");
  }
  const bool keys = !s.serve.api_keys.empty() || !s.serve.keys_file.empty();
  fmt::print("Ready in {:.1f} s: {} with {} tokens of context.\n\n", seconds, info.model_name,
             info.context_length);
  fmt::print("  Page   {}/\n", server.url());
  fmt::print(
      "  API    curl {}/v1/chat/completions -H 'Content-Type: application/json'{} -d "
      "'{{\"model\": {}, \"messages\": [{{\"role\": \"user\", \"content\": \"Hello!\"}}]}}'"
      "\n\n",
      server.url(), keys ? " -H \"Authorization: Bearer $XIAOHU_API_KEY\"" : "", name);
  std::fflush(stdout);
}

// Until the server has ended: the first SIGINT or SIGTERM lets running answers finish, the second
// one does not.
void watch_signals(serve::Server& server, const sigset_t& signals) {
  const timespec tick{0, 50'000'000};
  int count = 0;
  while (!server.finished()) {
    if (sigtimedwait(&signals, nullptr, &tick) <= 0) continue;
    if (++count == 1) {
      log::info("shutting down: running answers may finish (again to end now)");
      server.drain();
    } else {
      server.stop();
    }
  }
}

// Clients address the model by the name that the user gave, or that its file has.
std::string client_name(const ServeSettings& settings) {
  if (!settings.load.model_name.empty()) return settings.load.model_name;
  if (settings.model.empty()) return hub::builtin_catalogue().default_name;
  const bool is_path = settings.model.find('/') != std::string::npos ||
                       settings.model.ends_with(".gguf") || std::filesystem::exists(settings.model);
  return is_path ? std::string() : settings.model;
}

// HOST:PORT as other machines reach it, as far as this one knows.
std::string server_address(const serve::ServeOptions& options, uint16_t port) {
  std::string host = options.host;
  if (host == "0.0.0.0" || host == "::" || host == "*") {
    char name[256] = {};
    if (::gethostname(name, sizeof name - 1) == 0) host = name;
  }
  return fmt::format("{}:{}", host, port);
}

// A folder per model, so that servers of different models do not meet; and a budget.
void choose_kv_disk(ServeSettings& s, const LoadedModel& loaded) {
  std::string& folder = s.engine.kv_disk_folder;
  if (folder.empty()) {
    const auto data = hub::data_folder(hub::process_environment());
    if (data.empty()) return;
    std::string name = loaded.info.model_name;
    for (char& c : name)
      if (c == '/' || c == '\\') c = '_';
    folder = (data / "kv" / ("model-" + name)).string();
  }
  constexpr uint64_t kMost = 8ull << 30;
  s.engine.kv_disk_bytes = s.kv_disk_bytes.value_or(kMost);
  if (s.kv_disk_bytes) return;
  // The folder may not be there yet: ask the nearest one that is.
  std::error_code error;
  auto at = std::filesystem::absolute(folder, error);
  while (!at.empty() && !std::filesystem::exists(at, error) && at != at.root_path())
    at = at.parent_path();
  const auto space = std::filesystem::space(at, error);
  if (!error) s.engine.kv_disk_bytes = std::min<uint64_t>(kMost, space.available / 10);
}

Result<void> run_serve(ServeSettings settings) {
  const auto begin = Clock::now();
  // Before any thread exists, so that every thread inherits it.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  std::signal(SIGPIPE, SIG_IGN);
  set_up_log(settings.log_level);

  XH_TRY_VOID(serve::Server::check(settings.serve));
  XH_TRY(const auto path, model_path(settings.model));
  // Loading can still be interrupted in the ordinary way by the time the threads are there.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  settings.load.model_name = client_name(settings);
  settings.load.max_batch_rows = settings.engine.max_batch_rows;
  XH_TRY(settings.engine.kv_type, kv_type_from_name(settings.kv));
  std::unique_ptr<serve::KvEventPublisher> events;  // outlives the engine, which it observes
  if (!settings.kv_events.empty()) {
    XH_TRY(events, serve::KvEventPublisher::open(settings.kv_events, settings.insecure_kv_events));
  }
  XH_TRY(LoadedModel loaded, load_model(path.string(), settings.load));
  settings.engine.prefix_observer = events.get();
  choose_kv_disk(settings, loaded);
  XH_TRY(settings.engine.pins, read_pins(settings.pin, loaded));
  XH_TRY(const auto engine, Engine::create(std::move(loaded), settings.engine));
  XH_TRY(const auto server, serve::Server::start(*engine, settings.serve));
  if (events) {
    std::string id = settings.kv_events_id;
    if (id.empty()) id = server_address(settings.serve, server->port());
    events->start(id, engine->info().model_name);
    log::info("events of the prefix cache: {}", events->endpoint());
  }
  print_ready(*server, *engine, settings, begin);
  watch_signals(*server, signals);
  return {};
}

}  // namespace

CommandBody set_up_serve(CLI::App& self) {
  auto settings = std::make_shared<ServeSettings>();
  add_model_option(self, settings->model);
  add_listen_options(self, *settings);
  add_engine_options(self, *settings);
  add_default_options(self, settings->serve.default_sampling);
  add_limit_options(self, *settings);
  add_fleet_options(self, *settings);
  return [settings]() -> Result<void> {
    settings->serve.vllm_metric_names = settings->metrics_alias == "vllm";
    settings->engine.speculation = !settings->no_speculation;
    settings->serve.max_body_bytes = settings->max_body_mb << 20;
    settings->serve.drain_grace =
        std::chrono::milliseconds(static_cast<int64_t>(settings->drain_grace * 1e3));
    settings->serve.drain_timeout = std::chrono::seconds(settings->drain_seconds);
    return run_serve(*settings);
  };
}

}  // namespace xh::cli
