#include "cli/interrupt.h"

#include <unistd.h>

#include <csignal>

namespace xh::cli {
namespace {

volatile std::sig_atomic_t g_asked = 0;
struct sigaction g_before;

void note_it(int) {
  if (g_asked != 0) {  // nobody listens
    signal(SIGINT, SIG_DFL);
    raise(SIGINT);
  }
  g_asked = 1;
}

}  // namespace

Interrupt::Interrupt() {
  g_asked = 0;
  struct sigaction action {};
  action.sa_handler = note_it;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &g_before);
}

Interrupt::~Interrupt() {
  sigaction(SIGINT, &g_before, nullptr);
}

bool Interrupt::asked() {
  return g_asked != 0;
}

void Interrupt::forget() {
  g_asked = 0;
}

}  // namespace xh::cli
