// The HTTP server: one thread for all sockets, a few workers that read requests and render
// prompts. Liveness is answered by the socket thread, whatever workers and engine do.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "engine/client.h"
#include "serve/options.h"

namespace xh::serve {

// Thread-safe. `client` must outlive it.
class Server {
 public:
  // What start() would refuse, found without a model.
  static Result<void> check(const ServeOptions& options);
  // Listens before it returns. Refuses options that would expose the server (auth.h).
  static Result<std::unique_ptr<Server>> start(Client& client, ServeOptions options);
  virtual ~Server() = default;  // stops at once

  virtual uint16_t port() const = 0;
  virtual std::string url() const = 0;  // "http://127.0.0.1:8080", a name that a browser can use

  // Not ready from now on, and no new generations after options.drain_grace; the server ends when
  // the running ones are done, or options.drain_timeout later.
  virtual void drain() = 0;
  virtual void stop() = 0;  // closes everything now
  virtual bool finished() const = 0;
  virtual void wait() = 0;  // until it has ended
};

}  // namespace xh::serve
