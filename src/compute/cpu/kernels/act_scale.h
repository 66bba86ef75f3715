// Included by ISA files inside their anonymous namespace.

// Scale of 16-group h of a block.
inline float scale_of(const ActBlock& x, int h) {
  return x.d[h];
}
inline float scale_of(const CoarseActBlock& x, int) {
  return x.d;
}
inline float scale_of(const ColumnBlock::Scales& x, int) {
  return x.d;
}
