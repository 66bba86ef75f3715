// Included by ISA files inside their anonymous namespace.

// What belongs to the bytes of a block, the largest of which is `limit` and stands for amax. first:
// the sum of the first half.
inline void finish_block(ActBlock* out, float amax, int limit, int32_t first, int32_t sum) {
  out->d = amax * (1.0f / static_cast<float>(limit));
  out->d_sum = out->d * static_cast<float>(sum);
  out->d_sum_first = out->d * static_cast<float>(first);
  out->seed[0] = kSeedBits - sum * 8;
  out->seed[1] = kSeedBits - sum * 128;
  out->half_seed[0] = kSeedBits - first * 32;
  out->half_seed[1] = kSeedBits - (sum - first) * 32;
}
