#include "cli/interrupt.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

namespace xh::cli {
namespace {

volatile std::sig_atomic_t g_asked = 0;
struct sigaction g_before;
int g_event = -1;

void note_it(int) {
  if (g_asked != 0) {  // nobody listens
    signal(SIGINT, SIG_DFL);
    raise(SIGINT);
  }
  g_asked = 1;
  const int before = errno;
  const uint64_t one = 1;
  if (g_event >= 0 && ::write(g_event, &one, sizeof one) < 0) {  // full: readable already
  }
  errno = before;
}

}  // namespace

Interrupt::Interrupt() {
  g_asked = 0;
  g_event = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  struct sigaction action {};
  action.sa_handler = note_it;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &g_before);
}

Interrupt::~Interrupt() {
  sigaction(SIGINT, &g_before, nullptr);
  if (g_event >= 0) ::close(g_event);
  g_event = -1;
}

bool Interrupt::asked() {
  return g_asked != 0;
}

void Interrupt::forget() {
  g_asked = 0;
  uint64_t count = 0;
  if (g_event >= 0 && ::read(g_event, &count, sizeof count) < 0) {  // nothing to forget
  }
}

int Interrupt::descriptor() {
  return g_event;
}

}  // namespace xh::cli
