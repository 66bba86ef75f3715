// Tells the world which prefixes this server has in memory, so that a router before a fleet can
// send a prompt where its beginning is already computed. The wire is vLLM's: ZeroMQ PUB with three
// frames,
//   topic "kv@ID@MODEL" · 8-byte big-endian sequence number · MessagePack [time, [event, …]]
//   ["BlockStored", [hash, …], parent hash or nil, [token id, …], tokens per block, nil, nil, nil]
//   ["BlockRemoved", [hash, …], nil]
//   ["AllBlocksCleared"]
// A hash is the first 8 bytes of SHA-256 over the parent's hash and the block's tokens; the first
// block's parent is made of model and tenant. So servers agree on hashes without talking.
//
// A new subscriber is told everything that is there (as stored once more), because events before
// its time are lost to it, and with them every block that builds on those.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "engine/prefix_observer.h"

namespace xh::serve {

// The observer's calls only queue; hashing, encoding and sending have a thread of their own. A
// queue of kMaxQueued events means that the thread hangs: then everything is dropped and the
// subscribers are told that all is cleared.
class KvEventPublisher final : public PrefixObserver {
 public:
  static constexpr size_t kMaxQueued = 1 << 16;

  // `endpoint`: "tcp://*:5557", "tcp://127.0.0.1:5557" and "ipc://PATH" are bound, another
  // machine's "tcp://HOST:PORT" is connected to. Token ids are the prompts, in clear: what other
  // machines could read is refused unless `insecure`.
  static Result<std::unique_ptr<KvEventPublisher>> open(const std::string& endpoint, bool insecure);
  ~KvEventPublisher() override;

  // Nothing is sent before. `id`: how the router knows this server, HOST:PORT; `model`: as clients
  // name it.
  void start(const std::string& id, const std::string& model);
  // As ZeroMQ resolved it: the real port.
  const std::string& endpoint() const { return endpoint_; }

  void stored(const Stored& block) override;
  void removed(uint64_t block) override;

 private:
  struct Change {
    uint64_t block = 0, parent = 0;
    std::string tenant;
    std::vector<TokenId> tokens;  // none: removed
  };
  struct Block {
    uint64_t hash = 0, parent_hash = 0;
    bool first = false;  // its parent_hash is no block's
    std::vector<TokenId> tokens;
  };
  struct Sockets;
  explicit KvEventPublisher(std::unique_ptr<Sockets> sockets);
  void run();
  void publish(std::vector<Change> changes);
  void publish_everything();
  bool somebody_came();
  void send(std::string payload);

  std::unique_ptr<Sockets> sockets_;  // used by thread_ alone once it runs
  std::string endpoint_, topic_, model_;
  uint64_t sequence_ = 0;
  std::map<uint64_t, Block> blocks_;  // by number: parents before children

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Change> queue_;
  bool overflowed_ = false, stopping_ = false;
  std::thread thread_;
};

}  // namespace xh::serve
