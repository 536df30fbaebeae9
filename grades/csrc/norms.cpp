// Norms of many tensors of one device, and other values there, gathered into one vector on the device and copied to the
// host once, without waiting.

#include "grades.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <optional>
#include <vector>

// Values are numbered in the order in which they were added.
struct grades_norms {
  std::vector<at::Tensor> parts;            // vectors of f64 on the device
  std::vector<std::vector<size_t>> numbers; // the number of the value of each element of a part
  size_t count = 0;
  at::Tensor host;
  std::optional<c10::Event> arrived;
};

namespace {

at::Tensor of(const std::vector<at::Tensor> &list, int order, at::ScalarType kind) {
  return at::stack(at::_foreach_norm(list, order, kind)).to(at::kDouble);
}

} // namespace

extern "C" {

char *grades_norms_new(grades_norms **out) {
  return grades::guarded([&] { *out = new grades_norms(); });
}

void grades_norms_free(grades_norms *norms) { delete norms; }

// Adds the norm of this order (1 or 2) of each tensor, or of each parameter's gradient. All are on one device.
char *grades_norms_add(grades_norms *norms, const tensor *tensors, size_t n, bool of_gradients, int order) {
  return grades::guarded([&] {
    grades::keep_cuda();
    at::NoGradGuard no_grad;
    TORCH_CHECK(!norms->host.defined(), "the norms are on their way already");
    // f64 in f64, all else in f32: a list of norms has one kind of accumulation.
    for (const bool wide : {false, true}) {
      std::vector<at::Tensor> list;
      std::vector<size_t> numbers;
      for (size_t k = 0; k < n; ++k) {
        const at::Tensor &t = of_gradients ? grades::dense_gradient(*tensors[k]) : *tensors[k];
        grades::check_kind(t);
        if ((t.scalar_type() == at::kDouble) != wide || t.numel() == 0) continue; // a norm of nothing stays 0
        list.push_back(t);
        numbers.push_back(norms->count + k);
      }
      if (list.empty()) continue;
      norms->parts.push_back(of(list, order, wide ? at::kDouble : at::kFloat));
      norms->numbers.push_back(std::move(numbers));
    }
    norms->count += n;
  });
}

// Adds values that are on the device already: tensors of one element each.
char *grades_norms_add_values(grades_norms *norms, const tensor *values, size_t n) {
  return grades::guarded([&] {
    at::NoGradGuard no_grad;
    TORCH_CHECK(!norms->host.defined(), "the norms are on their way already");
    std::vector<at::Tensor> list;
    std::vector<size_t> numbers;
    for (size_t k = 0; k < n; ++k) {
      list.push_back(values[k]->to(at::kDouble).view({}));
      numbers.push_back(norms->count + k);
    }
    if (list.empty()) return;
    norms->parts.push_back(at::stack(list));
    norms->numbers.push_back(std::move(numbers));
    norms->count += n;
  });
}

// The factor that brings the common norm of the values from `first` on, each an L2 norm, down to `max`: max ÷ (norm + 1e-6), or
// 1 where the norm is below or not finite. `divisor` is a new f32 scalar on the device, 1 over the factor. The norm
// becomes a value of its own.
char *grades_norms_clip(grades_norms *norms, size_t first, double max, tensor *divisor) {
  return grades::guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> parts;
    for (size_t k = 0; k < norms->parts.size(); ++k) {
      if (norms->numbers[k].front() >= first) parts.push_back(norms->parts[k]);
    }
    TORCH_CHECK(!parts.empty(), "there is no norm to clip by");
    const at::Tensor norm = at::cat(parts).square().sum().sqrt();
    const at::Tensor factor = norm.add(1e-6).reciprocal().mul(max).clamp_max(1.0);
    const at::Tensor finite = at::where(norm.isfinite(), factor, at::Scalar(1.0));
    *divisor = new at::Tensor(finite.reciprocal().to(at::kFloat));
    norms->parts.push_back(norm.view({1}));
    norms->numbers.push_back({norms->count++});
  });
}

// Starts the copy to the host, without waiting.
char *grades_norms_send(grades_norms *norms) {
  return grades::guarded([&] {
    at::NoGradGuard no_grad;
    if (norms->parts.empty()) return;
    const at::Tensor all = at::cat(norms->parts);
    const bool device = !all.is_cpu();
    norms->host = at::empty(all.sizes(), at::TensorOptions().dtype(at::kDouble).pinned_memory(device));
    norms->host.copy_(all, /*non_blocking=*/device);
    if (device) {
      const c10::impl::VirtualGuardImpl guard(all.device().type());
      norms->arrived.emplace(all.device().type());
      norms->arrived->record(guard.getStream(all.device()));
    }
  });
}

// Waits for the values. `late` says that the device was given other work since they were sent, so that it is busy while
// the host waits.
char *grades_norms_read(grades_norms *norms, double *out, size_t n, bool late) {
  return grades::guarded([&] {
    TORCH_CHECK(n == norms->count, "as many values are read as were added");
    for (size_t i = 0; i < n; ++i) out[i] = 0.0;
    if (norms->parts.empty()) return;
    TORCH_CHECK(norms->host.defined(), "the norms were not sent");
    if (norms->arrived.has_value()) {
      if (!late) grades::count_host_sync();
      norms->arrived->synchronize();
    }
    const double *values = norms->host.const_data_ptr<double>();
    size_t at = 0;
    for (const std::vector<size_t> &numbers : norms->numbers) {
      for (const size_t number : numbers) out[number] = values[at++];
    }
  });
}

} // extern "C"
