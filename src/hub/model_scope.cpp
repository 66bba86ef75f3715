// ModelScope, and mirrors that speak its protocol:
//   GET /api/v1/models/OWNER/REPO/repo/files?Revision=master&Recursive=true
//       {"Code":200,"Data":{"Files":[{"Type":"blob","Path","Size","Sha256"}]}}
//   GET /api/v1/models/OWNER/REPO/repo?Revision=master&FilePath=PATH     the bytes
#include <boost/json.hpp>

#include "hub/json_fields.h"
#include "hub/remote.h"
#include "hub/safe_name.h"

namespace xh::hub {
namespace {

constexpr size_t kMaxListBytes = 16 << 20;

HttpRequest request_for(const Settings& settings, const Source& source, std::string url) {
  HttpRequest request;
  request.url = std::move(url);
  request.ca_file = settings.ca_file;
  const std::string page = printable_url(settings.modelscope_endpoint + "/models/" + source.repo);
  request.denied_help = "The repository is private or asks for consent: " + page +
                        ". Download it there and use file:PATH.";
  request.missing_help = "Check OWNER/REPO, the revision and the file at " + page;
  return request;
}

}  // namespace

Result<std::vector<RepoFile>> parse_model_scope_files(std::string_view text,
                                                      const std::string& where) {
  XH_TRY(const auto root, parse_json_object(text, where));
  const auto* data = object_field(root, "Data");
  const auto* list = data == nullptr ? nullptr : array_field(*data, "Files");
  if (list == nullptr) {
    const std::string message = string_field(root, "Message");
    return fail(ErrorCode::kNotFound,
                message.empty() ? "is not a list of files" : "says: " + message.substr(0, 200),
                where);
  }
  std::vector<RepoFile> files;
  for (const auto& value : *list) {
    const auto* object = value.if_object();
    if (object == nullptr || string_field(*object, "Type") == "tree") continue;
    files.push_back({string_field(*object, "Path"), size_field(*object, "Size"),
                     lower_case(string_field(*object, "Sha256"))});
  }
  return files;
}

Result<std::vector<RemoteFile>> model_scope_files(const Settings& settings, const Source& source,
                                                  const StoppedFn& stopped) {
  const std::string revision = url_encode(source.revision.empty() ? "master" : source.revision);
  const std::string base = settings.modelscope_endpoint + "/api/v1/models/" + source.repo + "/repo";
  const std::string url = base + "/files?Revision=" + revision + "&Recursive=true";
  XH_TRY(const HttpText answer,
         http_get(request_for(settings, source, url), settings.retry, kMaxListBytes, stopped));
  XH_TRY(auto all, parse_model_scope_files(answer.body, printable_url(url)));
  XH_TRY(const auto chosen, choose_files(std::move(all), source.file, "modelscope:" + source.repo));
  std::vector<RemoteFile> out;
  for (const auto& file : chosen) {
    const std::string address =
        base + "?Revision=" + revision + "&FilePath=" + url_encode(file.path);
    out.push_back({std::string(base_name(file.path)), file.bytes, file.sha256,
                   request_for(settings, source, address)});
  }
  return out;
}

}  // namespace xh::hub
