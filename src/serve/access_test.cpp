// Who may come in, from where, to what: keys, exposure, hosts, origins, the route table.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "serve/auth.h"
#include "serve/origin.h"
#include "serve/router.h"

namespace xh::serve {
namespace {

std::string basic(std::string_view text) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < text.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k) {
      bits = bits << 8 | (i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0u);
    }
    for (size_t k = 0; k < 4; ++k) {
      out += i + k <= text.size() ? kDigits[bits >> (18 - 6 * k) & 63] : '=';
    }
  }
  return "Basic " + out;
}

class TempFile {
 public:
  explicit TempFile(const std::string& text)
      : path_(std::filesystem::temp_directory_path() /
              ("xh_keys_" + std::to_string(::getpid()) + "_" + std::to_string(count_++))) {
    std::ofstream(path_) << text;
    std::filesystem::permissions(path_, std::filesystem::perms(0600));
  }
  ~TempFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  static inline int count_ = 0;
  std::filesystem::path path_;
};

TEST(KeyRing, KnowsItsKeysHoweverTheyAreSent) {
  EXPECT_EQ(to_hex(sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  TempFile file("# name  digest\n\nalice " + to_hex(sha256("alices-key")) + "\n");
  const auto ring = KeyRing::load({.api_keys = {"the-first-key"}, .keys_file = file.path()});
  ASSERT_TRUE(ring) << ring.error().to_string();
  EXPECT_EQ(ring->check("Bearer the-first-key"), "key1");
  EXPECT_EQ(ring->check("bearer   alices-key"), "alice");
  EXPECT_EQ(ring->check(basic("anybody:alices-key")), "alice");
  EXPECT_EQ(ring->check(basic(":the-first-key")), "key1");
  for (const std::string& wrong :
       {std::string(), std::string("Bearer"), std::string("Bearer "), std::string("the-first-key"),
        std::string("Bearer the-first-ke"), std::string("Bearer the-first-key2"),
        "Bearer " + to_hex(sha256("alices-key")), basic("alices-key"), basic("alice:wrong"),
        std::string("Basic !!!!"), std::string("Basic ="), std::string("Basic ===="),
        std::string("Digest the-first-key"), std::string(100'000, ' ')}) {
    EXPECT_FALSE(ring->check(wrong)) << wrong.substr(0, 60);
  }
}

TEST(KeyRing, SaysWhereAKeysFileIsWrong) {
  TempFile bad("alice 1234\n");
  const auto ring = KeyRing::load({.keys_file = bad.path()});
  ASSERT_FALSE(ring);
  EXPECT_EQ(ring.error().where, bad.path() + ":1");
  EXPECT_FALSE(KeyRing::load({.keys_file = "/nonexistent/keys"}));
  TempFile empty("# nobody\n");
  EXPECT_FALSE(KeyRing::load({.keys_file = empty.path()}));
  TempFile open("alice " + to_hex(sha256("alices-key")) + "\n");
  std::filesystem::permissions(open.path(), std::filesystem::perms(0666));
  EXPECT_EQ(KeyRing::load({.keys_file = open.path()}).error().code, ErrorCode::kPermissionDenied);
  EXPECT_FALSE(KeyRing::load({.api_keys = {"short"}}));
}

TEST(Exposure, NeedsAKeyAndTlsBeyondThisMachine) {
  const auto none = *KeyRing::load({});
  const auto one = *KeyRing::load({.api_keys = {"a-long-enough-key"}});
  EXPECT_TRUE(check_exposure({}, none, "127.0.0.1", true));
  EXPECT_FALSE(check_exposure({}, none, "0.0.0.0", false));
  EXPECT_FALSE(check_exposure({.insecure_http = true}, none, "0.0.0.0", false));
  EXPECT_FALSE(check_exposure({.tls_cert = "c", .tls_key = "k"}, none, "0.0.0.0", false));
  const auto clear = check_exposure({}, one, "0.0.0.0", false);
  ASSERT_FALSE(clear);
  EXPECT_NE(clear.error().remedy.find("--insecure-http"), std::string::npos);
  EXPECT_TRUE(check_exposure({.insecure_http = true}, one, "0.0.0.0", false));
  EXPECT_TRUE(check_exposure({.tls_cert = "c", .tls_key = "k"}, one, "0.0.0.0", false));
  EXPECT_FALSE(check_exposure({.tls_cert = "c"}, one, "127.0.0.1", true));
}

TEST(Origin, ReadsHostNames) {
  EXPECT_EQ(host_name("LocalHost:8080"), "localhost");
  EXPECT_EQ(host_name("[::1]:80"), "::1");
  EXPECT_EQ(host_name("a.example"), "a.example");
  for (const char* bad : {"", ":80", "a b", "a:port", "a:123456", "[::1", "a/b", "a@b", "[::1]x"}) {
    EXPECT_FALSE(host_name(bad)) << bad;
  }
}

// The status that a request with this Host and Origin gets, 0 when it may pass.
int verdict(const std::string& host, const std::string& origin, const ServeOptions& options = {},
            bool on_loopback = true, bool tls = false) {
  HttpRequest request;
  request.host = host;
  request.origin = origin;
  const OriginVerdict result = check_origin(request, options, on_loopback, tls);
  return result.refused ? result.refused->status : 0;
}

TEST(Origin, LetsNoForeignPageIn) {
  EXPECT_EQ(verdict("127.0.0.1:8080", ""), 0);
  EXPECT_EQ(verdict("localhost:8080", "http://localhost:8080"), 0);
  EXPECT_EQ(verdict("localhost", "http://localhost:80"), 0);
  EXPECT_EQ(verdict("localhost:8080", "http://localhost:3000"), 403);
  EXPECT_EQ(verdict("localhost:8080", "https://evil.example"), 403);
  EXPECT_EQ(verdict("localhost:8080", "null"), 403);
  EXPECT_EQ(verdict("evil.example", ""), 403);  // rebound name
  EXPECT_EQ(verdict("evil.example", "http://evil.example"), 403);
  EXPECT_EQ(verdict("", ""), 400);
  EXPECT_EQ(verdict("localhost", "https://app.example", {.cors_origins = {"https://app.example"}}),
            0);
  EXPECT_EQ(verdict("ai.example", "", {.allowed_hosts = {"ai.example"}}), 0);
  EXPECT_EQ(verdict("ai.example", "https://ai.example", {.allowed_hosts = {"ai.example"}}), 0);
  EXPECT_EQ(verdict("ai.example", "https://other.example", {.allowed_hosts = {"ai.example"}}), 403);
  // On a public address any name may lead here, and keys protect.
  EXPECT_EQ(verdict("ai.example:8443", "https://ai.example:8443", {}, false, true), 0);
  EXPECT_EQ(verdict("ai.example:8443", "https://evil.example", {}, false, true), 403);
}

TEST(Router, HasOnlyWhatIsListed) {
  EXPECT_NE(find_route("GET", "/health").route, nullptr);
  EXPECT_NE(find_route("HEAD", "/health").route, nullptr);
  EXPECT_EQ(find_route("POST", "/v1/chat/completions").route->path, "/v1/chat/completions");
  const RouteMatch model = find_route("GET", "/v1/models/org/name");
  ASSERT_NE(model.route, nullptr);
  EXPECT_EQ(model.argument, "org/name");
  EXPECT_EQ(find_route("GET", "/v1/chat/completions").allow, "POST");
  EXPECT_EQ(find_route("DELETE", "/health").allow, "GET, HEAD");
  for (const char* path : {"/v1/models/", "/health/", "//health", "/v1", "/v1/chat", "/admin",
                           "/HEALTH", "/v1/completions/x", "/.env", "/etc/passwd"}) {
    const RouteMatch match = find_route("GET", path);
    EXPECT_EQ(match.route, nullptr) << path;
    EXPECT_EQ(match.allow, "") << path;
  }
}

TEST(Router, DecodesTargetsAndRefusesTricks) {
  EXPECT_EQ(target_path("/a%20b?x=/../"), "/a b");
  EXPECT_EQ(target_path("/v1/models/%e5%b0%8f"), "/v1/models/小");
  EXPECT_EQ(target_path("http://localhost:8080/health"), "/health");
  EXPECT_EQ(target_path("http://localhost"), "/");
  for (const char* bad : {"", "*", "health", "/%", "/%1", "/%zz", "/%00", "/%0d%0aX: y", "/a/../b",
                          "/..", "/%2e%2e/x", "ftp://x/"}) {
    EXPECT_EQ(target_path(bad), "") << bad;
  }
}

TEST(Router, EveryRouteButHealthNeedsAKey) {
  int open = 0;
  for (const Route& route : all_routes()) {
    if (!route.open) continue;
    ++open;
    EXPECT_TRUE(route.path == "/health" || route.path == "/ready" ||
                route.path == "/v2/health/live" || route.path == "/v2/health/ready")
        << route.path;
  }
  EXPECT_EQ(open, 4);
}

}  // namespace
}  // namespace xh::serve
