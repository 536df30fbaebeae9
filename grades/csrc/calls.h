// The lists and numbers of one update, for the CPU and for devices alike. `src/torch/ffi/update.rs` has the same structs.
#pragma once

#include "grades.h"

extern "C" {

// What is summed of one parameter.
struct grades_step_sums {
  double absolute;
  double squares;
  double averaged;
  double moments;
  double updates;
};

struct grades_adam {
  bool decoupled;
  size_t n;
  const tensor *parameters;
  const tensor *masters; // null where the parameters are the weights
  const tensor *averages;
  const tensor *squares;
  const tensor *maxima; // null without amsgrad
  const tensor *steps;
  double lr, beta1, beta2, weight_decay, eps;
  double factor;          // of the gradients
  tensor divisor;         // of the gradients, an f32 scalar on their device; null for 1 (devices only)
  const uint8_t *want;    // what to sum of each; null for nothing (CPU only)
  grades_step_sums *sums; // of each; null for nothing (CPU only)
  uint8_t *updated;       // whether each had a gradient
};

struct grades_sgd {
  size_t n;
  const tensor *parameters;
  const tensor *masters; // null where the parameters are the weights
  const tensor *buffers; // null without momentum
  double lr, momentum, dampening, weight_decay;
  bool nesterov;
  bool first;             // the buffers are written, not read
  double factor;          // of the gradients
  tensor divisor;         // of the gradients, an f32 scalar on their device; null for 1 (devices only)
  const uint8_t *want;    // what to sum of each; null for nothing (CPU only)
  grades_step_sums *sums; // of each; null for nothing (CPU only)
  uint8_t *updated;       // whether each had a gradient
};

} // extern "C"
