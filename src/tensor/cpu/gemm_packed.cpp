// The scheme is that of Goto and van de Geijn 2008. b is packed into panels of two registers'
// columns and at most kDepth words of depth, which fit into the first cache and are read from front
// to back. A thread takes a block of rows of a, which fits into the second cache, and goes with it
// from panel to panel; the innermost kernel keeps the sums of 10 rows (AVX-512; 6 of AVX2) in
// registers while it runs down a panel. a is read where it lies, unless it is transposed, as in
// gradients of weights, which are as deep as the batch has tokens: then the block is packed as
// well, in slices of 8 (6) rows. Where such a block has all rows, each panel of b is packed just
// before it is read, by the one thread that reads it. Sums that end as bf16 stay floats from part
// to part of the depth: for them all parts of a panel follow one another.
#include "tensor/cpu/gemm_packed.h"

#include "tensor/cpu/packed_registers.h"

#if defined(DRAGOMAN_PACKED_PRODUCTS)

#include <dnnl.hpp>
#include <new>

#include "tensor/cpu/launch_cpu.h"
#include "tensor/cpu/packed_kernel.h"
#include "tensor/cpu/threads.h"

namespace dragoman::packed {
namespace {

constexpr int64_t kDepth = 256;             // words of depth of a panel, about
constexpr int64_t kBlock = 248;             // rows of a that a thread takes at a time, at most
constexpr int64_t kWholeBlock = 512;        // the same where b is packed on the way
constexpr int64_t kBlockBytes = 640 << 10;  // at most, of rows that are read in their whole depth

// How a depth of k numbers is cut: into equal parts of whole words, a multiple of 16 each but the
// last.
template <class Numbers>
struct Depth {
  int64_t words, part;
  explicit Depth(int64_t k)
      : words(parts(k, Numbers::kPair)), part(up(parts(words, parts(words, kDepth)), 16)) {}
  int64_t count() const { return parts(words, part); }
  int64_t begin(int64_t i) const { return i * part; }
  int64_t size(int64_t i) const { return std::min(part, words - begin(i)); }
};

// A block of c: rows [row, row + rows) of a, and whole panels of columns from `column` on.
struct Block {
  int64_t row, rows, column, columns;
};

template <class Numbers>
class Product {
 public:
  using Type = typename Numbers::Type;

  // `packed`: b, if it is packed already.
  explicit Product(const Gemm& g, const uint32_t* packed = nullptr)
      : g_(g),
        packed_(packed),
        depth_(g.k),
        // A row that ends with half a word would be read beyond its end.
        packs_a_(g.transpose_a || g.k % Numbers::kPair != 0),
        // Sums cannot wait for their other parts as bf16: these parts follow one another then.
        panel_by_panel_(g.outputs == DType::kBf16 && depth_.count() > 1) {}

  // Whether each panel of b is read by one thread alone, of which each has several.
  bool packs_on_the_way() const {
    return packs_a_ && !panel_by_panel_ && g_.m <= kWholeBlock &&
           g_.n >= 4 * kPanel * thread_count();
  }

  void pack(uint32_t* to) const {
    const int64_t panels = parts(g_.n, kPanel);
    launch::cpu::tasks(panels * depth_.count(), 0, g_.n * g_.k,
                       [=, this](Lane, int64_t task, real*) {
                         const int64_t part = task / panels, column = task % panels * kPanel;
                         pack_panel_of(part, column, to + panel_begin(part, column));
                       });
  }

  void multiply() const {
    // Whole rounds of equal blocks for the threads. Where there are few rows they divide the
    // columns, so that each reads its own part of b.
    const int64_t threads = thread_count(), slices = parts(g_.m, kSlice);
    const int64_t panels = parts(g_.n, kPanel);
    const int64_t wanted = parts(g_.m, most_rows());
    const int64_t rows = parts(slices, wanted < threads ? wanted : up(wanted, threads)) * kSlice;
    const int64_t row_blocks = parts(g_.m, rows);
    const int64_t strips = std::min(panels, parts(threads, row_blocks));
    const int64_t columns = parts(panels, strips) * kPanel;
    const int64_t column_blocks = parts(g_.n, columns);
    launch::cpu::tasks(
        row_blocks * column_blocks, scratch_size(rows), g_.m * g_.n * g_.k / 16,
        [=, this](Lane, int64_t task, real* memory) {
          const int64_t row = task / column_blocks * rows;
          const int64_t column = task % column_blocks * columns;
          block({row, std::min(rows, g_.m - row), column, std::min(columns, g_.n - column)},
                memory);
        });
  }

