// One or more token streams that together make one answer; the endpoints' subclasses give them
// their shape. Streams are polled, never waited for.
#pragma once

#include <boost/json.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "engine/client.h"
#include "serve/service.h"

namespace xh::serve {

class Generation : public Answer {
 public:
  bool is_event_stream() const final { return streaming_; }
  Step advance() final;
  void on_ready(std::function<void()> callback) final;
  AnswerNotes notes() final;

 protected:
  Generation(Service& service, std::unique_ptr<Service::Ticket> ticket, bool streaming,
             bool include_usage)
      : service_(service),
        streaming_(streaming),
        include_usage_(include_usage),
        ticket_(std::move(ticket)) {}

  // Starts one stream; its events come to take() with the number of the call, from 0.
  ApiResult<void> submit(GenerateRequest request);

  // While streaming, what these append to `out` is sent.
  virtual void begin(std::string& out) = 0;
  virtual void take(size_t stream, StreamEvent& event, std::string& out) = 0;
  // The complete body when not streaming.
  virtual boost::json::object whole() = 0;
  // The last chunk when streaming with include_usage, without its usage.
  virtual boost::json::object empty_chunk() = 0;

  boost::json::object usage_object() const;
  const Tokenizer& tokenizer() const { return service_.client.tokenizer(); }

  Service& service_;
  const bool streaming_;
  const bool include_usage_;
  int64_t prompt_tokens_ = 0;  // subclasses count each prompt once, whatever n is
  bool hides_output_ = false;  // what is generated is not shown, nor counted as shown

 private:
  using Clock = std::chrono::steady_clock;
  void pump(size_t index, Step& step);
  void fail(Step& step, const ApiError& error);
  void note_time(size_t index);

  struct Stream {
    std::unique_ptr<TokenStream> tokens;  // null once finished
    Clock::time_point last{};
    Usage usage;  // so far
  };
  static void leave(Stream& stream);
  int64_t completion_tokens() const;
  std::unique_ptr<Service::Ticket> ticket_;
  std::vector<Stream> streams_;
  size_t open_ = 0;
  bool begun_ = false;
  Clock::time_point started_ = Clock::now();
};

// Appends "data: …\n\n".
void append_event(std::string& out, const boost::json::object& data);

const char* finish_reason_name(FinishReason reason);

// "chatcmpl-" and 24 random letters.
std::string make_id(std::string_view prefix);

int64_t unix_now();

}  // namespace xh::serve
