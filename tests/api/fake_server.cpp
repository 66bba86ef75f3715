// The server with the pretended engine: xh_fake_server [--host A] [--port N] [--api-key KEY]
// [--tls-cert F
// --tls-key F] [--context N] [--max-connections N] [--header-timeout-ms N] [--cors-origin O].
// Prints its address on the first line; ends after SIGTERM's drain.
#include <csignal>
#include <cstdio>
#include <map>
#include <string>

#include "serve/server.h"
#include "tests/api/fake_client.h"

int main(int argc, char** argv) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  std::map<std::string, std::string> given;
  for (int i = 1; i + 1 < argc; i += 2) given[argv[i]] = argv[i + 1];
  const auto number = [&](const char* name, int fallback) {
    return given.contains(name) ? std::stoi(given[name]) : fallback;
  };
  xh::serve::ServeOptions options;
  options.port = static_cast<uint16_t>(number("--port", 0));
  if (given.contains("--api-key")) options.api_keys = {given["--api-key"]};
  if (given.contains("--cors-origin")) options.cors_origins = {given["--cors-origin"]};
  if (given.contains("--host")) options.host = given["--host"];
  options.tls_cert = given["--tls-cert"];
  options.tls_key = given["--tls-key"];
  options.max_connections = static_cast<uint32_t>(number("--max-connections", 1024));
  options.header_timeout = std::chrono::milliseconds(number("--header-timeout-ms", 10'000));

  xh::testing::FakeClient client(number("--context", 4096));
  auto server = xh::serve::Server::start(client, options);
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().to_string().c_str());
    return 1;
  }
  std::printf("%s\n", (*server)->url().c_str());
  std::fflush(stdout);
  const timespec tick{0, 50'000'000};
  int count = 0;
  while (!(*server)->finished()) {
    if (sigtimedwait(&signals, nullptr, &tick) <= 0) continue;
    if (++count == 1) (*server)->drain();
    if (count == 2) (*server)->stop();
  }
  return 0;
}
