// libtorch's fused optimizer kernels over lists of parameters of one device and kind. A parameter without a
// gradient is left alone: no update, no decay, no step counted.

#include "grades.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/empty_like.h>

#include <vector>

namespace {

using List = std::vector<at::Tensor>;

// The kernels walk through memory without looking at strides, so a gradient is to lie as its parameter does.
at::Tensor aligned_gradient(const at::Tensor &parameter) {
  const at::Tensor &gradient = grades::dense_gradient(parameter);
  TORCH_CHECK(gradient.sizes().equals(parameter.sizes()), "a gradient has another shape than its parameter");
  if (gradient.scalar_type() == parameter.scalar_type() &&
      (gradient.strides().equals(parameter.strides()) ||
       (gradient.is_contiguous() && parameter.is_contiguous()))) {
    return gradient;
  }
  return at::empty_like(parameter).copy_(gradient);
}

// A state that was made for what the parameter was before it was replaced would be read out of bounds.
const at::Tensor &fitting(const at::Tensor &state, const at::Tensor &parameter) {
  TORCH_CHECK(
      state.sizes().equals(parameter.sizes()) && state.scalar_type() == parameter.scalar_type() &&
          state.device() == parameter.device() && state.strides().equals(parameter.strides()),
      "the shape, kind or device of a parameter changed after its optimizer state was made");
  return state;
}

} // namespace

extern "C" {

// `maxima` is null without amsgrad. Adds 1 to the step of each parameter that is updated.
char *grades_fused_adam(bool decoupled, size_t n, const tensor *parameters, const tensor *averages,
                        const tensor *squares, const tensor *maxima, const tensor *steps, double lr,
                        double beta1, double beta2, double weight_decay, double eps) {
  return grades::guarded([&] {
    grades::keep_cuda();
    at::NoGradGuard no_grad;
    List p, g, m, v, x, s;
    for (List *list : {&p, &g, &m, &v, &s}) list->reserve(n);
    for (size_t i = 0; i < n; ++i) {
      const at::Tensor &parameter = *parameters[i];
      if (!parameter.grad().defined()) continue;
      p.push_back(parameter);
      g.push_back(aligned_gradient(parameter));
      m.push_back(fitting(*averages[i], parameter));
      v.push_back(fitting(*squares[i], parameter));
      if (maxima != nullptr) x.push_back(fitting(*maxima[i], parameter));
      s.push_back(*steps[i]);
    }
    if (p.empty()) return;
    at::_foreach_add_(s, 1);
    const bool amsgrad = maxima != nullptr;
    if (decoupled) {
      at::_fused_adamw_(p, g, m, v, x, s, lr, beta1, beta2, weight_decay, eps, amsgrad, false);
    } else {
      at::_fused_adam_(p, g, m, v, x, s, lr, beta1, beta2, weight_decay, eps, amsgrad, false);
    }
  });
}

// `buffers` is null without momentum; on the first step they are written, not read.
char *grades_fused_sgd(size_t n, const tensor *parameters, const tensor *buffers, double lr, double momentum,
                       double dampening, double weight_decay, bool nesterov, bool first) {
  return grades::guarded([&] {
    grades::keep_cuda();
    at::NoGradGuard no_grad;
    List p, g, b;
    for (List *list : {&p, &g, &b}) list->reserve(n);
    for (size_t i = 0; i < n; ++i) {
      const at::Tensor &parameter = *parameters[i];
      if (!parameter.grad().defined()) continue;
      // The kernel of the CPU skips most elements in half precision; without a buffer nothing else notices that
      // the kind has changed since the caller looked.
      TORCH_CHECK(!parameter.is_cpu() || !at::isReducedFloatingType(parameter.scalar_type()),
                  "the kind of a parameter changed after the optimizer's first step");
      p.push_back(parameter);
      g.push_back(aligned_gradient(parameter));
      if (buffers != nullptr) b.push_back(fitting(*buffers[i], parameter));
    }
    if (p.empty()) return;
    at::_fused_sgd_(p, g, b, weight_decay, momentum, lr, dampening, nesterov, false, first);
  });
}

} // extern "C"