 private:
  int64_t most_rows() const {
    if (panel_by_panel_) return std::clamp(kBlockBytes / (4 * depth_.words), kSlice, kBlock);
    return packed_ ? kBlock : kWholeBlock;
  }

  int64_t panel_begin(int64_t part, int64_t column) const {
    return depth_.begin(part) * up(g_.n, kPanel) + column * depth_.size(part);
  }

  void pack_panel_of(int64_t part, int64_t column, uint32_t* to) const {
    const int64_t row = depth_.begin(part) * Numbers::kPair;
    const int64_t k = std::min(depth_.size(part) * Numbers::kPair, g_.k - row);
    const int64_t count = std::min(kPanel, g_.n - column);
    const Type* b = static_cast<const Type*>(g_.b);
    if (g_.transpose_b) {
      pack_rows<Numbers, kPanel>(b + column * g_.ldb + row, g_.ldb, count, k, to);
    } else {
      pack_panel<Numbers>(b + row * g_.ldb + column, g_.ldb, count, k, to);
    }
  }

  // A thread's scratch: the sums of a panel that are not complete yet, a panel of b, and a's rows
  // packed, one part of the depth at a time or all.
  int64_t sums_size(int64_t rows) const { return panel_by_panel_ ? up(rows, kSlice) * kPanel : 0; }
  int64_t panel_size() const { return packed_ ? 0 : depth_.part * kPanel; }
  int64_t packed_a_begin(int64_t rows, int64_t part) const {
    return panel_by_panel_ ? part * parts(rows, kSlice) * slice_distance(depth_.part) : 0;
  }
  int64_t words_size(int64_t rows) const {
    const int64_t held = panel_by_panel_ ? depth_.count() : 1;
    return panel_size() + (packs_a_ ? held * parts(rows, kSlice) * slice_distance(depth_.part) : 0);
  }
  int64_t scratch_size(int64_t rows) const { return sums_size(rows) + words_size(rows); }

  void block(const Block& at, real* memory) const {
    // Behind the sums the scratch holds words. What is written there as words is read as words.
    const int64_t sums_count = sums_size(at.rows);
    float* const sums = memory;
    auto* const panel =
        new (memory + sums_count) uint32_t[static_cast<size_t>(words_size(at.rows))];
    uint32_t* const packed_a = panel + panel_size();
    if (!panel_by_panel_) {
      for (int64_t part = 0; part < depth_.count(); ++part) {
        if (packs_a_) pack_a(at, part, packed_a);
        for (int64_t j = 0; j < at.columns; j += kPanel) {
          if (!packed_) pack_panel_of(part, at.column + j, panel);
          multiply_panel(at, part, j, packed_ ? packed_panel(at, part, j) : panel, packed_a,
                         nullptr);
        }
      }
      return;
    }
    for (int64_t part = 0; packs_a_ && part < depth_.count(); ++part) {
      pack_a(at, part, packed_a + packed_a_begin(at.rows, part));
    }
    for (int64_t j = 0; j < at.columns; j += kPanel) {
      for (int64_t part = 0; part < depth_.count(); ++part) {
        multiply_panel(at, part, j, packed_panel(at, part, j),
                       packed_a + packed_a_begin(at.rows, part), sums);
      }
    }
  }
  const uint32_t* packed_panel(const Block& at, int64_t part, int64_t j) const {
    return packed_ + panel_begin(part, at.column + j);
  }

  void pack_a(const Block& at, int64_t part, uint32_t* to) const {
    const int64_t begin = depth_.begin(part) * Numbers::kPair;
    const int64_t k = std::min(depth_.size(part) * Numbers::kPair, g_.k - begin);
    const Type* a = static_cast<const Type*>(g_.a);
    if (g_.transpose_a) {
      float* const sums = g_.sums && at.column == 0 ? g_.sums + at.row : nullptr;
      if (sums && part == 0 && !g_.accumulate_sums) std::fill_n(sums, at.rows, 0.0f);
      return pack_slices<Numbers>(a + begin * g_.lda + at.row, g_.lda, at.rows, k, to, sums);
    }
    for (int64_t i = 0; i < at.rows; i += kSlice) {
      pack_rows<Numbers, kSlice>(a + (at.row + i) * g_.lda + begin, g_.lda,
                                 std::min(kSlice, at.rows - i), k,
                                 to + i / kSlice * slice_distance(depth_.size(part)));
    }
  }

