#include "serve/transport.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace xh::serve {
namespace {

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
using tcp = asio::ip::tcp;

void drop(tcp::socket& socket) {
  ErrorCodeOf ignored;
  socket.set_option(asio::socket_base::linger(true, 0), ignored);
  socket.close(ignored);
}

class PlainTransport : public Transport {
 public:
  explicit PlainTransport(tcp::socket socket) : socket_(std::move(socket)) {}

  asio::awaitable<ErrorCodeOf> handshake() override { co_return ErrorCodeOf(); }

  asio::awaitable<size_t> read_some(asio::mutable_buffer into) override {
    auto [ec, n] = co_await socket_.async_read_some(into, kToken);
    co_return ec ? 0 : n;
  }

  asio::awaitable<bool> write(asio::const_buffer bytes) override {
    auto [ec, n] = co_await asio::async_write(socket_, bytes, kToken);
    co_return !ec;
  }

  asio::awaitable<void> finish() override {
    ErrorCodeOf ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    co_return;
  }

  void close() override {
    ErrorCodeOf ignored;
    socket_.close(ignored);
  }

  void reset() override { drop(socket_); }

 private:
  tcp::socket socket_;
};

class TlsTransport : public Transport {
 public:
  TlsTransport(tcp::socket socket, asio::ssl::context& context)
      : stream_(std::move(socket), context) {}

  asio::awaitable<ErrorCodeOf> handshake() override {
    auto [ec] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kToken);
    co_return ec;
  }

  asio::awaitable<size_t> read_some(asio::mutable_buffer into) override {
    auto [ec, n] = co_await stream_.async_read_some(into, kToken);
    co_return ec ? 0 : n;
  }

  asio::awaitable<bool> write(asio::const_buffer bytes) override {
    auto [ec, n] = co_await asio::async_write(stream_, bytes, kToken);
    co_return !ec;
  }

  // Only our half: waiting for the peer's would be one more way to keep us busy.
  asio::awaitable<void> finish() override {
    ::SSL_shutdown(stream_.native_handle());
    ErrorCodeOf ignored;
    stream_.next_layer().shutdown(tcp::socket::shutdown_send, ignored);
    co_return;
  }

  void close() override {
    ErrorCodeOf ignored;
    stream_.next_layer().close(ignored);
  }

  void reset() override { drop(stream_.next_layer()); }

 private:
  asio::ssl::stream<tcp::socket> stream_;
};

}  // namespace

std::unique_ptr<Transport> make_plain_transport(tcp::socket socket) {
  return std::make_unique<PlainTransport>(std::move(socket));
}

std::unique_ptr<Transport> make_tls_transport(tcp::socket socket, asio::ssl::context& context) {
  return std::make_unique<TlsTransport>(std::move(socket), context);
}

Result<std::unique_ptr<asio::ssl::context>> make_tls_context(const std::string& certificate,
                                                             const std::string& key) {
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_3_VERSION);
  ErrorCodeOf ec;
  context->use_certificate_chain_file(certificate, ec);
  if (ec) {
    return fail(ErrorCode::kInvalidArgument, "cannot use the TLS certificate: " + ec.message(),
                certificate, "a PEM file with the certificate first, then its chain");
  }
  context->use_private_key_file(key, asio::ssl::context::pem, ec);
  if (ec) {
    return fail(ErrorCode::kInvalidArgument, "cannot use the TLS key: " + ec.message(), key,
                "a PEM file with the certificate's private key, without a password");
  }
  return context;
}

}  // namespace xh::serve
