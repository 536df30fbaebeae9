// The C interface between grades and libtorch.
//
// Every function returns null, or an error message that the caller frees with `grades_free`. No exception
// leaves a function. Tensors are tch's handles (`at::Tensor *`) and are borrowed for the call.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>

using tensor = at::Tensor *;

namespace grades {

inline char *message(const char *text) {
  char *copy = static_cast<char *>(std::malloc(std::strlen(text) + 1));
  if (copy != nullptr) std::strcpy(copy, text);
  return copy;
}

// Runs `body` and turns an exception into a message.
template <typename Body>
char *guarded(const Body &body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const c10::Error &error) {
    return message(error.what_without_backtrace());
  } catch (const std::exception &error) {
    return message(error.what());
  } catch (...) {
    return message("an exception of unknown type");
  }
}

// Refers to a symbol of libtorch_cuda, where the build found that library, so that the linker keeps it.
void keep_cuda();

// Counts a copy to the host that waits for a device.
void count_host_sync();

// Throws where sums and norms do not support the type.
void check_kind(const at::Tensor &t);

// The gradient of a parameter; throws where it is not a dense tensor.
const at::Tensor &dense_gradient(const at::Tensor &parameter);

} // namespace grades
