// The state of libtorch's random number generators, which tch can seed but neither read nor restore.

#include "grades.h"

#include <ATen/Context.h>
#include <ATen/core/Generator.h>

#include <mutex>

namespace {

// The default generator: of the CPU for -1, else of that CUDA device.
at::Generator generator(int64_t cuda) {
  auto device = cuda < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(cuda));
  return at::globalContext().defaultGenerator(device);
}

} // namespace

extern "C" {

// Returns a byte tensor on the CPU, which the caller frees.
char *grades_generator_state(int64_t cuda, tensor *out) {
  return grades::guarded([&] {
    auto chosen = generator(cuda);
    std::lock_guard<std::mutex> lock(chosen.mutex());
    *out = new at::Tensor(chosen.get_state());
  });
}

char *grades_set_generator_state(int64_t cuda, tensor state) {
  return grades::guarded([&] {
    auto chosen = generator(cuda);
    std::lock_guard<std::mutex> lock(chosen.mutex());
    chosen.set_state(*state);
  });
}

} // extern "C"
