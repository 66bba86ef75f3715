// Ctrl-C as a question that long work asks now and then, instead of the end of the program.
#pragma once

namespace xh::cli {

// While one lives, SIGINT is only noted; a second one without an answer ends the program as usual.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  static bool asked();
  static void forget();  // answered: the next one is a first one again

  // Becomes readable when Ctrl-C comes, until it is forgotten; for poll(). -1 without an Interrupt.
  static int descriptor();
};

}  // namespace xh::cli
