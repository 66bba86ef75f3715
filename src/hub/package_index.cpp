// A Python package index: GET INDEX/PACKAGE/ lists links to files, as JSON (PEP 691) or HTML (PEP
// 503).
#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>

#include "hub/json_fields.h"
#include "hub/remote.h"
#include "hub/safe_name.h"

namespace xh::hub {
namespace {

constexpr size_t kMaxIndexBytes = 64 << 20;
constexpr const char* kAccept =
    "Accept: application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, "
    "text/html;q=0.1";

// Only what an href of such a page can hold.
std::string without_entities(std::string text) {
  for (const auto& [entity, plain] : {std::pair<std::string_view, char>{"&amp;", '&'},
                                      {"&#43;", '+'},
                                      {"&#x2B;", '+'},
                                      {"&quot;", '"'}}) {
    for (size_t at = 0; (at = text.find(entity, at)) != std::string::npos; ++at)
      text.replace(at, entity.size(), 1, plain);
  }
  return text;
}

// sha256 from "#sha256=…", file name from the last part of the path.
IndexLink link_from(const std::string& address) {
  IndexLink out;
  const size_t fragment = address.find('#');
  out.url = address.substr(0, fragment);
  if (fragment != std::string::npos && address.compare(fragment + 1, 7, "sha256=") == 0)
    out.sha256 = lower_case(address.substr(fragment + 8, 64));
  const std::string path = out.url.substr(0, out.url.find('?'));
  out.file = url_decode(std::string(base_name(path)));
  return out;
}

std::vector<IndexLink> parse_html(std::string_view body, const std::string& base) {
  std::vector<IndexLink> out;
  const std::string lower = lower_case(body);
  for (size_t at = 0; (at = lower.find("<a", at)) != std::string::npos;) {
    const size_t end = lower.find('>', at);
    if (end == std::string::npos) break;
    const size_t href = lower.find("href=", at);
    at += 2;
    if (href == std::string::npos || href > end || href + 6 >= body.size()) continue;
    const char quote = body[href + 5];
    if (quote != '"' && quote != '\'') continue;
    const size_t close = body.find(quote, href + 6);
    if (close == std::string::npos) break;
    const std::string address =
        resolve_url(base, without_entities(std::string(body.substr(href + 6, close - href - 6))));
    if (!address.empty()) out.push_back(link_from(address));
    at = close;
  }
  return out;
}

Result<std::vector<IndexLink>> parse_index_json(std::string_view body, const std::string& base) {
  XH_TRY(const auto root, parse_json_object(body, printable_url(base)));
  std::vector<IndexLink> out;
  const auto* files = array_field(root, "files");
  if (files == nullptr) return fail(ErrorCode::kCorrupt, "lists no files", printable_url(base));
  for (const auto& value : *files) {
    const auto* object = value.if_object();
    if (object == nullptr) continue;
    IndexLink link{string_field(*object, "filename"),
                   resolve_url(base, string_field(*object, "url")),
                   {},
                   size_field(*object, "size")};
    if (const auto* hashes = object_field(*object, "hashes"))
      link.sha256 = lower_case(string_field(*hashes, "sha256"));
    if (!link.url.empty()) out.push_back(std::move(link));
  }
  return out;
}

// NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl
bool is_wheel_of(const std::string& file, const Source& source) {
  if (!file.ends_with(".whl")) return false;
  const size_t first = file.find('-'), second = file.find('-', first + 1);
  if (first == std::string::npos || second == std::string::npos) return false;
  return normal_package_name(file.substr(0, first)) == normal_package_name(source.package) &&
         lower_case(file.substr(first + 1, second - first - 1)) == lower_case(source.version);
}

}  // namespace

std::string normal_package_name(std::string_view name) {
  std::string out;
  for (const char c : lower_case(name)) {
    const bool separator = c == '-' || c == '_' || c == '.';
    if (separator && !out.empty() && out.back() == '-') continue;
    out += separator ? '-' : c;
  }
  return out;
}

Result<std::vector<IndexLink>> parse_simple_index(std::string_view body,
                                                  const std::string& content_type,
                                                  const std::string& url) {
  if (content_type.find("json") != std::string::npos) return parse_index_json(body, url);
  return parse_html(body, url);
}

Result<RemoteFile> package_index_wheel(const Settings& settings, const Source& source,
                                       const StoppedFn& stopped) {
  HttpRequest request;
  request.url = settings.pypi_index + "/" + normal_package_name(source.package) + "/";
  request.headers = {kAccept};
  request.ca_file = settings.pypi_ca_file.empty() ? settings.ca_file : settings.pypi_ca_file;
  request.denied_help = "The package index asks for credentials; put them into pip's index-url.";
  request.missing_help =
      "This index does not have the package; name another with XIAOHU_PYPI_INDEX.";
  XH_TRY(const HttpText answer, http_get(request, settings.retry, kMaxIndexBytes, stopped));
  XH_TRY(const auto links,
         parse_simple_index(answer.body, answer.head.content_type, answer.head.url));

  const IndexLink* best = nullptr;
  for (const auto& link : links) {
    if (!is_wheel_of(link.file, source)) continue;
    if (best == nullptr || link.file.ends_with("-py3-none-any.whl")) best = &link;
  }
  const std::string where = fmt::format("{}=={}", source.package, source.version);
  if (best == nullptr)
    return fail(ErrorCode::kNotFound, "the index has no wheel of this version", where,
                "Check package and version.");
  if (!is_safe_component(best->file))
    return fail(ErrorCode::kCorrupt, "the wheel's name cannot be used", where);
  if (!best->sha256.empty() && !is_sha256_hex(best->sha256))
    return fail(ErrorCode::kCorrupt, "the index states a SHA-256 that is none", where);
  request.url = best->url;
  request.headers.clear();
  return RemoteFile{best->file, best->bytes, best->sha256, std::move(request)};
}

}  // namespace xh::hub