  void multiply_panel(const Block& at, int64_t part, int64_t j, const uint32_t* b,
                      const uint32_t* packed_a, float* sums) const {
    packs_a_ ? multiply_panel<true>(at, part, j, b, packed_a, sums)
             : multiply_panel<false>(at, part, j, b, nullptr, sums);
  }

  // The columns from j on of a block, one part of the depth.
  template <bool kPackedA>
  void multiply_panel(const Block& at, int64_t part, int64_t j, const uint32_t* b,
                      const uint32_t* packed_a, float* sums) const {
    const int64_t words = depth_.size(part);
    const int64_t stride = g_.lda * static_cast<int64_t>(sizeof(Type));
    const char* a = static_cast<const char*>(g_.a) + at.row * stride + depth_.begin(part) * 4;
    const int64_t slices = parts(at.rows, kPackedA ? kSlice : kMostRows);
    const auto begin_of = [&](int64_t s) {
      return kPackedA ? std::min(s * kSlice, at.rows) : s * at.rows / slices;
    };
    const Target target = target_of(at, part, j, sums);
    for (int64_t s = 0; s < slices; ++s) {
      const int64_t i = begin_of(s), end = begin_of(s + 1), rows = end - i;
      Rows from{a + i * stride, stride, 4};
      if constexpr (kPackedA)
        from.data = reinterpret_cast<const char*>(packed_a + s * slice_distance(words));
      // The first panel brings the block into the cache: the next slice is asked for early.
      if (!kPackedA && j == 0)
        prefetch(a + end * stride, std::min<int64_t>(at.rows - end, kMostRows), words);
      const Target to = target.from_row(i);
      const Ahead ahead =
          packed_ ? packed_ahead(at, part, j, s, slices) : ahead_of_packing(at, part, j, s, slices);
      if (to.columns == kPanel) {
        slice<Numbers, kPackedA, true>(rows, words, from, b, ahead, to);
      } else {
        slice<Numbers, kPackedA, false>(rows, words, from, b, ahead, to);
      }
    }
  }

  // Of a block's columns from j on, from its first row on.
  Target target_of(const Block& at, int64_t part, int64_t j, float* sums) const {
    const int64_t column = at.column + j, place = at.row * g_.ldc + column;
    Target to{sums,   kPanel, g_.accumulate || part > 0,       nullptr,
              g_.ldc, {},     std::min(kPanel, at.columns - j)};
    if (g_.outputs == DType::kReal) {
      to.sums = static_cast<float*>(g_.c) + place;
      to.stride = g_.ldc;
    } else if (part == depth_.count() - 1) {
      to.bf16 = static_cast<Bf16*>(g_.c) + place;
    }
    if (part == depth_.count() - 1) {
      to.relu = g_.relu;
      to.gate_stride = g_.ldc;
      if (g_.gate) {
        to.gate = to.bf16 ? static_cast<const void*>(static_cast<const Bf16*>(g_.gate) + place)
                          : static_cast<const float*>(g_.gate) + place;
      }
    }
    for (int64_t half = 0; half < 2; ++half) {
      to.start[half] = g_.bias && part == 0
                           ? bias(column + kLanes * half, first(to.columns - kLanes * half))
                           : zeros();
    }
    return to;
  }

  Sums bias(int64_t column, Kept kept) const {
    if constexpr (Numbers::kPair == 2) {
      if (g_.outputs == DType::kBf16) {
        return Numbers::widened(static_cast<const Bf16*>(g_.bias) + column, kept);
      }
    }
    return load(static_cast<const float*>(g_.bias) + column, kept);
  }

