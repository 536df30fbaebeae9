// The sum of absolute values and the sum of squares of gradients, both in one pass.
//
// CPU: the elements of all gradients are cut into chunks of a fixed size, each chunk is summed on its own in f64,
// and the chunks are added in order. So the result depends neither on the number of threads nor on the vector
// instructions of the machine: the square of an f32 is exact in f64, and contraction is off for f64.
// Other devices: one norm of each order per gradient, stacked, and one copy to the host per device.

#include "grades.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <cmath>
#include <vector>

#if defined(__GNUC__) && defined(__x86_64__) && defined(__linux__)
#define GRADES_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#define GRADES_INLINE inline __attribute__((always_inline))
#else
#define GRADES_CLONES
#define GRADES_INLINE inline
#endif

namespace {

constexpr int64_t CHUNK = 16384;
constexpr int LANES = 32;

struct Sums {
  double absolute = 0.0;
  double squares = 0.0;
};

// Both sums need only the magnitude.
struct LoadF64 {
  using Stored = double;
  static GRADES_INLINE double magnitude(double x) { return std::fabs(x); }
};

struct LoadF32 {
  using Stored = float;
  static GRADES_INLINE double magnitude(float x) { return static_cast<double>(std::fabs(x)); }
};

GRADES_INLINE float float_of_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// bf16 is the upper half of an f32.
struct LoadBf16 {
  using Stored = uint16_t;
  static GRADES_INLINE double magnitude(uint16_t x) {
    return static_cast<double>(float_of_bits(static_cast<uint32_t>(x & 0x7fff) << 16));
  }
};

// The bits of an f16 shifted into those of an f32 are its value times 2^-112; the exponent of infinities and NaN
// is filled up. No branch, so that the loop vectorises without half-precision instructions.
struct LoadF16 {
  using Stored = uint16_t;
  static GRADES_INLINE double magnitude(uint16_t x) {
    const uint32_t bits = static_cast<uint32_t>(x & 0x7fff) << 13;
    const uint32_t special = (x & 0x7c00) == 0x7c00 ? 0x7f800000u : 0u;
    return static_cast<double>(float_of_bits(bits | special)) * 0x1p112;
  }
};

template <typename Load>
GRADES_INLINE Sums sum_values(const typename Load::Stored *values, int64_t n) {
  double absolute[LANES] = {};
  double squares[LANES] = {};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (int lane = 0; lane < LANES; ++lane) {
      const double x = Load::magnitude(values[i + lane]);
      absolute[lane] += x;
      squares[lane] += x * x;
    }
  }
  for (int lane = 0; i < n; ++i, ++lane) {
    const double x = Load::magnitude(values[i]);
    absolute[lane] += x;
    squares[lane] += x * x;
  }
  Sums sums;
  for (int lane = 0; lane < LANES; ++lane) {
    sums.absolute += absolute[lane];
    sums.squares += squares[lane];
  }
  return sums;
}

GRADES_CLONES Sums sum_f64(const double *values, int64_t n) { return sum_values<LoadF64>(values, n); }
GRADES_CLONES Sums sum_f32(const float *values, int64_t n) { return sum_values<LoadF32>(values, n); }
GRADES_CLONES Sums sum_bf16(const uint16_t *values, int64_t n) { return sum_values<LoadBf16>(values, n); }
GRADES_CLONES Sums sum_f16(const uint16_t *values, int64_t n) { return sum_values<LoadF16>(values, n); }

struct Chunk {
  size_t index; // of the gradient in the caller's list
  at::ScalarType kind;
  const char *start;
  int64_t elements;
};

Sums sum_chunk(const Chunk &chunk) {
  switch (chunk.kind) {
  case at::kDouble: return sum_f64(reinterpret_cast<const double *>(chunk.start), chunk.elements);
  case at::kFloat: return sum_f32(reinterpret_cast<const float *>(chunk.start), chunk.elements);
  case at::kBFloat16: return sum_bf16(reinterpret_cast<const uint16_t *>(chunk.start), chunk.elements);
  default: return sum_f16(reinterpret_cast<const uint16_t *>(chunk.start), chunk.elements);
  }
}

void check_kind(const at::Tensor &gradient) {
  const auto kind = gradient.scalar_type();
  TORCH_CHECK(kind == at::kDouble || kind == at::kFloat || kind == at::kBFloat16 || kind == at::kHalf,
              "the gradient sums know f64, f32, bf16 and f16, not ", kind);
}

// Any order of the elements will do, so a tensor without gaps is walked through as it lies.
at::Tensor gapless(const at::Tensor &gradient) {
  return gradient.is_non_overlapping_and_dense() ? gradient : gradient.contiguous();
}

