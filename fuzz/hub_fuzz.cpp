// What hubs, indices, configuration files and users say about models. The first byte chooses the
// reader.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "hub/catalogue.h"
#include "hub/http.h"
#include "hub/pip_config.h"
#include "hub/remote.h"
#include "hub/safe_name.h"
#include "hub/source.h"

using namespace xh::hub;

namespace {

// Whatever is chosen must be usable as a name below a folder of ours.
void check_chosen(const xh::Result<std::vector<RepoFile>>& files, const std::string& wanted) {
  if (!files) return;
  const auto chosen = choose_files(*files, wanted, "fuzz");
  if (!chosen) return;
  for (const auto& file : *chosen) {
    if (!is_safe_component(base_name(file.path)) || file.path.find("..") == 0) std::abort();
    if (!file.sha256.empty() && !is_sha256_hex(file.sha256)) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0]) {
    case 'h': check_chosen(parse_hugging_face_tree(text, "fuzz"), text.substr(0, 4)); break;
    case 'm': check_chosen(parse_model_scope_files(text, "fuzz"), ""); break;
    case 'j':
      (void)parse_simple_index(text, "application/vnd.pypi.simple.v1+json",
                               "http://127.0.0.1/simple/p/");
      break;
    case 'w': (void)parse_simple_index(text, "text/html", "http://127.0.0.1/simple/p/"); break;
    case 'c': (void)parse_catalogue(text); break;
    case 'p': {
      PipConfig config;
      apply_pip_file(text, config);
      break;
    }
    case 's':
      if (const auto source = parse_source(text)) {  // what we write, we read again as the same
        const auto again = parse_source(source->to_string());
        if (!again || again->to_string() != source->to_string()) std::abort();
      }
      break;
    default: {
      const std::string name = model_name_from_file(text);
      if (!name.empty() && !is_model_name(name)) std::abort();
      (void)printable_url(text);
      (void)url_decode(text);
    }
  }
  return 0;
}
