// A raw HTTP client for tests: sends bytes as they are, reads until an answer is complete.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <string>

namespace xh::testing {

struct ProbeAnswer {
  int status = 0;
  std::string head, body;  // body with chunking undone

  std::string header(const std::string& name) const {
    const size_t at = head.find("\r\n" + name + ": ");
    if (at == std::string::npos) return {};
    const size_t begin = at + name.size() + 4;
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
};

class Probe {
 public:
  explicit Probe(uint16_t port, int receive_buffer = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Probe() { close(); }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  bool connected() const { return connected_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void half_close() { ::shutdown(fd_, SHUT_WR); }

  bool send(const std::string& bytes) {
    size_t at = 0;
    while (at < bytes.size()) {
      const ssize_t n = ::send(fd_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (n <= 0) return false;
      at += size_t(n);
    }
    return true;
  }

  // More bytes into buffer(); false at the end of the stream or after `ms` of silence.
  bool receive(int ms = 5000) {
    pollfd poll_fd{fd_, POLLIN, 0};
    if (::poll(&poll_fd, 1, ms) <= 0) return false;
    char bytes[65536];
    const ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
    if (n <= 0) {
      ended_ = true;
      return false;
    }
    buffer_.append(bytes, size_t(n));
    return true;
  }
  bool ended() const { return ended_; }
  std::string& buffer() { return buffer_; }

  // True when the server closed the connection within `ms`.
  bool is_closed_within(int ms) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
    while (!ended_ && std::chrono::steady_clock::now() < end) receive(20);
    return ended_;
  }

  // True when the server broke the connection off within `ms`; reads nothing.
  bool is_reset_within(int ms) {
    pollfd poll_fd{fd_, 0, 0};  // POLLERR and POLLHUP come unasked
    return ::poll(&poll_fd, 1, ms) > 0;
  }

  // The next complete answer; status 0 when none came.
  ProbeAnswer answer(int ms = 5000, bool head_only = false) {
    ProbeAnswer out;
    size_t end;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!receive(ms)) return out;
    }
    out.head = buffer_.substr(0, end + 2);
    buffer_.erase(0, end + 4);
    out.status = std::stoi(out.head.substr(9, 3));
    if (head_only || out.status == 204 || out.status == 304) return out;
    if (out.header("Transfer-Encoding") == "chunked") {
      while (read_chunk(out.body, ms)) {
      }
    } else if (const std::string length = out.header("Content-Length"); !length.empty()) {
      const size_t n = std::stoul(length);
      while (buffer_.size() < n && receive(ms)) {
      }
      out.body = buffer_.substr(0, n);
      buffer_.erase(0, n);
    } else {
      while (receive(ms)) {
      }
      out.body = std::exchange(buffer_, {});
    }
    return out;
  }

  // One chunk's bytes appended to `out`; false at the last one.
  bool read_chunk(std::string& out, int ms = 5000) {
    size_t end;
    while ((end = buffer_.find("\r\n")) == std::string::npos) {
      if (!receive(ms)) return false;
    }
    const size_t n = std::stoul(buffer_.substr(0, end), nullptr, 16);
    while (buffer_.size() < end + 2 + n + 2) {
      if (!receive(ms)) return false;
    }
    out += buffer_.substr(end + 2, n);
    buffer_.erase(0, end + 2 + n + 2);
    return n > 0;
  }

 private:
  int fd_ = -1;
  bool connected_ = false, ended_ = false;
  std::string buffer_;
};

inline std::string get(const std::string& path, const std::string& more = {}) {
  return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n";
}

inline std::string post(const std::string& path, const std::string& body,
                        const std::string& more = {}) {
  return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
         "Content-Length: " + std::to_string(body.size()) + "\r\n" + more + "\r\n" + body;
}

}  // namespace xh::testing
