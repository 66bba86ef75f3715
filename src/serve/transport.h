// A connected socket, plain or under TLS, for coroutines of the socket thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "base/result.h"

namespace xh::serve {

namespace asio = boost::asio;
using ErrorCodeOf = boost::system::error_code;

class Transport {
 public:
  virtual ~Transport() = default;
  virtual asio::awaitable<ErrorCodeOf> handshake() = 0;
  // The bytes read; 0 at the end of the stream or on an error.
  virtual asio::awaitable<size_t> read_some(asio::mutable_buffer into) = 0;
  virtual asio::awaitable<bool> write(asio::const_buffer bytes) = 0;
  // Says that no more will be written.
  virtual asio::awaitable<void> finish() = 0;
  // Ends reads and writes in progress. Any number of times.
  virtual void close() = 0;
  // The same, and throws away what the peer has not taken yet.
  virtual void reset() = 0;
};

std::unique_ptr<Transport> make_plain_transport(asio::ip::tcp::socket socket);
std::unique_ptr<Transport> make_tls_transport(asio::ip::tcp::socket socket,
                                              asio::ssl::context& context);

// TLS 1.3 with the certificate chain and key of two PEM files.
Result<std::unique_ptr<asio::ssl::context>> make_tls_context(const std::string& certificate,
                                                             const std::string& key);

}  // namespace xh::serve
