#include "serve/server.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <thread>

#include "base/log.h"
#include "serve/connection.h"

namespace xh::serve {
namespace {

using tcp = asio::ip::tcp;
constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

// A numeric address, "localhost", or a name that stands for one.
Result<tcp::endpoint> resolve(asio::io_context& io, const ServeOptions& options) {
  std::string host = options.host;
  if (host == "localhost") host = "127.0.0.1";
  if (host == "*") host = "0.0.0.0";
  ErrorCodeOf ec;
  auto address = asio::ip::make_address(host, ec);
  if (ec) {
    tcp::resolver resolver(io);
    auto found = resolver.resolve(host, std::to_string(options.port), ec);
    if (ec || found.empty()) {
      return fail(ErrorCode::kInvalidArgument, "this address is not known: " + host, "--host");
    }
    address = found.begin()->endpoint().address();
  }
  return tcp::endpoint(address, options.port);
}

class HttpServer : public Server {
 public:
  HttpServer(Client& client, ServeOptions options, KeyRing keys)
      : service_(client, std::move(options), std::move(keys)),
        acceptor_(io_),
        workers_(std::max(1u, service_.options.workers)) {}

  ~HttpServer() override {
    stop();
    if (thread_.joinable()) thread_.join();
    workers_.join();
  }

  Result<void> listen() {
    XH_TRY(const tcp::endpoint endpoint, resolve(io_, service_.options));
    on_loopback_ = endpoint.address().is_loopback();
    XH_TRY_VOID(check_exposure(service_.options, service_.keys, endpoint.address().to_string(),
                               on_loopback_));
    if (!service_.options.tls_cert.empty()) {
      XH_TRY(tls_, make_tls_context(service_.options.tls_cert, service_.options.tls_key));
    }
    ErrorCodeOf ec;
    acceptor_.open(endpoint.protocol(), ec);
    if (!ec) acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
    if (!ec) acceptor_.bind(endpoint, ec);
    if (!ec) acceptor_.listen(1024, ec);
    if (ec) {
      return fail(ErrorCode::kIo, "cannot listen: " + ec.message(),
                  fmt::format("{}:{}", service_.options.host, service_.options.port),
                  ec == asio::error::address_in_use
                      ? "something else listens there; choose another --port"
                      : "check --host and --port");
    }
    port_ = acceptor_.local_endpoint(ec).port();
    asio::co_spawn(
        io_, [this] { return accept_loop(); }, asio::detached);
    thread_ = std::thread([this] { run(); });
    return {};
  }

  uint16_t port() const override { return port_; }

  std::string url() const override {
    std::string host = service_.options.host;
    if (host == "0.0.0.0" || host == "::" || host.empty()) host = "localhost";
    if (host.find(':') != std::string::npos) host = "[" + host + "]";
    return fmt::format("{}://{}:{}", tls_ ? "https" : "http", host, port_);
  }

  void drain() override {
    service_.draining = true;
    if (service_.options.drain_grace.count() == 0) service_.refusing = true;
    asio::post(io_, [this] {
      if (std::exchange(drain_begun_, true)) return;
      asio::co_spawn(
          io_, [this] { return drain_loop(); }, asio::detached);
    });
  }

  void stop() override {
    asio::post(io_, [this] { close_all(); });
  }

  bool finished() const override { return finished_; }
  void wait() override { finished_.wait(false); }

 private:
  void run() {
    for (;;) {
      try {
        io_.run();
        break;
      } catch (const std::exception& problem) {
        log::error("in the socket thread: {}", problem.what());
      }
    }
    finished_ = true;
    finished_.notify_all();
  }

  void close_all() {
    stopping_ = true;
    ErrorCodeOf ignored;
    acceptor_.close(ignored);
    for (auto& connection : connections_) connection->close();
  }

  // Makes room by closing whoever has waited longest without a request. False: all are at work.
  bool evict_one() {
    std::shared_ptr<Connection> oldest;
    for (auto& connection : connections_) {
      if (!connection->is_waiting()) continue;
      if (!oldest || connection->waiting_since() < oldest->waiting_since()) oldest = connection;
    }
    if (!oldest) return false;
    ++service_.metrics.connections_evicted;
    oldest->close();
    return true;
  }

