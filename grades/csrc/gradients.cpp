// The gradients of parameters: finding, dropping, scaling and clamping them in place.

#include "grades.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_clamp_max.h>
#include <ATen/ops/_foreach_clamp_min.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_mul.h>

#include <vector>

#ifdef GRADES_CUDA
namespace at::cuda {
int warp_size();
}
#endif

namespace grades {

void keep_cuda() {
#ifdef GRADES_CUDA
  // The address is taken, the function is not called: it fails on a machine without a GPU.
  static int (*volatile symbol)() = &at::cuda::warp_size;
  (void)symbol;
#endif
}

const at::Tensor &dense_gradient(const at::Tensor &parameter) {
  const at::Tensor &gradient = parameter.grad();
  if (gradient.layout() != at::kStrided) {
    throw std::runtime_error("a sparse gradient is not supported: build the embedding with sparse = false");
  }
  return gradient;
}

static std::vector<at::Tensor> defined_gradients(const tensor *parameters, size_t n) {
  std::vector<at::Tensor> gradients;
  gradients.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    if (parameters[i]->grad().defined()) gradients.push_back(dense_gradient(*parameters[i]));
  }
  return gradients;
}

} // namespace grades

extern "C" {

void grades_free(char *text) { std::free(text); }

// The address of the tensor: two handles with one address are one tensor.
char *grades_identity(tensor t, size_t *out) {
  return grades::guarded([&] {
    grades::keep_cuda(); // here, since every program that reads a VarStore calls it
    *out = reinterpret_cast<size_t>(t->unsafeGetTensorImpl());
  });
}

// Whether every element of the storage belongs to exactly one element of the tensor.
char *grades_is_dense(tensor t, uint8_t *out) {
  return grades::guarded(
      [&] { *out = t->layout() == at::kStrided && t->is_non_overlapping_and_dense() ? 1 : 0; });
}

char *grades_has_gradient(const tensor *parameters, size_t n, uint8_t *out) {
  return grades::guarded([&] {
    grades::keep_cuda();
    for (size_t i = 0; i < n; ++i) out[i] = parameters[i]->grad().defined() ? 1 : 0;
  });
}

char *grades_drop_gradients(const tensor *parameters, size_t n) {
  return grades::guarded([&] {
    grades::keep_cuda();
    for (size_t i = 0; i < n; ++i) {
      if (parameters[i]->grad().defined()) parameters[i]->mutable_grad().reset();
    }
  });
}

char *grades_scale_gradients(const tensor *parameters, size_t n, double factor) {
  return grades::guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> gradients = grades::defined_gradients(parameters, n);
    if (!gradients.empty()) at::_foreach_mul_(gradients, factor);
  });
}

// Divides gradients by a scalar on their device, without waiting for it.
char *grades_divide_gradients(const tensor *parameters, size_t n, tensor divisor) {
  return grades::guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> gradients = grades::defined_gradients(parameters, n);
    if (!gradients.empty()) at::_foreach_div_(gradients, *divisor);
  });
}

char *grades_clamp_gradients(const tensor *parameters, size_t n, double limit) {
  return grades::guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> gradients = grades::defined_gradients(parameters, n);
    if (gradients.empty()) return;
    at::_foreach_clamp_min_(gradients, -limit);
    at::_foreach_clamp_max_(gradients, limit);
  });
}

} // extern "C"
