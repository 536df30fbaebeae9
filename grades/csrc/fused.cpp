// libtorch's fused optimizer kernels, over lists of parameters of one device and type. A parameter without a
// gradient is left alone: no update, no decay, no step counted.
//
// The kernels need parameters, gradients and state of one type. Where the state is wider, or the weights are master
// copies in f32, the update goes through f32: in place for masters, else through copies that live for one slice.

#include "calls.h"
#include "lists.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/full.h>

#include <optional>
#include <vector>

namespace {

using List = std::vector<at::Tensor>;

// The maximal number of elements in f32 copies at a time.
constexpr int64_t SLICE = int64_t{1} << 26;

// The divisor of the gradients in the form that the kernels need.
std::optional<at::Tensor> divisor(double factor, tensor on_device, const at::Tensor &like) {
  if (on_device != nullptr) return *on_device;
  if (factor == 1.0) return std::nullopt;
  return at::full({}, 1.0 / factor, like.options().dtype(at::kFloat).requires_grad(false));
}

// The lists of one call: weights, gradients and up to three states.
struct Slice {
  List weights, gradients, states[3], steps;
  List narrow; // the parameters that the weights are copied back to
};

// Calls `body` with the lists in the form that the kernels need, and copies wide weights back.
template <typename Body>
void for_slices(const grades_update &call, const std::vector<const tensor *> &states, const tensor *steps,
                const Body &body) {
  Slice slice;
  int64_t copied = 0;
  const auto run = [&] {
    if (slice.weights.empty()) return;
    if (steps != nullptr) at::_foreach_add_(slice.steps, 1);
    body(slice);
    if (!slice.narrow.empty()) at::_foreach_copy_(slice.narrow, slice.weights);
    slice = Slice();
    copied = 0;
  };
  std::vector<at::Tensor> copies;
  for (size_t i = 0; i < call.n; ++i) {
    const at::Tensor &parameter = *call.parameters[i];
    call.updated[i] = parameter.grad().defined() ? 1 : 0;
    if (call.updated[i] == 0) continue;
    const grades::Lists lists{parameter, call.masters == nullptr ? nullptr : call.masters[i]};
    const at::Tensor gradient = lists.gradient(copies);
    copies.clear();
    const bool wide = lists.master != nullptr ||
                      (!states.empty() && states[0][i]->scalar_type() != parameter.scalar_type());
    if (wide) {
      if (copied > 0 && copied + parameter.numel() > SLICE) run();
      copied += parameter.numel();
      slice.weights.push_back(lists.master != nullptr ? lists.fitting(*lists.master) : parameter.to(at::kFloat));
      slice.gradients.push_back(gradient.to(at::kFloat));
      slice.narrow.push_back(parameter);
    } else {
      slice.weights.push_back(parameter);
      slice.gradients.push_back(gradient);
    }
    for (size_t k = 0; k < states.size(); ++k) slice.states[k].push_back(lists.fitting(*states[k][i]));
    if (steps != nullptr) slice.steps.push_back(*steps[i]);
  }
  run();
}

} // namespace

extern "C" {

// Adds 1 to the step of each parameter that is updated.
char *grades_fused_adam(const grades_adam *call) {
  return grades::guarded([&] {
    grades::keep_cuda();
    at::NoGradGuard no_grad;
    const bool amsgrad = call->maxima != nullptr;
    std::vector<const tensor *> states{call->averages, call->squares};
    if (amsgrad) states.push_back(call->maxima);
    const grades_update &u = call->update;
    for_slices(u, states, call->steps, [&](const Slice &s) {
      const auto scale = divisor(u.factor, u.divisor, s.weights[0]);
      if (call->decoupled) {
        at::_fused_adamw_(s.weights, s.gradients, s.states[0], s.states[1], s.states[2], s.steps, u.lr, call->beta1,
                          call->beta2, u.weight_decay, call->eps, amsgrad, false, scale);
      } else {
        at::_fused_adam_(s.weights, s.gradients, s.states[0], s.states[1], s.states[2], s.steps, u.lr, call->beta1,
                         call->beta2, u.weight_decay, call->eps, amsgrad, false, scale);
      }
    });
  });
}

char *grades_fused_sgd(const grades_sgd *call) {
  return grades::guarded([&] {
    grades::keep_cuda();
    at::NoGradGuard no_grad;
    std::vector<const tensor *> states;
    if (call->buffers != nullptr) states.push_back(call->buffers);
    const grades_update &u = call->update;
    for_slices(u, states, nullptr, [&](const Slice &s) {
      // libtorch's kernel for the CPU skips most elements in half precision (pytorch/pytorch#191763).
      TORCH_CHECK(!s.weights[0].is_cpu() || !at::isReducedFloatingType(s.weights[0].scalar_type()),
                  "the kind of a parameter changed after the optimizer's first step");
      const auto scale = divisor(u.factor, u.divisor, s.weights[0]);
      at::_fused_sgd_(s.weights, s.gradients, s.states[0], u.weight_decay, call->momentum, u.lr,
                      call->dampening, call->nesterov, false, call->first, scale);
    });
  });
}

} // extern "C"
