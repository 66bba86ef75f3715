#include "serve/connection.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/log.h"
#include "serve/api/generation.h"

namespace xh::serve {
namespace {

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
constexpr size_t kReadBytes = 16u << 10;
constexpr size_t kWriteSlice = 64u << 10;  // must get through within write_timeout
constexpr auto kLinger = std::chrono::seconds(2);
constexpr size_t kLingerBytes = 16u << 20;
constexpr int kClientGone = 499;  // in the log only

double seconds_since(Connection::Clock::time_point start) {
  return std::chrono::duration<double>(Connection::Clock::now() - start).count();
}

}  // namespace

Connection::~Connection() {
  service_.body_bytes -= reserved_body_;
}

void Connection::start() {
  asio::co_spawn(
      context_.io, [self = shared_from_this()] { return self->run(); }, asio::detached);
}

void Connection::close() {
  if (closed_) return;
  closed_ = true;
  transport_->close();
  space_.cancel();
  wake();
}

void Connection::cut_off() {
  cut_off_ = true;
  wake();
}

void Connection::wake() {
  woken_ = true;
  event_.cancel();
}

asio::awaitable<bool> Connection::wait(Clock::time_point deadline) {
  if (!woken_) {
    event_.expires_at(deadline);
    co_await event_.async_wait(kToken);
  }
  const bool was_woken = woken_;
  woken_ = false;
  co_return was_woken;
}

asio::awaitable<void> Connection::run() {
  auto self = shared_from_this();
  stall_.expires_after(service_.options.header_timeout);
  stall_.async_wait([self](ErrorCodeOf ec) {
    if (!ec) self->close();
  });
  const ErrorCodeOf failed = co_await transport_->handshake();
  stall_.cancel();
  if (!failed && !closed_) {
    asio::co_spawn(
        context_.io, [self] { return self->read_loop(); }, asio::detached);
    bool more = true;
    while (more && !closed_) {
      more = co_await serve_one();
      service_.body_bytes -= std::exchange(reserved_body_, 0);
    }
    if (!closed_) co_await transport_->finish();
  }
  close();
  on_end_();
}

// Reads ahead all the time, a bounded amount: this is also how a client's leaving is noticed.
asio::awaitable<void> Connection::read_loop() {
  auto self = shared_from_this();
  const auto buffer = std::make_unique<char[]>(kReadBytes);
  while (!closed_) {
    if (input_.size() >= service_.options.max_pipelined_bytes) {
      space_.expires_at(Clock::time_point::max());
      co_await space_.async_wait(kToken);
      continue;
    }
    const size_t n = co_await transport_->read_some(asio::buffer(buffer.get(), kReadBytes));
    input_.append(buffer.get(), n);
    if (n == 0) input_ended_ = true;
    wake();
    if (n == 0) break;
  }
}

asio::awaitable<bool> Connection::send(std::string bytes) {
  for (size_t at = 0; at < bytes.size() && !closed_; at += kWriteSlice) {
    stall_.expires_after(service_.options.write_timeout);
    stall_.async_wait([self = shared_from_this()](ErrorCodeOf ec) {
      if (ec) return;
      ++self->service_.metrics.timeouts;
      self->transport_->reset();
      self->close();
    });
    const size_t n = std::min(kWriteSlice, bytes.size() - at);
    const bool ok = co_await transport_->write(asio::buffer(bytes.data() + at, n));
    stall_.cancel();
    if (!ok) co_return false;
  }
  co_return !closed_;
}

asio::awaitable<bool> Connection::send_response(const HttpResponse& response) {
  if (response.status == 429 || response.status == 503) ++service_.metrics.refused_busy;
  std::string bytes = write_response(response, meta_);
  const bool ok = co_await send(std::move(bytes));
  co_return ok&& meta_.keep_alive;
}

// Answers an error that came up before the body was read; the connection cannot go on after it.
asio::awaitable<bool> Connection::refuse(const ApiError& error) {
  meta_.keep_alive = false;
  HttpResponse response = error_response(error);
  if (error.status == 401) {
    // The page is opened by a browser, which then asks for the key; programs send it themselves.
    const bool page = route_ && route_->path == "/";
    response.headers.emplace_back("WWW-Authenticate",
                                  page ? "Basic realm=\"xiaohu\", charset=\"UTF-8\"" : "Bearer");
  }
  co_await send_response(response);
  log_request(error.status, {});
  co_await linger();
  co_return false;
}

// Lets the client read our last words: closing with unread input would discard them.
asio::awaitable<void> Connection::linger() {
  if (closed_) co_return;
  co_await transport_->finish();
  const auto deadline = Clock::now() + kLinger;
  size_t discarded = 0;
  while (!closed_ && !input_ended_ && discarded < kLingerBytes && Clock::now() < deadline) {
    discarded += input_.size();
    input_.clear();
    space_.cancel();
    co_await wait(deadline);
  }
}

asio::awaitable<HttpReply> Connection::handle() {
  struct Job {
    std::optional<HttpReply> reply;
  };
  const auto run = [](const Route* route, HttpRequest& request, Service& service) -> HttpReply {
    try {
      return route->handle(request, service);
    } catch (const std::exception& problem) {  // the seam: libraries may throw, rooms do not
      log::error("{} {}: {}", request.method, route->path, problem.what());
      return error_response(ApiError(500, "Something went wrong inside the server."));
    }
  };
  if (!route_->heavy) co_return run(route_, request_, service_);
  auto job = std::make_shared<Job>();
  asio::post(context_.workers, [run, job, self = shared_from_this()]() mutable {
    auto reply = std::make_shared<HttpReply>(run(self->route_, self->request_, self->service_));
    asio::io_context& io = self->context_.io;
    // Handed over on the socket thread, which looks at the job whenever bytes arrive.
    asio::post(io, [job = std::move(job), reply = std::move(reply), self = std::move(self)] {
      job->reply = std::move(*reply);
      self->wake();
    });
  });
  while (!job->reply) co_await wait(Clock::time_point::max());
  co_return std::move(*job->reply);
}

asio::awaitable<bool> Connection::answer(HttpReply reply) {
  if (auto* stream = std::get_if<std::unique_ptr<Answer>>(&reply)) {
    co_return co_await answer_stream(**stream);
  }
  const auto& response = std::get<HttpResponse>(reply);
  const bool more = co_await send_response(response);
  log_request(response.status, {});
  co_return more;
}

asio::awaitable<bool> Connection::answer_stream(Answer& stream) {
  auto pending = std::make_shared<std::atomic<bool>>(false);
  stream.on_ready([pending, &io = context_.io, weak = weak_from_this()] {
    if (pending->exchange(true)) return;
    asio::post(io, [pending, weak] {
      pending->store(false);
      if (auto self = weak.lock()) self->wake();
    });
  });
  const bool events = stream.is_event_stream();
  if (events && meta_.http_minor == 0) meta_.keep_alive = false;
  std::string out = events ? write_stream_head(meta_) : std::string();
  auto last_sent = Clock::now();
  for (;;) {
    Answer::Step step = stream.advance();
    if (input_ended_ && !step.done) break;
    if (cut_off_ && !step.done) {
      co_await answer_cut_off(events, std::move(out));
      log_request(503, stream.notes());
      co_return false;
    }
    if (step.whole) {
      const bool more = co_await send_response(*step.whole);
      log_request(step.whole->status, stream.notes());
      co_return more;
    }
    if (events) {
      out += write_chunk(step.bytes, meta_);
      if (step.done) out += write_last_chunk(meta_);
      if (!out.empty()) {
        const bool ok = co_await send(std::exchange(out, {}));
        if (!ok) break;
        last_sent = Clock::now();
      }
    }
    if (step.done) {
      log_request(200, stream.notes());
      co_return meta_.keep_alive;
    }
    if (step.more) continue;
    const bool woken = co_await wait(last_sent + service_.options.keep_alive_comment);
    if (closed_) break;
    if (woken) continue;
    last_sent = Clock::now();
    if (events) out += write_chunk(": keep-alive\n\n", meta_);
  }
  ++service_.metrics.disconnects;
  log_request(kClientGone, stream.notes());
  co_return false;
}

// `out`: what of the event stream's head is not sent yet.
asio::awaitable<void> Connection::answer_cut_off(bool events, std::string out) {
  ApiError error(503, "The server is shutting down, and this answer took too long.", {},
                 "shutting_down");
  meta_.keep_alive = false;
  if (events) {
    std::string event;
    append_event(event, error_body(error));
    out += write_chunk(event + "data: [DONE]\n\n", meta_) + write_last_chunk(meta_);
    co_await send(std::move(out));
    co_return;
  }
  error.retry_after = 5;
  const HttpResponse response = error_response(error);
  co_await send_response(response);
}

asio::awaitable<bool> Connection::serve_one() {
  request_ = {};
  route_ = nullptr;
  meta_ = {};
  received_ = Clock::now();
  Parser parser;
  parser.header_limit(service_.options.max_header_bytes);
  parser.body_limit(service_.options.max_body_bytes);
  const bool have_header = co_await read_header(parser);
  waiting_ = false;
  if (!have_header) co_return false;
  if (auto error = check_header(parser)) {
    const bool more = co_await refuse(*error);
    co_return more;
  }
  parser.eager(true);
  if (!parser.is_done()) {
    const bool have_body = co_await read_body(parser);
    if (!have_body) co_return false;
  }
  request_.body = std::move(parser.get().body());
  received_ = Clock::now();
  HttpReply reply;
  if (route_) {
    reply = co_await handle();
  } else {  // a preflight that check_header allowed
    reply =
        HttpResponse{.status = 204,
                     .content_type = "",
                     .headers = {{"Access-Control-Allow-Methods", "GET, POST"},
                                 {"Access-Control-Allow-Headers", "authorization, content-type"},
                                 {"Access-Control-Max-Age", "600"}}};
  }
  request_.body = {};
  service_.body_bytes -= std::exchange(reserved_body_, 0);
  if (service_.draining) meta_.keep_alive = false;
  const bool more = co_await answer(std::move(reply));
  waiting_ = true;
  waiting_since_ = Clock::now();
  co_return more;
}

void Connection::log_request(int status, AnswerNotes notes) {
  const double seconds = seconds_since(received_);
  // Only routes of the table become labels: paths from outside would be without bound.
  const std::string_view route = route_ ? route_->path : std::string_view("other");
  service_.metrics.count_request(route, status);
  if (route_) service_.metrics.request_time.observe(seconds);
  // Probes come every few seconds; they are worth a line only to who looks for them.
  const bool probe = route_ && route_->open && status == 200;
  std::string line = fmt::format("{} {} {} {:.0f} ms", route_ ? route_->method : "-", route, status,
                                 seconds * 1e3);
  if (notes.prompt_tokens > 0) {
    line += fmt::format(" {} + {} tokens", notes.prompt_tokens, notes.completion_tokens);
  }
  if (!request_.tenant.empty()) line += " by " + request_.tenant;
  log::log(probe ? log::level::debug : log::level::info, "{} {}", line, request_.id);
}

}  // namespace xh::serve
