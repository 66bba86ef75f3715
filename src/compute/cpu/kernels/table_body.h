// The table of one ISA: its file defines gemm<type, columns> and the *_op functions, the macros
// XH_TABLE, XH_TABLE_NAME and XH_TILE_COLUMNS, if it has its own attention XH_ATTENTION, and
// includes this last.

#ifndef XH_ATTENTION
#define XH_ATTENTION kGenericAttention
#endif

#define XH_ROW_OF_8(f, t) f<t, 1>, f<t, 2>, f<t, 3>, f<t, 4>, f<t, 5>, f<t, 6>, f<t, 7>, f<t, 8>
#define XH_ROW_OF_16(f, t) \
  XH_ROW_OF_8(f, t), f<t, 9>, f<t, 10>, f<t, 11>, f<t, 12>, f<t, 13>, f<t, 14>, f<t, 15>, f<t, 16>
#define XH_ROW_OF_32(f, t)                                                                  \
  XH_ROW_OF_16(f, t), f<t, 17>, f<t, 18>, f<t, 19>, f<t, 20>, f<t, 21>, f<t, 22>, f<t, 23>, \
      f<t, 24>, f<t, 25>, f<t, 26>, f<t, 27>, f<t, 28>, f<t, 29>, f<t, 30>, f<t, 31>, f<t, 32>
#if XH_TILE_COLUMNS == 32
#define XH_ROW(f, t) \
  { XH_ROW_OF_32(f, t) }
#elif XH_TILE_COLUMNS == 16
#define XH_ROW(f, t) \
  { XH_ROW_OF_16(f, t) }
#else
#define XH_ROW(f, t) \
  { XH_ROW_OF_8(f, t) }
#endif

#define XH_BLOCK_ROWS(f)                                                             \
  XH_ROW(f, DType::kQ4_0), XH_ROW(f, DType::kQ4_1), XH_ROW(f, DType::kQ5_0),         \
      XH_ROW(f, DType::kQ5_1), XH_ROW(f, DType::kQ8_0), XH_ROW(f, DType::kQ2_K),     \
      XH_ROW(f, DType::kQ3_K), XH_ROW(f, DType::kQ4_K), XH_ROW(f, DType::kQ5_K),     \
      XH_ROW(f, DType::kQ6_K), XH_ROW(f, DType::kIQ4_NL), XH_ROW(f, DType::kIQ4_XS), \
      XH_ROW(f, DType::kMXFP4)

const KernelTable XH_TABLE = {
    XH_TABLE_NAME,
    XH_TILE_COLUMNS,
    {
        XH_ROW(gemm, DType::kF32),
        XH_ROW(gemm, DType::kF16),
        XH_ROW(gemm, DType::kBF16),
        XH_BLOCK_ROWS(gemm),
        XH_ROW(gemm, DType::kI8),
    },
    quantise_op,
    rms_norm_op,
    gated_op,
    scale_op,
    scale_add_op,
    max_op,
    exp_sum_op,
    rotate_half_op,
    rotate_pairs_op,
    to_f16_op,
    &XH_ATTENTION,
};

#undef XH_BLOCK_ROWS
#undef XH_ROW
#undef XH_ROW_OF_8
#undef XH_ROW_OF_16
#undef XH_ROW_OF_32
