#include "hub/fetch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>

#include "hub/file_io.h"
#include "hub/hub_imitation_test.h"

namespace xh::hub {
namespace {

namespace fs = std::filesystem;

bool go_on(const std::string&, uint64_t, uint64_t) {
  return true;
}

class Fetch : public testing::Test {
 protected:
  Fetch() {
    for (const char* name : {"http_proxy", "all_proxy", "ALL_PROXY"}) unsetenv(name);
  }

  RemoteFile remote(const HubImitation& hub, bool with_digest = true) const {
    RemoteFile file;
    file.name = "m.gguf";
    file.bytes = with_digest ? content.size() : 0;
    file.sha256 = with_digest ? sha256_of(content) : "";
    file.request.url = hub.url() + "/m.gguf";
    return file;
  }

  std::string arrived() const { return read_small_file(target(), 1 << 24).value_or("(nothing)"); }
  fs::path target() const { return scratch.path() / "m.gguf"; }
  fs::path part() const { return scratch.path() / "m.gguf.part"; }

  void put_part(const std::string& bytes, const std::string& sha256,
                const std::string& etag) const {
    std::ofstream(part(), std::ios::binary) << bytes;
    std::ofstream(scratch.path() / "m.gguf.part.json")
        << R"({"url":"","etag":"\")" << etag << R"(\"","sha256":")" << sha256 << "\"}";
  }

  ScratchFolder scratch;
  const std::string content = model_bytes(300'000);
};

TEST_F(Fetch, WholeFileIsVerifiedAndLeavesNothingBeside) {
  HubImitation hub([&](const TestRequest& r) { return file_answer(r, content); });
  const auto got = fetch_file(remote(hub), target(), hasty(), go_on);
  ASSERT_TRUE(got) << got.error().to_string();
  EXPECT_EQ(got->bytes, content.size());
  EXPECT_EQ(got->sha256, sha256_of(content));
  EXPECT_EQ(arrived(), content);
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch.path()), fs::directory_iterator()), 1);
}

TEST_F(Fetch, ResumesAfterEveryCutWithTheBytesItHas) {
  HubImitation hub([&](const TestRequest& r) {
    auto answer = file_answer(r, content);
    answer.cut_after = 40'000;  // more cuts than tries are allowed: progress must reset their count
    return answer;
  });
  const auto got = fetch_file(remote(hub), target(), hasty(), go_on);
  ASSERT_TRUE(got) << got.error().to_string();
  EXPECT_EQ(arrived(), content);
  const auto requests = hub.requests();
  ASSERT_EQ(requests.size(), 8u);
  EXPECT_EQ(requests[0].header("range"), "");
  EXPECT_EQ(requests[1].header("range"), "bytes=40000-");
  EXPECT_EQ(requests[1].header("if-range"), "\"v1\"");
  EXPECT_EQ(requests[7].header("range"), "bytes=280000-");
}

