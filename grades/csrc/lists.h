// Checks of tensors for kernels that run over memory without regard to strides.
#pragma once

#include "grades.h"

#include <ATen/ops/empty_like.h>

#include <vector>

namespace grades {

// Notifies autograd that a tensor was written to, so that a backward pass that needs its old value fails.
inline void note_written(const at::Tensor &t) {
  if (!t.is_inference()) t.unsafeGetTensorImpl()->bump_version();
}

// A parameter and the tensors that belong to it.
struct Lists {
  const at::Tensor &parameter;
  tensor master; // null where the parameter is the weights

  // The kernel was chosen at the parameter's first gradient; the parameter may have been replaced since.
  void check_cpu() const {
    const auto kind = parameter.scalar_type();
    TORCH_CHECK(parameter.is_cpu() && (kind == at::kFloat || kind == at::kDouble || at::isReducedFloatingType(kind)),
                "the kind or device of a parameter changed after the optimizer's first step");
  }

  // The parameter's gradient in the parameter's layout; a copy lives as long as `copies`.
  const at::Tensor &gradient(std::vector<at::Tensor> &copies) const {
    TORCH_CHECK(master == nullptr || at::isReducedFloatingType(parameter.scalar_type()),
                "the kind of a parameter changed after its master copy was made");
    TORCH_CHECK(parameter.is_non_overlapping_and_dense(),
                "the layout of a parameter changed after the optimizer's first step");
    const at::Tensor &gradient = dense_gradient(parameter);
    TORCH_CHECK(gradient.sizes().equals(parameter.sizes()), "a gradient has another shape than its parameter");
    if (gradient.scalar_type() == parameter.scalar_type() && gradient.device() == parameter.device() &&
        (gradient.strides().equals(parameter.strides()) ||
         (gradient.is_contiguous() && parameter.is_contiguous()))) {
      return gradient;
    }
    copies.push_back(at::empty_like(parameter).copy_(gradient));
    return copies.back();
  }

  // State of a parameter that was replaced since would be read out of bounds.
  const at::Tensor &fitting(const at::Tensor &state) const {
    const bool kind = state.scalar_type() == parameter.scalar_type() ||
                      (state.scalar_type() == at::kFloat && at::isReducedFloatingType(parameter.scalar_type()));
    TORCH_CHECK(kind && state.sizes().equals(parameter.sizes()) && state.device() == parameter.device() &&
                    state.strides().equals(parameter.strides()),
                "the shape, kind or device of a parameter changed after its optimizer state was made");
    return state;
  }
};

} // namespace grades
