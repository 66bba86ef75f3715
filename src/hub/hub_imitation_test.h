// A hub on loopback for tests: HTTP/1.1, one answer per connection, able to misbehave on purpose.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "hub/digest.h"
#include "hub/safe_name.h"
#include "hub/settings.h"

namespace xh::hub {

struct TestRequest {
  std::string target;                          // path and query
  std::map<std::string, std::string> headers;  // names in lower case

  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

struct TestAnswer {
  int status = 200;
  std::vector<std::string> headers;
  std::string body;
  size_t cut_after = SIZE_MAX;  // close the connection after so many bytes of the body
};

class HubImitation {
 public:
  using Handler = std::function<TestAnswer(const TestRequest&)>;

  explicit HubImitation(Handler handler)
      : handler_(std::move(handler)), listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        listen(listener_, 16) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0)
      std::abort();
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }

  ~HubImitation() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  std::vector<TestRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void serve() {
    for (;;) {
      const int connection = accept(listener_, nullptr, nullptr);
      if (connection < 0) return;
      answer(connection);
      close(connection);
    }
  }

  void answer(int connection) {
    std::string text;
    char buffer[4096];
    while (text.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = recv(connection, buffer, sizeof buffer, 0);
      if (got <= 0) return;
      text.append(buffer, static_cast<size_t>(got));
    }
    const TestRequest request = parse(text);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    const TestAnswer answer = handler_(request);
    std::string head =
        "HTTP/1.1 " + std::to_string(answer.status) +
        " X\r\nConnection: close\r\nContent-Length: " + std::to_string(answer.body.size()) + "\r\n";
    for (const auto& header : answer.headers) head += header + "\r\n";
    send_all(connection,
             head + "\r\n" + answer.body.substr(0, std::min(answer.cut_after, answer.body.size())));
    shutdown(connection, SHUT_WR);
    while (recv(connection, buffer, sizeof buffer, 0) > 0) {
    }
  }

  static TestRequest parse(const std::string& text) {
    TestRequest out;
    const size_t first = text.find(' ');
    out.target = text.substr(first + 1, text.find(' ', first + 1) - first - 1);
    for (size_t at = text.find("\r\n") + 2; at < text.size() && text[at] != '\r';) {
      const size_t end = text.find("\r\n", at), colon = text.find(": ", at);
      if (colon < end)
        out.headers[lower_case(text.substr(at, colon - at))] =
            text.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
    return out;
  }

  static void send_all(int connection, std::string_view data) {
    while (!data.empty()) {
      const ssize_t put = send(connection, data.data(), data.size(), MSG_NOSIGNAL);
      if (put <= 0) return;
      data.remove_prefix(static_cast<size_t>(put));
    }
  }

  Handler handler_;
  int listener_;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<TestRequest> requests_;
  std::thread thread_;
};

// The file as an honest server gives it: ranges, and If-Range against the ETag.
inline TestAnswer file_answer(const TestRequest& request, const std::string& content,
                              const std::string& etag = "\"v1\"") {
  TestAnswer out;
  out.headers.push_back("ETag: " + etag);
  const std::string range = request.header("range"), condition = request.header("if-range");
  if (range.starts_with("bytes=") && (condition.empty() || condition == etag)) {
    const size_t from = std::stoul(range.substr(6));
    if (from >= content.size()) {
      out.status = 416;
      return out;
    }
    out.status = 206;
    out.body = content.substr(from);
    out.headers.push_back("Content-Range: bytes " + std::to_string(from) + "-" +
                          std::to_string(content.size() - 1) + "/" +
                          std::to_string(content.size()));
    return out;
  }
  out.body = content;
  return out;
}

inline std::string sha256_of(const std::string& content) {
  Sha256 sha;
  sha.update(std::as_bytes(std::span(content.data(), content.size())));
  return sha.finish();
}

// Bytes that begin as a GGUF does and repeat nowhere.
inline std::string model_bytes(size_t size, uint32_t seed = 1) {
  std::string out = "GGUF";
  for (uint32_t x = seed; out.size() < size;) {
    x = x * 1664525u + 1013904223u;
    out += static_cast<char>(x >> 24);
  }
  return out;
}

// A folder that goes away with the test.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "xh_hub_XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code code;
    std::filesystem::remove_all(path_, code);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline RetryPolicy hasty() {
  RetryPolicy policy;
  policy.attempts = 4;
  policy.attempts_unreached = 2;
  policy.first_wait = policy.longest_wait = std::chrono::milliseconds(1);
  policy.connect_timeout = policy.stall_timeout = std::chrono::seconds(5);
  return policy;
}

}  // namespace xh::hub