TEST_F(Fetch, GoesOnWhereAnEarlierProcessStopped) {
  put_part(content.substr(0, 100'000), sha256_of(content), "v1");
  HubImitation hub([&](const TestRequest& r) { return file_answer(r, content); });
  ASSERT_TRUE(fetch_file(remote(hub), target(), hasty(), go_on));
  EXPECT_EQ(arrived(), content);
  EXPECT_EQ(hub.requests().at(0).header("range"), "bytes=100000-");
}

TEST_F(Fetch, APartOfAnotherFileIsNotUsed) {
  put_part(std::string(100'000, 'x'), std::string(64, 'a'), "v1");
  HubImitation hub([&](const TestRequest& r) { return file_answer(r, content); });
  ASSERT_TRUE(fetch_file(remote(hub), target(), hasty(), go_on));
  EXPECT_EQ(arrived(), content);
  EXPECT_EQ(hub.requests().at(0).header("range"), "");
}

TEST_F(Fetch, ADamagedPartIsThrownAwayOnce) {
  std::string damaged = content.substr(0, 100'000);
  damaged[5000] ^= 1;
  put_part(damaged, sha256_of(content), "v1");
  HubImitation hub([&](const TestRequest& r) { return file_answer(r, content); });
  const auto got = fetch_file(remote(hub), target(), hasty(), go_on);
  ASSERT_TRUE(got) << got.error().to_string();
  EXPECT_EQ(arrived(), content);
  EXPECT_EQ(hub.requests().size(), 2u);
}

TEST_F(Fetch, AFileThatChangedOnTheServerBeginsAnew) {
  std::atomic<int> count = 0;
  const std::string old = model_bytes(300'000, 7);
  HubImitation hub([&](const TestRequest& r) {
    auto answer =
        ++count == 1 ? file_answer(r, old, "\"old\"") : file_answer(r, content, "\"new\"");
    if (count == 1) answer.cut_after = 70'000;
    return answer;
  });
  RemoteFile file = remote(hub, false);
  const auto got = fetch_file(file, target(), hasty(), go_on);
  ASSERT_TRUE(got) << got.error().to_string();
  EXPECT_EQ(arrived(), content);
}

TEST_F(Fetch, AServerWithoutRangesIsTakenFromTheBeginning) {
  std::atomic<int> count = 0;
  HubImitation hub([&](const TestRequest&) {
    TestAnswer answer;
    answer.body = content;
    if (++count == 1) answer.cut_after = 70'000;
    return answer;
  });
  ASSERT_TRUE(fetch_file(remote(hub), target(), hasty(), go_on));
  EXPECT_EQ(arrived(), content);
}

TEST_F(Fetch, WrongDigestIsRefusedAndNothingStays) {
  HubImitation hub([&](const TestRequest& r) { return file_answer(r, model_bytes(300'000, 9)); });
  const auto got = fetch_file(remote(hub), target(), hasty(), go_on);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(got.error().message.find(sha256_of(content)), std::string::npos);
  EXPECT_TRUE(fs::is_empty(scratch.path()));
}

TEST_F(Fetch, AnnouncedAndRealSizeMustAgree) {
  HubImitation hub([&](const TestRequest& r) { return file_answer(r, content + "more"); });
  const auto got = fetch_file(remote(hub), target(), hasty(), go_on);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kCorrupt);
  EXPECT_FALSE(fs::exists(target()));
}

TEST_F(Fetch, ALyingContentRangeIsRefused) {
  put_part(content.substr(0, 100'000), sha256_of(content), "v1");
  HubImitation hub([&](const TestRequest&) {
    return TestAnswer{206, {"Content-Range: bytes 5-299999/300000"}, content.substr(5), SIZE_MAX};
  });
  const auto got = fetch_file(remote(hub), target(), hasty(), go_on);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kCorrupt);
}

TEST_F(Fetch, FollowsRedirectsButKeepsTheTokenAtHome) {
  HubImitation storage([&](const TestRequest& r) { return file_answer(r, content); });
  HubImitation hub([&](const TestRequest&) {
    return TestAnswer{302, {"Location: " + storage.url() + "/blob"}, "", SIZE_MAX};
  });
  RemoteFile file = remote(hub);
  file.request.bearer = "secret";
  ASSERT_TRUE(fetch_file(file, target(), hasty(), go_on));
  EXPECT_EQ(hub.requests().at(0).header("authorization"), "Bearer secret");
  EXPECT_EQ(storage.requests().at(0).header("authorization"), "");  // another port is another host
}

TEST_F(Fetch, CirclesOfRedirectsEnd) {
  HubImitation hub([&](const TestRequest&) {
    return TestAnswer{302, {"Location: /again"}, "", SIZE_MAX};
  });
  const auto got = fetch_file(remote(hub), target(), hasty(), go_on);
  ASSERT_FALSE(got);
  EXPECT_LE(hub.requests().size(), 12u);
}

TEST_F(Fetch, RedirectToALocalFileIsRefused) {
  HubImitation hub([&](const TestRequest&) {
    return TestAnswer{302, {"Location: file:///etc/passwd"}, "", SIZE_MAX};
  });
  EXPECT_FALSE(fetch_file(remote(hub, false), target(), hasty(), go_on));
  EXPECT_FALSE(fs::exists(target()));
}

TEST_F(Fetch, TroubleIsRetriedAndAFinalAnswerIsNot) {
  for (const auto& [status, code, tries] : {std::tuple{503, ErrorCode::kUnavailable, 4u},
                                            {429, ErrorCode::kUnavailable, 4u},
                                            {404, ErrorCode::kNotFound, 1u},
                                            {403, ErrorCode::kPermissionDenied, 1u},
                                            {401, ErrorCode::kPermissionDenied, 1u},
                                            {418, ErrorCode::kIo, 1u}}) {
    const int answer = status;
    HubImitation hub([answer](const TestRequest&) {
      return TestAnswer{answer, {"X-Error-Message: no\tluck"}, "page", SIZE_MAX};
    });
    const auto got = fetch_file(remote(hub), target(), hasty(), go_on);
    ASSERT_FALSE(got) << status;
    EXPECT_EQ(got.error().code, code) << status;
    EXPECT_EQ(hub.requests().size(), tries) << status;
    EXPECT_NE(got.error().message.find("no luck"), std::string::npos) << got.error().message;
    EXPECT_FALSE(got.error().remedy.empty());
    EXPECT_FALSE(fs::exists(target()));
  }
}

TEST_F(Fetch, RecoversAfterAServerError) {
  std::atomic<int> count = 0;
  HubImitation hub([&](const TestRequest& r) {
    return ++count < 3 ? TestAnswer{500, {}, "", SIZE_MAX} : file_answer(r, content);
  });
  ASSERT_TRUE(fetch_file(remote(hub), target(), hasty(), go_on));
  EXPECT_EQ(arrived(), content);
}

TEST_F(Fetch, NobodyThereIsToldAfterFewTries) {
  std::string url;
  {
    url = HubImitation([](const TestRequest&) { return TestAnswer{}; }).url();
  }
  RemoteFile file;
  file.request.url = url + "/m";
  const auto got = fetch_file(file, target(), hasty(), go_on);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kUnavailable);
}

TEST_F(Fetch, StoppedByTheUserKeepsThePart) {
  HubImitation hub([&](const TestRequest& r) {
    auto answer = file_answer(r, content);
    answer.cut_after = 100'000;
    return answer;
  });
  const auto got =
      fetch_file(remote(hub), target(), hasty(),
                 [](const std::string&, uint64_t done, uint64_t) { return done < 50'000; });
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(fs::exists(part()));
}

TEST_F(Fetch, OneProcessAtATime) {
  const auto held = File::open_exclusive(part());
  ASSERT_TRUE(held);
  HubImitation hub([&](const TestRequest& r) { return file_answer(r, content); });
  const auto got = fetch_file(remote(hub), target(), hasty(), go_on);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kUnavailable);
}

TEST_F(Fetch, APlantedSymbolicLinkIsNotFollowed) {
  const fs::path victim = scratch.path() / "victim";
  std::ofstream(victim) << "precious";
  fs::create_symlink(victim, part());
  HubImitation hub([&](const TestRequest& r) { return file_answer(r, content); });
  EXPECT_FALSE(fetch_file(remote(hub), target(), hasty(), go_on));
  EXPECT_EQ(read_small_file(victim, 100).value(), "precious");
}

TEST_F(Fetch, DiskSpaceIsCheckedBeforehand) {
  EXPECT_TRUE(check_disk_space(scratch.path(), 1));
  EXPECT_FALSE(check_disk_space(scratch.path(), UINT64_MAX));
  EXPECT_FALSE(check_disk_space(scratch.path(), 1ull << 60));
}

TEST_F(Fetch, CopyIsHashed) {
  const fs::path from = scratch.path() / "from.gguf";
  std::ofstream(from, std::ios::binary) << content;
  const auto got = copy_file(from, target(), go_on);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->sha256, sha256_of(content));
  EXPECT_EQ(arrived(), content);
  EXPECT_FALSE(copy_file(scratch.path(), target(), go_on)) << "a folder is no file";
}

}  // namespace
}  // namespace xh::hub
