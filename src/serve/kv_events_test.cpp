// What a subscriber of another make reads is tested in tests/fleet/test_kv_events.py.
#include "serve/kv_events.h"

#include <gtest/gtest.h>
#include <zmq.h>

#include <numeric>

#include "compute/kv_store.h"
#include "serve/msgpack.h"

namespace xh::serve {
namespace {

TEST(Msgpack, WritesTheShortestForm) {
  MsgpackWriter w;
  w.array(3);
  w.nil();
  w.text("ab");
  w.float64(1.0);
  EXPECT_EQ(w.take(), std::string("\x93\xc0\xa2"
                                  "ab\xcb\x3f\xf0\0\0\0\0\0\0",
                                  14));
  for (const auto& [value, bytes] : std::initializer_list<std::pair<uint64_t, std::string>>{
           {127, "\x7f"},
           {128, "\xcc\x80"},
           {256, std::string("\xcd\x01\x00", 3)},
           {65536, std::string("\xce\x00\x01\x00\x00", 5)},
           {1ull << 32, std::string("\xcf\0\0\0\x01\0\0\0\0", 9)}}) {
    w.unsigned_int(value);
    EXPECT_EQ(w.take(), bytes) << value;
  }
  w.array(16);
  EXPECT_EQ(w.take(), std::string("\xdc\x00\x10", 3));
  w.text(std::string(40, 'x'));
  EXPECT_EQ(w.take(), "\xd9\x28" + std::string(40, 'x'));
}

TEST(KvEvents, PromptsStayHereUnlessToldOtherwise) {
  for (const char* there : {"tcp://*:0", "tcp://0.0.0.0:0", "tcp://[::]:0", "tcp://10.1.1.1:5557",
                            "tcp://127.0.0.1.evil.example:1", "pgm://127.0.0.1:1", "tcp://:1",
                            "tcp://127.0.0.1:", "tcp://127.0.0.1:70000", "inproc://x", ""})
    EXPECT_FALSE(KvEventPublisher::open(there, false)) << there;
  EXPECT_TRUE(KvEventPublisher::open("tcp://127.0.0.1:0", false));
  EXPECT_TRUE(KvEventPublisher::open("tcp://*:0", true));
}

TEST(KvEvents, ASubscriberGetsThreeFramesAndTheOrderHolds) {
  auto opened = KvEventPublisher::open("tcp://127.0.0.1:0", false);
  ASSERT_TRUE(opened);
  KvEventPublisher& publisher = **opened;
  void* context = zmq_ctx_new();
  void* subscriber = zmq_socket(context, ZMQ_SUB);
  const int wait_ms = 5000, linger = 0;
  zmq_setsockopt(subscriber, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
  zmq_setsockopt(subscriber, ZMQ_LINGER, &linger, sizeof linger);
  zmq_setsockopt(subscriber, ZMQ_SUBSCRIBE, "kv@", 3);
  ASSERT_EQ(zmq_connect(subscriber, publisher.endpoint().c_str()), 0);

  std::vector<TokenId> tokens(kPageTokens);
  std::iota(tokens.begin(), tokens.end(), 1);
  for (uint64_t block = 1; block <= 100; ++block)
    publisher.stored({block, block - 1, block == 1 ? "tenant" : "", tokens});
  publisher.start("10.0.0.1:8000", "m");
  char topic[64], number[16], payload[65536];
  ASSERT_EQ(zmq_recv(subscriber, topic, sizeof topic, 0), 18);
  EXPECT_EQ(std::string(topic, 18), "kv@10.0.0.1:8000@m");
  ASSERT_EQ(zmq_recv(subscriber, number, sizeof number, 0), 8);
  const int size = zmq_recv(subscriber, payload, sizeof payload, 0);
  ASSERT_GT(size, 100 * (kPageTokens + 8));  // all of them, in one event
  EXPECT_EQ(static_cast<unsigned char>(payload[0]), 0x92);
  EXPECT_NE(std::string_view(payload, 64).find("BlockStored"), std::string_view::npos);
  zmq_close(subscriber);
  zmq_ctx_term(context);
}

TEST(KvEvents, EndsWhateverIsInTheQueue) {
  auto opened = KvEventPublisher::open("tcp://127.0.0.1:0", false);
  ASSERT_TRUE(opened);
  (*opened)->start("x", "m");
  const std::vector<TokenId> tokens(kPageTokens, 7);
  for (uint64_t i = 1; i <= KvEventPublisher::kMaxQueued + 1000; ++i) {
    (*opened)->stored({i, i - 1, "", tokens});
    if (i % 3 == 0) (*opened)->removed(i);
  }
}

}  // namespace
}  // namespace xh::serve
