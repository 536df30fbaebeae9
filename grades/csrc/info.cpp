// Facts about the loaded libtorch and about this build.

#include "grades.h"

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/DispatchKey.h>
#include <torch/version.h>

#ifndef _WIN32
#include <dlfcn.h>
#endif

// Per thread, so that the difference of two counts is the waits of the calls between them.
static thread_local uint64_t host_syncs = 0;

extern "C" uint64_t aoti_torch_abi_version();

namespace grades {

void count_host_sync() { ++host_syncs; }

} // namespace grades

extern "C" {

// Major, minor and patch in the three highest bytes, of the headers and of the loaded library.
char *grades_versions(uint64_t *headers, uint64_t *library) {
  return grades::guarded([&] {
    *headers = TORCH_ABI_VERSION;
    *library = aoti_torch_abi_version();
  });
}

char *grades_cpu_capability(char **out) {
  return grades::guarded([&] { *out = grades::message(at::get_cpu_capability().c_str()); });
}

// The file that libtorch_cpu was loaded from; empty where the system cannot say.
char *grades_library_path(char **out) {
  return grades::guarded([&] {
    const char *path = "";
#ifndef _WIN32
    Dl_info info;
    if (dladdr(reinterpret_cast<void *>(&at::get_cpu_capability), &info) != 0 && info.dli_fname != nullptr) {
      path = info.dli_fname;
    }
#endif
    *out = grades::message(path);
  });
}

// Whether `operation`, such as `aten::_fused_adamw_`, has a kernel for CUDA, or for the CPU.
char *grades_has_kernel(const char *operation, bool cuda, bool *out) {
  return grades::guarded([&] {
    auto handle = c10::Dispatcher::singleton().findSchema({operation, ""});
    *out = handle.has_value() &&
           handle->hasKernelForDispatchKey(cuda ? c10::DispatchKey::CUDA : c10::DispatchKey::CPU);
  });
}

char *grades_host_syncs(uint64_t *out) {
  return grades::guarded([&] { *out = host_syncs; });
}

// Returns cached memory of the accelerator's allocator to the device; does nothing without an accelerator.
char *grades_empty_cache() {
  return grades::guarded([&] {
    if (at::globalContext().hasCUDA()) at::accelerator::emptyCache();
  });
}

char *grades_built_for_cuda(bool *out) {
  return grades::guarded([&] {
    grades::keep_cuda();
#ifdef GRADES_CUDA
    *out = true;
#else
    *out = false;
#endif
  });
}

} // extern "C"
