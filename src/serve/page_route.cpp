#include "serve/page_route.h"

#include "serve/api_error.h"
#ifdef XH_HAS_PAGE
#include "serve/page.h"
#endif

namespace xh::serve {

#ifdef XH_HAS_PAGE

namespace {

std::string copy(std::span<const unsigned char> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

bool page_has(std::string_view path) {
  return find_page_file(path) != nullptr;
}

HttpReply page_file(HttpRequest& request, Service&) {
  const PageFile* file = find_page_file(request.path);
  if (!file) return error_response(ApiError(404, "There is nothing here."));
  HttpResponse response;
  response.headers = {{"ETag", std::string(file->etag)},
                      {"Cache-Control", "no-cache"},
                      {"Content-Security-Policy", std::string(page_security_policy())},
                      {"Vary", "Accept-Encoding"}};
  if (request.if_none_match == file->etag) {
    response.status = 304;
    response.content_type.clear();
    return response;
  }
  response.content_type = file->content_type;
  if (!file->gzip.empty() && request.accept_encoding.find("gzip") != std::string::npos) {
    response.headers.emplace_back("Content-Encoding", "gzip");
    response.body = copy(file->gzip);
  } else {
    response.body = copy(file->bytes);
  }
  return response;
}

#else

bool page_has(std::string_view) {
  return false;
}

HttpReply page_file(HttpRequest&, Service&) {
  return error_response(ApiError(404, "This build has no page."));
}

#endif

}  // namespace xh::serve