  // For slice s of the columns from j on. The panel of b after that is divided among all words of
  // all slices. After the last of all it is the first, with which the next block begins.
  Ahead packed_ahead(const Block& at, int64_t part, int64_t j, int64_t s, int64_t slices) const {
    const bool last_column = j + kPanel >= at.columns, last_part = part + 1 == depth_.count();
    const int64_t next_column = last_column ? 0 : j + kPanel;
    const int64_t next_part = last_part ? 0 : part + 1;
    const int64_t next = panel_by_panel_ || last_column ? next_part : part;
    const int64_t column = panel_by_panel_ && !last_part ? j : next_column;
    const int64_t words = depth_.size(part);
    const int64_t step = parts(depth_.size(next) * kPanel * 4, slices * words);
    return {reinterpret_cast<const char*>(packed_panel(at, next, column)) + s * words * step, step};
  }
  // Where b is packed on the way: a line of each row. The first slices ask for the next panel of b,
  // some of the others for what of a is packed next.
  Ahead ahead_of_packing(const Block& at, int64_t part, int64_t j, int64_t s,
                         int64_t slices) const {
    constexpr int64_t kLines = kPanel * 4 / 64;  // of a panel's word
    const auto line = [](const void* matrix, int64_t stride, int64_t word, int64_t column,
                         int64_t number) {
      const int64_t row = word * Numbers::kPair + number % Numbers::kPair;
      const auto* from = static_cast<const Type*>(matrix) + row * stride + column;
      return Ahead{reinterpret_cast<const char*>(from) + number / Numbers::kPair * 64,
                   Numbers::kPair * stride * static_cast<int64_t>(sizeof(Type))};
    };
    const bool last = j + kPanel >= at.columns;
    if (s < kLines && !g_.transpose_b) {
      return line(g_.b, g_.ldb, depth_.begin(last ? part + 1 : part),
                  at.column + (last ? 0 : j + kPanel), s);
    }
    const int64_t others = slices - kLines, lines = parts(at.rows, 16);
    const int64_t gap = std::max<int64_t>(1, parts(at.columns, kPanel) * others / lines);
    const int64_t place = j / kPanel * others + s - kLines;
    if (s >= kLines && place % gap == 0 && place / gap < lines && g_.transpose_a) {
      return line(g_.a, g_.lda, depth_.begin(part + 1), at.row, place / gap);
    }
    return {static_cast<const char*>(g_.a), 0};
  }

  void prefetch(const char* from, int64_t rows, int64_t words) const {
    for (int64_t r = 0; r < rows; ++r) {
      const char* row = from + r * g_.lda * static_cast<int64_t>(sizeof(Type));
      for (int64_t byte = 0; byte < 4 * words; byte += 64) __builtin_prefetch(row + byte, 0, 2);
    }
  }

  const Gemm& g_;
  const uint32_t* packed_;
  Depth<Numbers> depth_;
  bool packs_a_;
  bool panel_by_panel_;  // all parts of a panel before the next panel
};

template <class F>
auto with_product(const Gemm& g, const uint32_t* packed, F f) {
#if defined(DRAGOMAN_PACKED_BF16)
  if (g.inputs == DType::kBf16) return f(Product<Bf16s>(g, packed));
#endif
  return f(Product<Floats>(g, packed));
}

}  // namespace

bool multiplies(DType inputs) {
  static const auto isa = dnnl::get_effective_cpu_isa();
  constexpr bool has_avx512 = DRAGOMAN_PACKED_PRODUCTS == 512;
  if (inputs == DType::kReal) return (isa >= dnnl::cpu_isa::avx512_core) == has_avx512;
#if defined(DRAGOMAN_PACKED_BF16)
  return isa == dnnl::cpu_isa::avx512_core_bf16;
#else
  return false;
#endif
}

int64_t packed_words(int64_t k, int64_t n, DType inputs) {
  return parts(k, inputs == DType::kBf16 ? 2 : 1) * up(n, kPanel);
}

void pack(const Gemm& product, uint32_t* to) {
  with_product(product, nullptr, [&](const auto& p) { p.pack(to); });
}

bool packs_on_the_way(const Gemm& product) {
  return with_product(product, nullptr, [](const auto& p) { return p.packs_on_the_way(); });
}

void multiply(const Gemm& product, const uint32_t* packed) {
  with_product(product, packed, [](const auto& p) { p.multiply(); });
}

}  // namespace dragoman::packed

#else

namespace dragoman::packed {

bool multiplies(DType) { return false; }
int64_t packed_words(int64_t, int64_t, DType) { return 0; }
void pack(const Gemm&, uint32_t*) {}
bool packs_on_the_way(const Gemm&) { return false; }
void multiply(const Gemm&, const uint32_t*) {}

}  // namespace dragoman::packed

#endif
