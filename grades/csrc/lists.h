// What a list of tensors must be for a kernel that walks through memory without looking at strides.
#pragma once

#include "grades.h"

#include <ATen/ops/empty_like.h>

#include <vector>

namespace grades {

// Tells autograd that a tensor was written to, so that a backward pass that needs what it was fails.
inline void note_written(const at::Tensor &t) {
  if (!t.is_inference()) t.unsafeGetTensorImpl()->bump_version();
}

// A parameter and what goes with it.
struct Lists {
  const at::Tensor &parameter;
  tensor master; // null where the parameter is the weights

  // Kernels were chosen when the parameter was first seen; it may have been replaced since.
  void check_cpu() const {
    const auto kind = parameter.scalar_type();
    TORCH_CHECK(parameter.is_cpu() && (kind == at::kFloat || kind == at::kDouble || at::isReducedFloatingType(kind)),
                "the kind or device of a parameter changed after the optimizer's first step");
  }

  // The parameter's gradient, lying as the parameter does; a copy is kept alive in `copies`.
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

  // A state that was made for what the parameter was before it was replaced would be read out of bounds.
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
