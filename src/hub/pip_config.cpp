#include "hub/pip_config.h"

#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

#include "hub/safe_name.h"

namespace xh::hub {
namespace {

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text;
  constexpr size_t kMaxBytes = 1 << 20;
  char buffer[4096];
  while (in.read(buffer, sizeof buffer) || in.gcount() > 0) {
    text.append(buffer, static_cast<size_t>(in.gcount()));
    if (text.size() > kMaxBytes) return {};
  }
  return text;
}

}  // namespace

void apply_pip_file(const std::string& text, PipConfig& config) {
  std::istringstream lines(text);
  std::string line, section;
  PipConfig global, download;
  while (std::getline(lines, line)) {
    if (!line.empty() && (line[0] == ' ' || line[0] == '\t'))
      continue;  // continues a value we do not need
    line = trimmed(line);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line.front() == '[' && line.back() == ']') {
      section = line.substr(1, line.size() - 2);
      continue;
    }
    PipConfig* target = section == "global" ? &global : section == "download" ? &download : nullptr;
    const size_t equals = line.find_first_of("=:");
    if (target == nullptr || equals == std::string::npos) continue;
    std::string key = lower_case(trimmed(line.substr(0, equals)));
    for (char& c : key) c = c == '_' ? '-' : c;
    if (key == "index-url") target->index_url = trimmed(line.substr(equals + 1));
    if (key == "cert") target->ca_file = trimmed(line.substr(equals + 1));
  }
  for (const PipConfig* from : {&global, &download}) {
    if (!from->index_url.empty()) config.index_url = from->index_url;
    if (!from->ca_file.empty()) config.ca_file = from->ca_file;
  }
}

PipConfig read_pip_config(const GetEnv& env) {
  PipConfig config;
  const std::string named = env("PIP_CONFIG_FILE"), home = env("HOME");
  if (named != "/dev/null") {  // pip's own way of saying "no files"
    std::vector<std::string> files = {"/etc/xdg/pip/pip.conf", "/etc/pip.conf"};
    if (!home.empty()) files.push_back(home + "/.pip/pip.conf");
    const std::string config_home = env("XDG_CONFIG_HOME");
    if (!config_home.empty()) {
      files.push_back(config_home + "/pip/pip.conf");
    } else if (!home.empty()) {
      files.push_back(home + "/.config/pip/pip.conf");
    }
    if (const auto venv = env("VIRTUAL_ENV"); !venv.empty()) files.push_back(venv + "/pip.conf");
    if (!named.empty()) files.push_back(named);
    for (const auto& file : files) apply_pip_file(read_text(file), config);
  }
  if (const auto url = env("PIP_INDEX_URL"); !url.empty()) config.index_url = url;
  if (const auto cert = env("PIP_CERT"); !cert.empty()) config.ca_file = cert;
  return config;
}

}  // namespace xh::hub