  asio::awaitable<void> accept_loop() {
    asio::steady_timer pause(io_);
    while (!stopping_) {
      tcp::socket socket(io_);
      auto [ec] = co_await acceptor_.async_accept(socket, kToken);
      if (stopping_) break;
      if (ec) {  // out of file descriptors, most likely: it passes
        log::warn("cannot accept a connection: {}", ec.message());
        evict_one();
        pause.expires_after(std::chrono::milliseconds(50));
        co_await pause.async_wait(kToken);
        continue;
      }
      if (connections_.size() >= service_.options.max_connections && !evict_one()) {
        ++service_.metrics.connections_refused;
        turn_away(std::move(socket));
        continue;
      }
      admit(std::move(socket));
    }
  }

  void admit(tcp::socket socket) {
    ErrorCodeOf ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    socket.set_option(asio::socket_base::keep_alive(true), ignored);
    auto transport = tls_ ? make_tls_transport(std::move(socket), *tls_)
                          : make_plain_transport(std::move(socket));
    const ConnectionContext context{io_, workers_, service_, on_loopback_, tls_ != nullptr};
    auto place = connections_.emplace(connections_.end());
    ++service_.metrics.connections;
    *place = std::make_shared<Connection>(context, std::move(transport), [this, place] {
      --service_.metrics.connections;
      connections_.erase(place);
    });
    (*place)->start();
  }

  // Over the limit: one write that fits any socket buffer, then close. Under TLS just close.
  void turn_away(tcp::socket socket) {
    if (tls_) return;
    ApiError error(503, "Too many connections.", {}, "overloaded");
    error.retry_after = 1;
    const std::string bytes = write_response(error_response(error), {.keep_alive = false});
    ErrorCodeOf ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(bytes), ignored);
    socket.shutdown(tcp::socket::shutdown_send, ignored);
  }

  asio::awaitable<void> drain_loop() {
    asio::steady_timer tick(io_);
    const auto refuse_at = Connection::Clock::now() + service_.options.drain_grace;
    auto deadline = refuse_at + service_.options.drain_timeout;
    bool cut_off = false;
    for (;;) {
      if (Connection::Clock::now() >= deadline) {
        if (cut_off) break;
        cut_off = true;  // the answers end with an error, for which a moment must do
        deadline += std::chrono::seconds(1);
        for (auto& connection : connections_) connection->cut_off();
      }
      const bool busy = std::any_of(connections_.begin(), connections_.end(),
                                    [](const auto& c) { return !c->is_waiting(); });
      service_.refusing = service_.refusing || Connection::Clock::now() >= refuse_at;
      if (service_.refusing && !busy && service_.metrics.generations == 0) break;
      tick.expires_after(std::chrono::milliseconds(20));
      co_await tick.async_wait(kToken);
      if (stopping_) co_return;
    }
    close_all();
  }

  Service service_;
  asio::io_context io_{1};
  tcp::acceptor acceptor_;
  asio::thread_pool workers_;
  std::unique_ptr<asio::ssl::context> tls_;
  std::list<std::shared_ptr<Connection>> connections_;  // socket thread only
  bool on_loopback_ = true;
  bool stopping_ = false;     // socket thread only
  bool drain_begun_ = false;  // socket thread only
  uint16_t port_ = 0;
  std::thread thread_;
  std::atomic<bool> finished_{false};
};

}  // namespace

Result<void> Server::check(const ServeOptions& options) {
  XH_TRY(const KeyRing keys, KeyRing::load(options));
  asio::io_context io;
  XH_TRY(const tcp::endpoint endpoint, resolve(io, options));
  XH_TRY_VOID(check_exposure(options, keys, endpoint.address().to_string(),
                             endpoint.address().is_loopback()));
  if (!options.tls_cert.empty()) {
    XH_TRY_VOID(make_tls_context(options.tls_cert, options.tls_key));
  }
  return {};
}

Result<std::unique_ptr<Server>> Server::start(Client& client, ServeOptions options) {
  XH_TRY(KeyRing keys, KeyRing::load(options));
  auto server = std::make_unique<HttpServer>(client, std::move(options), std::move(keys));
  XH_TRY_VOID(server->listen());
  return server;
}

}  // namespace xh::serve
