#include "compute/cpu/later_reads.h"

#include <gtest/gtest.h>

namespace xh::cpu {
namespace {

TEST(LaterReads, HandsOutRunsPieceByPiece) {
  const std::byte memory[100] = {};
  LaterReads reads;
  EXPECT_EQ(reads.take(8), nullptr);
  reads.reset(1000);
  reads.add(memory, 10);
  reads.add(memory + 10, 10);  // goes on where the last one ended
  reads.add(memory + 50, 5);
  EXPECT_EQ(reads.take(8), memory);
  EXPECT_EQ(reads.take(8), memory + 8);
  EXPECT_EQ(reads.take(8), memory + 16);  // 4 bytes of it
  EXPECT_EQ(reads.take(8), memory + 50);
  EXPECT_EQ(reads.take(8), nullptr);
}

TEST(LaterReads, IsFullWhenAsMuchWasAdded) {
  const std::byte memory[100] = {};
  LaterReads reads;
  EXPECT_TRUE(reads.full());
  reads.reset(20);
  reads.add(memory, 10);
  EXPECT_FALSE(reads.full());
  reads.add(memory + 30, 10);
  EXPECT_TRUE(reads.full());
  reads.reset(20);
  EXPECT_FALSE(reads.full());
  EXPECT_EQ(reads.take(8), nullptr);
}

}  // namespace
}  // namespace xh::cpu
