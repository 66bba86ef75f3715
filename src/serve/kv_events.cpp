#include "serve/kv_events.h"

#include <openssl/sha.h>
#include <zmq.h>

#include <charconv>
#include <chrono>
#include <cstring>
#include <optional>
#include <span>

#include "compute/kv_store.h"
#include "serve/msgpack.h"

namespace xh::serve {
namespace {

constexpr auto kTick = std::chrono::milliseconds(20);  // how old an event may get before it is sent
constexpr size_t kBatch = 256;                         // blocks in one message
constexpr int kSendQueue = 4096;                       // messages kept for a slow subscriber

void append_big_endian(std::string& out, uint64_t value, int bytes) {
  for (int i = bytes; i-- > 0;) out += static_cast<char>(value >> (8 * i) & 0xff);
}

uint64_t first_8_bytes_of_sha256(const std::string& text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  uint64_t out = 0;
  for (int i = 0; i < 8; ++i) out = out << 8 | digest[i];
  return out;
}

uint64_t root_hash(const std::string& model, const std::string& tenant) {
  return first_8_bytes_of_sha256("xiaohu" + std::string(1, '\0') + model + '\0' + tenant);
}

uint64_t block_hash(uint64_t parent, std::span<const TokenId> tokens) {
  std::string text;
  append_big_endian(text, parent, 8);
  for (TokenId id : tokens) append_big_endian(text, static_cast<uint32_t>(id), 4);
  return first_8_bytes_of_sha256(text);
}

// The host of "tcp://HOST:PORT"; ZeroMQ itself takes any number for a port, and another one then.
std::optional<std::string> tcp_host(const std::string& endpoint) {
  constexpr std::string_view kScheme = "tcp://";
  const size_t colon = endpoint.rfind(':');
  if (!endpoint.starts_with(kScheme) || colon <= kScheme.size()) return std::nullopt;
  uint16_t port = 0;
  const char* const end = endpoint.data() + endpoint.size();
  const auto [rest, ec] = std::from_chars(endpoint.data() + colon + 1, end, port);
  if (ec != std::errc() || rest != end) return std::nullopt;
  return endpoint.substr(kScheme.size(), colon - kScheme.size());
}

// Events of one message.
class Batch {
 public:
  // Blocks that follow each other become one event.
  void store(uint64_t hash, std::optional<uint64_t> parent, std::span<const TokenId> tokens) {
    if (parent && !hashes_.empty() && hashes_.back() == *parent) {
      hashes_.push_back(hash);
      tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
      return;
    }
    close_stored();
    parent_ = parent;
    hashes_ = {hash};
    tokens_.assign(tokens.begin(), tokens.end());
  }
  void remove(uint64_t hash) {
    close_stored();
    MsgpackWriter event;
    event.array(3);
    event.text("BlockRemoved");
    event.array(1);
    event.unsigned_int(hash);
    event.nil();
    add(event);
  }
  void clear_all() {
    close_stored();
    MsgpackWriter event;
    event.array(1);
    event.text("AllBlocksCleared");
    add(event);
  }
  bool empty() const { return count_ == 0 && hashes_.empty(); }

  std::string take() {
    close_stored();
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    MsgpackWriter batch;
    batch.array(2);
    batch.float64(std::chrono::duration<double>(now).count());
    batch.array(count_);
    count_ = 0;
    return batch.take() + std::exchange(events_, {});
  }

 private:
  void add(MsgpackWriter& event) {
    events_ += event.take();
    ++count_;
  }
  void close_stored() {
    if (hashes_.empty()) return;
    MsgpackWriter event;
    event.array(8);
    event.text("BlockStored");
    event.array(hashes_.size());
    for (uint64_t hash : hashes_) event.unsigned_int(hash);
    parent_ ? event.unsigned_int(*parent_) : event.nil();
    event.array(tokens_.size());
    for (TokenId id : tokens_) event.unsigned_int(static_cast<uint32_t>(id));
    event.unsigned_int(kPageTokens);
    event.nil();  // adapter's number
    event.nil();  // medium: the one that answers come from
    event.nil();  // adapter's name
    hashes_.clear();
    add(event);
  }

