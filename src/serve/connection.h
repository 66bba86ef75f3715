// One client's connection: reads requests, has them answered, writes the answers.
// Everything here runs on the socket thread; only handlers of heavy routes run on workers.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "serve/http.h"
#include "serve/response_head.h"
#include "serve/router.h"
#include "serve/service.h"
#include "serve/transport.h"

namespace xh::serve {

struct ConnectionContext {
  asio::io_context& io;
  asio::thread_pool& workers;
  Service& service;
  bool on_loopback = true;
  bool tls = false;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Clock = std::chrono::steady_clock;

  Connection(ConnectionContext context, std::unique_ptr<Transport> transport,
             std::function<void()> on_end)
      : context_(context),
        service_(context.service),
        transport_(std::move(transport)),
        event_(context.io),
        space_(context.io),
        stall_(context.io),
        on_end_(std::move(on_end)) {}
  ~Connection();

  void start();
  void close();
  // Ends the answer in progress with an error that says why, then closes.
  void cut_off();
  // Waiting for a request, or for the rest of its header: may be closed to make room.
  bool is_waiting() const { return waiting_; }
  Clock::time_point waiting_since() const { return waiting_since_; }

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  asio::awaitable<void> run();
  asio::awaitable<void> read_loop();

  // Waits for wake(), or until `deadline`; true when woken.
  asio::awaitable<bool> wait(Clock::time_point deadline);
  void wake();

  // False: the connection is at its end (an error was answered where one was due).
  asio::awaitable<bool> serve_one();
  asio::awaitable<bool> read_header(Parser& parser);
  asio::awaitable<bool> read_body(Parser& parser);
  std::optional<ApiError> check_header(const Parser& parser);
  std::optional<ApiError> check_framing(const Parser& parser) const;
  std::optional<ApiError> check_access();

  asio::awaitable<bool> answer(HttpReply reply);
  asio::awaitable<bool> answer_stream(Answer& stream);
  asio::awaitable<void> answer_cut_off(bool events, std::string out);
  asio::awaitable<HttpReply> handle();
  asio::awaitable<bool> send(std::string bytes);
  asio::awaitable<bool> send_response(const HttpResponse& response);
  asio::awaitable<bool> refuse(const ApiError& error);
  asio::awaitable<void> linger();
  void log_request(int status, AnswerNotes notes);

  ConnectionContext context_;
  Service& service_;
  std::unique_ptr<Transport> transport_;
  std::string input_;         // read and not yet parsed
  bool input_ended_ = false;  // the client writes no more
  bool closed_ = false;
  bool cut_off_ = false;
  asio::steady_timer event_;  // cancelled by wake()
  bool woken_ = false;
  asio::steady_timer space_;  // cancelled when input_ shrinks
  asio::steady_timer stall_;  // ends a write without progress
  std::function<void()> on_end_;
  bool waiting_ = true;
  Clock::time_point waiting_since_ = Clock::now();

  // The request being served.
  HttpRequest request_;
  const Route* route_ = nullptr;
  ReplyMeta meta_;
  uint64_t reserved_body_ = 0;
  Clock::time_point received_;
};

}  // namespace xh::serve
