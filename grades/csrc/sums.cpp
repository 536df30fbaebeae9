// The sum of absolute values and the sum of squares of tensors on the CPU, both in one pass.
//
// The elements of all tensors are cut into chunks of a fixed size, each chunk is summed on its own in f64, and the
// chunks are added in order. So the result depends neither on the number of threads nor on the vector instructions of
// the machine: the square of an f32 is exact in f64.

#include "grades.h"
#include "vector.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <vector>

namespace {

using grades::CHUNK;
using grades::Lanes;

#define GRADES_SUM(NAME, LOAD)                                                                                 \
  GRADES_CLONES void NAME(const LOAD::Stored *values, int64_t n, double *absolute, double *squares) {          \
    grades::add_sums<LOAD>(values, n, absolute, squares);                                                      \
  }
GRADES_SUM(sum_f64, grades::LoadF64)
GRADES_SUM(sum_f32, grades::LoadF32)
GRADES_SUM(sum_bf16, grades::LoadBf16)
GRADES_SUM(sum_f16, grades::LoadF16)
#undef GRADES_SUM

struct Chunk {
  size_t index; // of the tensor in the caller's list
  at::ScalarType kind;
  const char *start;
  int64_t elements;
};

void sum_chunk(const Chunk &chunk, Lanes &lanes) {
  const auto halves = reinterpret_cast<const uint16_t *>(chunk.start);
  switch (chunk.kind) {
  case at::kDouble:
    return sum_f64(reinterpret_cast<const double *>(chunk.start), chunk.elements, lanes.absolute, lanes.squares);
  case at::kFloat:
    return sum_f32(reinterpret_cast<const float *>(chunk.start), chunk.elements, lanes.absolute, lanes.squares);
  case at::kBFloat16: return sum_bf16(halves, chunk.elements, lanes.absolute, lanes.squares);
  default: return sum_f16(halves, chunk.elements, lanes.absolute, lanes.squares);
  }
}

// The order of the elements does not matter, so a tensor without gaps is read in the order of its memory.
at::Tensor gapless(const at::Tensor &t) { return t.is_non_overlapping_and_dense() ? t : t.contiguous(); }

// The sums of the defined tensors; those of the others are 0.
void sum_defined(const std::vector<at::Tensor> &tensors, double *absolute, double *squares) {
  std::vector<at::Tensor> kept; // copies live until they are summed
  std::vector<Chunk> chunks;
  kept.reserve(tensors.size());
  for (size_t k = 0; k < tensors.size(); ++k) {
    absolute[k] = squares[k] = 0.0;
    if (!tensors[k].defined()) continue;
    grades::check_kind(tensors[k]);
    TORCH_CHECK(tensors[k].is_cpu(), "these sums are for tensors on the CPU");
    kept.push_back(gapless(tensors[k]));
    const at::Tensor &t = kept.back();
    const char *start = static_cast<const char *>(t.const_data_ptr());
    for (int64_t done = 0; done < t.numel(); done += CHUNK) {
      chunks.push_back({k, t.scalar_type(), start + done * t.element_size(), std::min(CHUNK, t.numel() - done)});
    }
  }
  std::vector<std::pair<double, double>> partial(chunks.size());
  at::parallel_for(0, static_cast<int64_t>(chunks.size()), 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Lanes lanes;
      sum_chunk(chunks[i], lanes);
      partial[i] = {lanes.total_absolute(), lanes.total_squares()};
    }
  });
  for (size_t i = 0; i < chunks.size(); ++i) {
    absolute[chunks[i].index] += partial[i].first;
    squares[chunks[i].index] += partial[i].second;
  }
}

} // namespace

namespace grades {

void check_kind(const at::Tensor &t) {
  const auto kind = t.scalar_type();
  TORCH_CHECK(kind == at::kDouble || kind == at::kFloat || kind == at::kBFloat16 || kind == at::kHalf,
              "sums know f64, f32, bf16 and f16, not ", kind);
}

} // namespace grades

extern "C" {

// Of each tensor on the CPU, or of each parameter's gradient, the sum of absolute values and of squares; `defined`
// is 0, and the sums are 0, where there is no gradient.
char *grades_sums(const tensor *tensors, size_t n, bool of_gradients, double *absolute, double *squares,
                  uint8_t *defined) {
  return grades::guarded([&] {
    grades::keep_cuda();
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> list(n);
    for (size_t i = 0; i < n; ++i) {
      defined[i] = !of_gradients || tensors[i]->grad().defined() ? 1 : 0;
      if (defined[i] != 0) list[i] = of_gradients ? grades::dense_gradient(*tensors[i]) : *tensors[i];
    }
    sum_defined(list, absolute, squares);
  });
}

} // extern "C"
