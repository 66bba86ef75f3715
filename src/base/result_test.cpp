#include "base/result.h"

#include <gtest/gtest.h>

#include "base/checked.h"
#include "base/mapped_file.h"

namespace xh {
namespace {

Result<int> half(int x) {
  if (x % 2 != 0) return fail(ErrorCode::kInvalidArgument, "odd", "x", "give an even number");
  return x / 2;
}

Result<int> quarter(int x) {
  XH_TRY(int h, half(x));
  XH_TRY(int q, half(h));
  return q;
}

TEST(Result, TryReturnsTheFirstError) {
  EXPECT_EQ(*quarter(8), 2);
  auto r = quarter(6);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().to_string(), "x: odd (give an even number)");
}

TEST(Checked, RefusesToWrap) {
  EXPECT_FALSE(checked_add(UINT64_MAX, 1));
  EXPECT_FALSE(checked_mul(UINT64_MAX / 2, 3));
  EXPECT_FALSE(checked_align(UINT64_MAX - 3, 32));
  EXPECT_EQ(checked_align(33, 32), 64u);
}

TEST(MappedFile, NamesTheMissingFile) {
  auto f = MappedFile::open("/nonexistent/model.gguf");
  ASSERT_FALSE(f);
  EXPECT_EQ(f.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(f.error().where, "/nonexistent/model.gguf");
}

}  // namespace
}  // namespace xh
