// Hugging Face, and mirrors that speak its protocol:
//   GET /api/models/OWNER/REPO/tree/REVISION?recursive=1
//   [{"type","path","size","lfs":{"oid","size"}}], paged by Link GET
//   /OWNER/REPO/resolve/REVISION/PATH                   the bytes, mostly by redirect
#include <boost/json.hpp>

#include "hub/json_fields.h"
#include "hub/remote.h"
#include "hub/safe_name.h"

namespace xh::hub {
namespace {

constexpr size_t kMaxPageBytes = 16 << 20;
constexpr int kMaxPages = 50;

// <https://…/api/models/…?cursor=…>; rel="next"
std::string next_page(const std::string& link) {
  const size_t rel = link.find("rel=\"next\"");
  const size_t open = link.rfind('<', rel), close = link.find('>', open);
  if (rel == std::string::npos || open == std::string::npos || close == std::string::npos ||
      close > rel)
    return {};
  return link.substr(open + 1, close - open - 1);
}

// A mirror may hand on the original's links; only path and query count, the host stays ours.
std::string on_our_host(const std::string& endpoint, const std::string& link) {
  const size_t api = link.find("/api/models/");
  return api == std::string::npos ? std::string() : endpoint + link.substr(api);
}

HttpRequest request_for(const Settings& settings, const Source& source, std::string url) {
  HttpRequest request;
  request.url = std::move(url);
  request.bearer = settings.hf_token;
  request.ca_file = settings.ca_file;
  const std::string page = printable_url(settings.hf_endpoint + "/" + source.repo);
  request.denied_help =
      settings.hf_token.empty()
          ? "The repository is gated, private, or does not exist. Accept its terms at " + page +
                ", make a token there, and run again with HF_TOKEN=…"
          : "The account of HF_TOKEN has no access. Accept the terms at " + page +
                " with that account.";
  request.missing_help = "Check OWNER/REPO, the revision and the file at " + page;
  return request;
}

}  // namespace

Result<std::vector<RepoFile>> parse_hugging_face_tree(std::string_view text,
                                                      const std::string& where) {
  XH_TRY(const auto root, parse_json(text, where));
  if (!root.is_array()) return fail(ErrorCode::kCorrupt, "is not a list of files", where);
  std::vector<RepoFile> files;
  for (const auto& value : root.as_array()) {
    const auto* object = value.if_object();
    if (object == nullptr || string_field(*object, "type") != "file") continue;
    RepoFile file{string_field(*object, "path"), size_field(*object, "size"), {}};
    if (const auto* lfs = object_field(*object, "lfs")) {
      file.sha256 = lower_case(string_field(*lfs, "oid"));
      if (const uint64_t bytes = size_field(*lfs, "size"); bytes > 0) file.bytes = bytes;
    }
    files.push_back(std::move(file));
  }
  return files;
}

Result<std::vector<RemoteFile>> hugging_face_files(const Settings& settings, const Source& source,
                                                   const StoppedFn& stopped) {
  const std::string revision = source.revision.empty() ? "main" : source.revision;
  const std::string where = "hf:" + source.repo;
  std::string url = settings.hf_endpoint + "/api/models/" + source.repo + "/tree/" +
                    url_encode(revision) + "?recursive=1";
  std::vector<RepoFile> all;
  for (int page = 0; !url.empty() && page < kMaxPages; ++page) {
    XH_TRY(const HttpText answer,
           http_get(request_for(settings, source, url), settings.retry, kMaxPageBytes, stopped));
    XH_TRY(auto files, parse_hugging_face_tree(answer.body, printable_url(url)));
    std::move(files.begin(), files.end(), std::back_inserter(all));
    url = on_our_host(settings.hf_endpoint, next_page(answer.head.link));
  }
  XH_TRY(const auto chosen, choose_files(std::move(all), source.file, where));
  std::vector<RemoteFile> out;
  for (const auto& file : chosen) {
    const std::string address = settings.hf_endpoint + "/" + source.repo + "/resolve/" +
                                url_encode(revision) + "/" + url_encode(file.path, true);
    out.push_back({std::string(base_name(file.path)), file.bytes, file.sha256,
                   request_for(settings, source, address)});
  }
  return out;
}

}  // namespace xh::hub
