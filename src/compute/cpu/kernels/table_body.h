// The table of one ISA: its file defines gemm<type, columns> and the *_op functions, the macros
// XH_TABLE, XH_TABLE_NAME and XH_TILE_COLUMNS, if it has its own attention XH_ATTENTION, and
// includes this last.

#ifndef XH_ATTENTION
#define XH_ATTENTION kGenericAttention
#endif

#define XH_ROW_OF_8(type)                                                                   \
  gemm<type, 1>, gemm<type, 2>, gemm<type, 3>, gemm<type, 4>, gemm<type, 5>, gemm<type, 6>, \
      gemm<type, 7>, gemm<type, 8>
#define XH_ROW_OF_12(type) \
  XH_ROW_OF_8(type), gemm<type, 9>, gemm<type, 10>, gemm<type, 11>, gemm<type, 12>
#define XH_ROW_OF_16(type) \
  XH_ROW_OF_12(type), gemm<type, 13>, gemm<type, 14>, gemm<type, 15>, gemm<type, 16>
#if XH_TILE_COLUMNS == 16
#define XH_ROW(type) \
  { XH_ROW_OF_16(type) }
#elif XH_TILE_COLUMNS == 12
#define XH_ROW(type) \
  { XH_ROW_OF_12(type) }
#else
#define XH_ROW(type) \
  { XH_ROW_OF_8(type) }
#endif

const KernelTable XH_TABLE = {
    XH_TABLE_NAME,
    XH_TILE_COLUMNS,
    {
        XH_ROW(DType::kF32),
        XH_ROW(DType::kF16),
        XH_ROW(DType::kBF16),
        XH_ROW(DType::kQ4_0),
        XH_ROW(DType::kQ4_1),
        XH_ROW(DType::kQ5_0),
        XH_ROW(DType::kQ5_1),
        XH_ROW(DType::kQ8_0),
        XH_ROW(DType::kQ2_K),
        XH_ROW(DType::kQ3_K),
        XH_ROW(DType::kQ4_K),
        XH_ROW(DType::kQ5_K),
        XH_ROW(DType::kQ6_K),
        XH_ROW(DType::kIQ4_NL),
        XH_ROW(DType::kIQ4_XS),
        XH_ROW(DType::kMXFP4),
        XH_ROW(DType::kI8),
    },
    quantise_op,
    rms_norm_op,
    gated_op,
    scale_add_op,
    max_op,
    exp_sum_op,
    rotate_half_op,
    to_f16_op,
    &XH_ATTENTION,
};

#undef XH_ROW
#undef XH_ROW_OF_8
#undef XH_ROW_OF_12
#undef XH_ROW_OF_16
