// The first lines of an answer.
#pragma once

#include <string>

#include "serve/http.h"

namespace xh::serve {

// What the connection knows about the request that the answer's head depends on.
struct ReplyMeta {
  int http_minor = 1;  // HTTP/1.0 or 1.1
  bool keep_alive = true;
  bool is_head = false;      // HEAD: no body
  std::string allow_origin;  // CORS
  std::string request_id;
};

// Head and body of a complete answer.
std::string write_response(const HttpResponse& response, const ReplyMeta& meta);
// The head of an event stream; its body follows in chunks (HTTP/1.1) or up to the end of the
// connection (HTTP/1.0).
std::string write_stream_head(const ReplyMeta& meta);
// One chunk. Empty bytes give nothing: that would end the body.
std::string write_chunk(std::string_view bytes, const ReplyMeta& meta);
std::string write_last_chunk(const ReplyMeta& meta);

}  // namespace xh::serve
