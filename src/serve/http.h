// A request as handlers see it, and what they may answer. No sockets here.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace xh::serve {

struct HttpRequest {
  std::string method;
  std::string path;      // percent-decoded, without query
  std::string argument;  // what the open end of the route's path matched
  std::string host, origin, authorization, content_type, if_none_match, accept_encoding;
  std::string body;
  std::string tenant;  // name of the key that was used; empty without keys
  std::string id;      // also sent back as x-request-id
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

// What an answer did, for the access log.
struct AnswerNotes {
  int64_t prompt_tokens = 0, completion_tokens = 0;
};

// An answer that comes about over time. Owned by the connection; destroying it cancels the work.
// All members are called from the connection's thread.
class Answer {
 public:
  struct Step {
    std::optional<HttpResponse> whole;  // the answer is this and nothing else
    std::string bytes;                  // more of the event stream
    bool done = false;
    bool more = false;  // call again without waiting
  };
  virtual ~Answer() = default;
  virtual bool is_event_stream() const = 0;
  virtual Step advance() = 0;
  // `callback` may come from any thread, also at once.
  virtual void on_ready(std::function<void()> callback) = 0;
  // When the answer has ended, or nobody wants the rest of it: advance() is not called again.
  virtual AnswerNotes notes() { return {}; }
};

using HttpReply = std::variant<HttpResponse, std::unique_ptr<Answer>>;

}  // namespace xh::serve