  std::string events_;
  size_t count_ = 0;
  std::optional<uint64_t> parent_;  // of the open stored event
  std::vector<uint64_t> hashes_;
  std::vector<TokenId> tokens_;
};

}  // namespace

struct KvEventPublisher::Sockets {
  void* context = nullptr;
  void* publisher = nullptr;
  ~Sockets() {
    if (publisher) zmq_close(publisher);
    if (context) zmq_ctx_term(context);
  }
};

Result<std::unique_ptr<KvEventPublisher>> KvEventPublisher::open(const std::string& endpoint,
                                                                 bool insecure) {
  const auto host = tcp_host(endpoint);
  if (!host && !endpoint.starts_with("ipc://"))
    return fail(ErrorCode::kInvalidArgument, "this is no address for events: " + endpoint,
                "--kv-events", "use tcp://HOST:PORT or ipc://PATH");
  const bool here = !host || *host == "127.0.0.1" || *host == "[::1]" || *host == "localhost";
  const bool everywhere = host && (*host == "*" || *host == "0.0.0.0" || *host == "[::]");
  if (!here && !insecure)
    return fail(ErrorCode::kInvalidArgument,
                "events hold the token ids of all prompts, unencrypted, and " + endpoint +
                    " is beyond this machine",
                "--kv-events", "add --insecure-kv-events if that network is yours alone");
  auto sockets = std::make_unique<Sockets>();
  sockets->context = zmq_ctx_new();
  sockets->publisher = sockets->context ? zmq_socket(sockets->context, ZMQ_XPUB) : nullptr;
  const int linger = 0, verbose = 1;
  bool good = sockets->publisher != nullptr;
  const auto set = [&](int option, int value) {
    good = good && zmq_setsockopt(sockets->publisher, option, &value, sizeof value) == 0;
  };
  set(ZMQ_LINGER, linger);
  set(ZMQ_XPUB_VERBOSE, verbose);  // every subscription is seen, not only a topic's first
  set(ZMQ_SNDHWM, kSendQueue);
  set(ZMQ_IPV6, host && host->starts_with('['));
  const bool bind = here || everywhere;
  if (good)
    good = (bind ? zmq_bind(sockets->publisher, endpoint.c_str())
                 : zmq_connect(sockets->publisher, endpoint.c_str())) == 0;
  if (!good)
    return fail(
        ErrorCode::kIo,
        std::string(bind ? "cannot listen: " : "cannot connect: ") + zmq_strerror(zmq_errno()),
        "--kv-events " + endpoint, "choose another address");
  char actual[512] = {};
  size_t size = sizeof actual - 1;
  zmq_getsockopt(sockets->publisher, ZMQ_LAST_ENDPOINT, actual, &size);
  std::unique_ptr<KvEventPublisher> out(new KvEventPublisher(std::move(sockets)));
  out->endpoint_ = actual;
  return out;
}

KvEventPublisher::KvEventPublisher(std::unique_ptr<Sockets> sockets)
    : sockets_(std::move(sockets)) {}

KvEventPublisher::~KvEventPublisher() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void KvEventPublisher::start(const std::string& id, const std::string& model) {
  topic_ = "kv@" + id + "@" + model;
  model_ = model;
  thread_ = std::thread([this] { run(); });
}

void KvEventPublisher::stored(const Stored& block) {
  std::lock_guard lock(mutex_);
  if (queue_.size() >= kMaxQueued) {
    overflowed_ = true;
    return;
  }
  queue_.push_back({block.block,
                    block.parent,
                    std::string(block.tenant),
                    {block.tokens.begin(), block.tokens.end()}});
}

void KvEventPublisher::removed(uint64_t block) {
  std::lock_guard lock(mutex_);
  if (queue_.size() >= kMaxQueued) {
    overflowed_ = true;
    return;
  }
  queue_.push_back({.block = block});
}

void KvEventPublisher::run() {
  for (bool stop = false; !stop;) {
    std::vector<Change> changes;
    bool overflowed;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kTick, [&] { return stopping_; });
      changes = std::exchange(queue_, {});
      overflowed = std::exchange(overflowed_, false);
      stop = stopping_;
    }
    if (overflowed) {
      // Blocks that were missed are simply unknown from now on, and so are their children.
      changes.clear();
      blocks_.clear();
      Batch batch;
      batch.clear_all();
      send(batch.take());
    }
    publish(std::move(changes));
    if (somebody_came()) publish_everything();
  }
}

void KvEventPublisher::publish(std::vector<Change> changes) {
  Batch batch;
  size_t n = 0;
  for (Change& change : changes) {
    if (change.tokens.empty()) {
      const auto it = blocks_.find(change.block);
      if (it == blocks_.end()) continue;
      batch.remove(it->second.hash);
      blocks_.erase(it);
    } else {
      Block block{.first = change.parent == 0, .tokens = std::move(change.tokens)};
      if (block.first) {
        block.parent_hash = root_hash(model_, change.tenant);
      } else {
        const auto parent = blocks_.find(change.parent);
        if (parent == blocks_.end()) continue;  // lost in an overflow
        block.parent_hash = parent->second.hash;
      }
      block.hash = block_hash(block.parent_hash, block.tokens);
      batch.store(block.hash, block.first ? std::nullopt : std::optional(block.parent_hash),
                  block.tokens);
      blocks_.insert_or_assign(change.block, std::move(block));
    }
    if (++n % kBatch == 0) send(batch.take());
  }
  if (!batch.empty()) send(batch.take());
}

void KvEventPublisher::publish_everything() {
  Batch batch;
  size_t n = 0;
  for (const auto& [number, block] : blocks_) {
    batch.store(block.hash, block.first ? std::nullopt : std::optional(block.parent_hash),
                block.tokens);
    if (++n % kBatch == 0) send(batch.take());
  }
  if (!batch.empty()) send(batch.take());
}

// Reads the subscriptions that came in: a byte 1 and the topic; 0 for one that ended.
bool KvEventPublisher::somebody_came() {
  bool came = false;
  char message[256];
  for (int i = 0; i < 1000; ++i) {
    const int n = zmq_recv(sockets_->publisher, message, sizeof message, ZMQ_DONTWAIT);
    if (n < 0) break;
    came |= n > 0 && message[0] == 1;
  }
  return came;
}

void KvEventPublisher::send(std::string payload) {
  std::string number;
  append_big_endian(number, sequence_++, 8);
  // A subscriber that does not keep up loses messages and sees the gap in the numbers.
  zmq_send(sockets_->publisher, topic_.data(), topic_.size(), ZMQ_SNDMORE | ZMQ_DONTWAIT);
  zmq_send(sockets_->publisher, number.data(), number.size(), ZMQ_SNDMORE | ZMQ_DONTWAIT);
  zmq_send(sockets_->publisher, payload.data(), payload.size(), ZMQ_DONTWAIT);
}

}  // namespace xh::serve