void sum_on_cpu(const std::vector<at::Tensor> &gradients, const std::vector<size_t> &indices, double *absolute,
                double *squares) {
  std::vector<at::Tensor> kept; // copies live until the sums are taken
  std::vector<Chunk> chunks;
  kept.reserve(gradients.size());
  for (size_t k = 0; k < gradients.size(); ++k) {
    kept.push_back(gapless(gradients[k]));
    const at::Tensor &g = kept.back();
    const char *start = static_cast<const char *>(g.const_data_ptr());
    for (int64_t done = 0; done < g.numel(); done += CHUNK) {
      chunks.push_back({indices[k], g.scalar_type(), start + done * g.element_size(),
                        std::min<int64_t>(CHUNK, g.numel() - done)});
    }
  }
  std::vector<Sums> partial(chunks.size());
  at::parallel_for(0, static_cast<int64_t>(chunks.size()), 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) partial[i] = sum_chunk(chunks[i]);
  });
  for (size_t i = 0; i < chunks.size(); ++i) {
    absolute[chunks[i].index] += partial[i].absolute;
    squares[chunks[i].index] += partial[i].squares;
  }
}

void sum_on_device(const std::vector<at::Tensor> &gradients, const std::vector<size_t> &indices,
                   double *absolute, double *squares) {
  // f64 in f64, all else in f32: a list of norms has one kind of accumulation.
  std::vector<at::Tensor> tables; // two rows, of order 1 and of order 2
  std::vector<size_t> order;
  for (const bool wide : {false, true}) {
    std::vector<at::Tensor> list;
    for (size_t k = 0; k < gradients.size(); ++k) {
      if ((gradients[k].scalar_type() == at::kDouble) != wide || gradients[k].numel() == 0) continue;
      list.push_back(gradients[k]);
      order.push_back(indices[k]);
    }
    if (list.empty()) continue;
    const auto kind = wide ? at::kDouble : at::kFloat;
    std::vector<at::Tensor> norms = at::_foreach_norm(list, 1, kind);
    std::vector<at::Tensor> second = at::_foreach_norm(list, 2, kind);
    norms.insert(norms.end(), second.begin(), second.end());
    tables.push_back(at::stack(norms).view({2, -1}));
  }
  if (order.empty()) return;
  if (tables.size() == 2) tables[0] = tables[0].to(at::kDouble);
  const at::Tensor all = tables.size() == 1 ? tables[0] : at::cat(tables, 1);
  const at::Tensor host = all.to(at::kCPU).to(at::kDouble).contiguous();
  grades::count_host_sync();
  const double *values = host.const_data_ptr<double>();
  for (size_t k = 0; k < order.size(); ++k) {
    absolute[order[k]] = values[k];
    squares[order[k]] = values[order.size() + k] * values[order.size() + k];
  }
}

// The sums of the defined tensors, device by device; those of the others are 0.
void sum_defined(const std::vector<at::Tensor> &tensors, double *absolute, double *squares) {
  std::vector<at::Device> devices;
  for (size_t i = 0; i < tensors.size(); ++i) {
    absolute[i] = squares[i] = 0.0;
    if (!tensors[i].defined()) continue;
    check_kind(tensors[i]);
    if (std::find(devices.begin(), devices.end(), tensors[i].device()) == devices.end()) {
      devices.push_back(tensors[i].device());
    }
  }
  for (const at::Device device : devices) {
    std::vector<at::Tensor> list;
    std::vector<size_t> indices;
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (!tensors[i].defined() || tensors[i].device() != device) continue;
      list.push_back(tensors[i]);
      indices.push_back(i);
    }
    const auto sum = device.is_cpu() ? sum_on_cpu : sum_on_device;
    sum(list, indices, absolute, squares);
  }
}

} // namespace

extern "C" {

// Of each parameter's gradient the sum of absolute values and of squares; `defined` is 0, and the sums are 0,
// where there is none.
char *grades_gradient_sums(const tensor *parameters, size_t n, double *absolute, double *squares,
                           uint8_t *defined) {
  return grades::guarded([&] {
    grades::keep_cuda();
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> gradients(n);
    for (size_t i = 0; i < n; ++i) {
      defined[i] = parameters[i]->grad().defined() ? 1 : 0;
      if (defined[i] != 0) gradients[i] = grades::dense_gradient(*parameters[i]);
    }
    sum_defined(gradients, absolute, squares);
  });
}

// The same of tensors themselves.
char *grades_tensor_sums(const tensor *tensors, size_t n, double *absolute, double *squares) {
  return grades::guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> list(n);
    for (size_t i = 0; i < n; ++i) list[i] = *tensors[i];
    sum_defined(list, absolute, squares);
  });
}

} // extern "C"
