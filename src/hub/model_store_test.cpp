#include "hub/model_store.h"

#include <gtest/gtest.h>

#include <fstream>

#include "hub/hub_imitation_test.h"

namespace xh::hub {
namespace {

namespace fs = std::filesystem;

class Store : public testing::Test {
 protected:
  Store() : store(ModelStore::open(scratch.path()).value()) {}

  void add(const std::string& name) {
    const auto folder = store.staging(name).value();
    std::ofstream(folder / "m.gguf") << "GGUF";
    std::ofstream(folder / "leftover.part") << "x";
    StoredModel model{
        name, "file:m.gguf", "", utc_now(), false, {{"m.gguf", 4, std::string(64, 'a')}}, {}};
    ASSERT_TRUE(store.commit(model));
  }

  ScratchFolder scratch;
  ModelStore store;
};

TEST_F(Store, CommitListFindRemove) {
  add("b");
  add("a");
  const auto models = store.list();
  ASSERT_EQ(models.size(), 2u);
  EXPECT_EQ(models[0].name, "a");
  EXPECT_FALSE(fs::exists(models[0].folder / "leftover.part"));
  EXPECT_EQ(store.resolve("b").value(), store.models() / "b/m.gguf");
  add("a");  // replaces
  EXPECT_EQ(store.list().size(), 2u);
  ASSERT_TRUE(store.remove("a"));
  EXPECT_EQ(store.find("a").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store.remove("a").error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(store.partial().empty());
}

TEST_F(Store, NamesCannotLeaveTheFolder) {
  std::ofstream(scratch.path() / "precious") << "x";
  for (const char* name : {"..", "../precious", ".partial", "/etc", "", "A", "a/b", "-a"}) {
    EXPECT_FALSE(store.find(name)) << name;
    EXPECT_FALSE(store.remove(name)) << name;
    EXPECT_FALSE(store.staging(name)) << name;
  }
  EXPECT_TRUE(fs::exists(scratch.path() / "precious"));
}

TEST_F(Store, AManifestThatNamesFilesElsewhereIsDamaged) {
  for (
      const char* manifest :
      {R"({"format":1,"files":[{"name":"../../etc/passwd","bytes":1,"sha256":"0"}]})",
       R"({"format":1,"files":[]})", R"({"format":2,"files":[]})", "[]", "{", "",
       R"({"format":1,"files":[{"name":"/etc/passwd","bytes":1,"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}]})"}) {
    fs::create_directories(store.models() / "bad");
    std::ofstream(store.models() / "bad/manifest.json") << manifest;
    std::vector<Error> damaged;
    EXPECT_TRUE(store.list(&damaged).empty()) << manifest;
    EXPECT_EQ(damaged.size(), 1u) << manifest;
    EXPECT_FALSE(store.resolve("bad"));
  }
  EXPECT_TRUE(store.remove("bad")) << "what is damaged can be removed";
}

TEST_F(Store, ATruncatedFileIsToldBeforeAnyoneMapsIt) {
  add("a");
  fs::resize_file(store.models() / "a/m.gguf", 3);
  const auto got = store.find("a");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kCorrupt);
  EXPECT_FALSE(got.error().remedy.empty());
}

TEST_F(Store, ResolveTakesPathsAndExplainsMisses) {
  const fs::path file = scratch.path() / "x.gguf";
  EXPECT_EQ(store.resolve(file.string()).error().code, ErrorCode::kNotFound);
  std::ofstream(file) << "GGUF";
  EXPECT_EQ(store.resolve(file.string()).value(), file);
  EXPECT_NE(store.resolve("smollm2-135m").error().remedy.find("xiaohu pull smollm2-135m"),
            std::string::npos);
}

}  // namespace
}  // namespace xh::hub
