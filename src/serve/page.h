// The web page, embedded in the program: what `web/` was bundled into, looked up by request path.
#pragma once

#include <span>
#include <string_view>

namespace xh {

// One file of the page. All views point into the program's read-only data and live as long as it
// does.
struct PageFile {
  std::string_view path;          // as requested, "/app.js"; the page itself is "/"
  std::string_view content_type;  // ready for the header, with charset where there is one
  std::string_view etag;  // quoted, from the content's SHA-256; a client with the same one gets 304
  std::span<const unsigned char> bytes;
  std::span<const unsigned char>
      gzip;  // the same content as a gzip member; empty where that saves little
};

// The file for a request's path (without query), or nullptr. Matching is exact: nothing but the
// list is served.
const PageFile* find_page_file(std::string_view path);

// Every file, ordered by path.
std::span<const PageFile> page_files();

// The Content-Security-Policy that the page is made for. Send it with every page file, together
// with `X-Content-Type-Options: nosniff`, `Referrer-Policy: no-referrer` and `Cache-Control:
// no-cache`.
std::string_view page_security_policy();

}  // namespace xh
