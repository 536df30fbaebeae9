// Running means of weights.

#include "grades.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_lerp.h>

#include <vector>

extern "C" {

// Moves each mean towards a value by a share of their difference. A value may be of a narrower kind than its mean.
char *grades_move_towards(const tensor *means, const tensor *values, const double *shares, size_t n) {
  return grades::guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> to, from;
    std::vector<at::Scalar> by;
    for (size_t i = 0; i < n; ++i) {
      const at::Tensor value = values[i]->detach();
      if (value.scalar_type() == means[i]->scalar_type()) {
        to.push_back(*means[i]);
        from.push_back(value);
        by.emplace_back(shares[i]);
      } else {
        // One at a time: a copy of all would be as large as the means.
        means[i]->lerp_(value.to(means[i]->scalar_type()), shares[i]);
      }
    }
    if (!to.empty()) at::_foreach_lerp_(to, from, by);
  });
}

} // extern "C"
