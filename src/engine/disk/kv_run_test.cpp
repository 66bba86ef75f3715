// Files of keys and values are untrusted (T1): whatever happens to their bytes, what comes out is
// what went in, or an error.
#include "engine/disk/kv_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace xh {
namespace {

constexpr uint64_t kTestPageBytes = 96;
using File = std::vector<std::byte>;

const KvKey kKey = KvKey::from_bytes(Digest{1, 2, 3});

RunHead test_head(int32_t pages) {
  RunHead head;
  head.owner.fill(7);
  head.parent.fill(9);
  head.page_bytes = kTestPageBytes;
  head.tokens.resize(static_cast<size_t>(pages * kPageTokens));
  std::iota(head.tokens.begin(), head.tokens.end(), 1000);
  return head;
}

File page_content(int32_t page) {
  return File(kTestPageBytes, static_cast<std::byte>(page + 40));
}

File make_file(int32_t pages, const KvKey& key = kKey) {
  RunSalt salt;
  salt.fill(std::byte{5});
  Sealer sealer(key, salt);
  File out = seal_run_head(sealer, salt, test_head(pages));
  for (int32_t i = 0; i < pages; ++i) {
    File sealed(kTestPageBytes + kSealTagBytes);
    EXPECT_TRUE(sealer.seal(static_cast<uint32_t>(i) + 1, {}, page_content(i), sealed));
    out.insert(out.end(), sealed.begin(), sealed.end());
  }
  return out;
}

struct Read {
  bool head = false, all = false;  // opened; with every page
  bool wrong = false;              // something opened that is not what went in
};

Read read(const File& file, int32_t pages, const KvKey& key = kKey) {
  Read out;
  const auto salt = read_run_salt(file, "test");
  if (!salt) return out;
  Sealer sealer(key, *salt);
  const auto head = open_run_head(sealer, file, file.size(), "test");
  if (!head) return out;
  out.head = true;
  const RunHead right = test_head(pages);
  out.wrong = head->owner != right.owner || head->parent != right.parent ||
              head->page_bytes != right.page_bytes || head->tokens != right.tokens;
  if (out.wrong) return out;
  out.all = true;
  for (int32_t i = 0; i < pages; ++i) {
    const auto sealed =
        Bytes(file).subspan(run_page_offset(kTestPageBytes, i), kTestPageBytes + kSealTagBytes);
    File plain(kTestPageBytes);
    if (!sealer.open(static_cast<uint32_t>(i) + 1, {}, sealed, plain))
      out.all = false;
    else
      out.wrong |= plain != page_content(i);
  }
  return out;
}

// Pieces of odd sizes give what the whole gives; a changed bit in any of them is told at the end.
TEST(Sealer, OpensPieceByPiece) {
  File plain(1000), sealed(1000 + kSealTagBytes);
  for (size_t i = 0; i < plain.size(); ++i) plain[i] = static_cast<std::byte>(i * 7);
  Sealer sealer(kKey, plain);
  ASSERT_TRUE(sealer.seal(3, {}, plain, sealed));
  const auto open = [&](const File& from, File& out) {
    bool good = sealer.begin_open(3, {});
    for (size_t at = 0, size = 1; at < out.size(); at += size, size = size * 3 + 1) {
      size = std::min(size, out.size() - at);
      good = sealer.open_piece(Bytes(from).subspan(at, size), out.data() + at) && good;
    }
    return sealer.end_open(Bytes(from).subspan(out.size())) && good;
  };
  File out(plain.size());
  EXPECT_TRUE(open(sealed, out));
  EXPECT_EQ(out, plain);
  for (const size_t at : {0, 5, 999, 1000, 1015}) {
    File changed = sealed;
    changed[at] ^= std::byte{1};
    EXPECT_FALSE(open(changed, out)) << at;
  }
}

TEST(KvRun, WhatWentInComesOut) {
  for (int32_t pages : {1, 3, kRunPages}) {
    const Read r = read(make_file(pages), pages);
    EXPECT_TRUE(r.head && r.all && !r.wrong) << pages;
  }
}

TEST(KvRun, EveryFlippedBitIsFound) {
  const File file = make_file(2);
  for (size_t bit = 0; bit < file.size() * 8; ++bit) {
    File damaged = file;
    damaged[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    const Read r = read(damaged, 2);
    ASSERT_FALSE(r.wrong || r.all) << "bit " << bit;
    // Damage to the head leaves nothing, damage to a page its neighbours.
    ASSERT_EQ(r.head, bit / 8 >= kRunHeadBytes) << "bit " << bit;
  }
}

TEST(KvRun, EveryOtherLengthIsRefused) {
  const File file = make_file(2);
  for (size_t n = 0; n < file.size() + 300; ++n) {
    if (n == file.size()) continue;
    File cut = file;
    cut.resize(n);
    ASSERT_FALSE(read(cut, 2).head) << n;
  }
}

TEST(KvRun, AnotherKeyOpensNothing) {
  EXPECT_FALSE(read(make_file(1, KvKey::from_bytes(Digest{4})), 1).head);
}

TEST(KvRun, PagesCannotChangePlaces) {
  File file = make_file(2);
  const size_t n = kTestPageBytes + kSealTagBytes;
  const auto begin = file.begin() + kRunHeadBytes;
  std::swap_ranges(begin, begin + static_cast<std::ptrdiff_t>(n),
                   begin + static_cast<std::ptrdiff_t>(n));
  const Read r = read(file, 2);
  EXPECT_TRUE(r.head);
  EXPECT_FALSE(r.all || r.wrong);
}

// What stands in an authentic head is checked as well: a bug of ours, or a lost key, must not hurt.
TEST(KvRun, ExtremesInTheHead) {
  File plain(kRunPlainBytes);
  const auto put = [&](size_t at, auto value) {
    std::memcpy(plain.data() + at, &value, sizeof value);
  };
  EXPECT_FALSE(parse_run_plain(plain, "test"));
  for (uint32_t pages : {0u, 9u, 0x80000000u, 0xFFFFFFFFu})
    for (uint64_t bytes : {0ull, 1ull, ~0ull, 1ull << 63}) {
      put(64, pages);
      put(72, bytes);
      EXPECT_FALSE(parse_run_plain(plain, "test"));
    }
  put(64, 8u);
  put(72, uint64_t{1} << 32);
  EXPECT_TRUE(parse_run_plain(plain, "test"));
  put(72, (uint64_t{1} << 32) + 1);
  EXPECT_FALSE(parse_run_plain(plain, "test"));
}

}  // namespace
}  // namespace xh
