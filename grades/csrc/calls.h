// The lists and numbers of one update, for the CPU and for devices alike. `src/torch/ffi/update.rs` has the same structs.
#pragma once

#include "grades.h"

extern "C" {

// The sums of one parameter.
struct grades_step_sums {
  double absolute;
  double squares;
  double moment_input;
  double moments;
  double updates;
  double progress;
};

// The part of an update that all optimizers share.
struct grades_update {
  size_t n;
  const tensor *parameters;
  const tensor *masters; // null where the parameters are the weights
  double lr, weight_decay;
  double factor;           // of the gradients
  tensor divisor;          // of the gradients, an f32 scalar on their device; null for 1 (devices only)
  const uint8_t *requests; // the sums to compute of each, see `update.h`; null for none (CPU only)
  grades_step_sums *sums;  // of each; null for none (CPU only)
  uint8_t *updated;        // whether each had a gradient
};

struct grades_adam {
  grades_update update;
  const tensor *averages;
  const tensor *squares;
  const tensor *maxima; // null without amsgrad
  const tensor *steps;
  double beta1, beta2, eps;
  bool decoupled; // weight decay, from the gradient
};

struct grades_sgd {
  grades_update update;
  const tensor *buffers; // null without momentum
  double momentum, dampening;
  bool nesterov;
  bool first; // the buffers are written, not read
};

} // extern "C"
