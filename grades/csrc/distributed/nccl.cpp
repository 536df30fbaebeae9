// The NCCL backend: compiled where the headers of NCCL and CUDA are, against those of the packages that torch depends on.

#include "group.h"

// CUDA's headers of these types need a compiler of device code; NCCL's and torch's headers only name them.
#define __CUDA_FP16_H__
#define __CUDA_BF16_H__
#define __CUDA_FP8_H__
#define __CUDA_FP6_H__
#define __CUDA_FP4_H__
struct __half;
struct __nv_bfloat16;

#define USE_C10D_NCCL 1
#include <torch/csrc/cuda/nccl.h>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

namespace grades {

c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store> &store, int rank, int world,
                                            milliseconds timeout, int64_t device) {
  // A structure of nccl.h is a member of the options, so its version must be the one that torch was compiled with.
  const std::uint64_t library = torch::cuda::nccl::version();
  const std::uint64_t headers = (static_cast<std::uint64_t>(NCCL_MAJOR) << 32) | (NCCL_MINOR << 16) | NCCL_PATCH;
  if ((library >> 16) != (headers >> 16)) {
    throw std::runtime_error("grades was compiled with the headers of NCCL " + std::to_string(NCCL_MAJOR) + "." +
                             std::to_string(NCCL_MINOR) + ", and the loaded libtorch has NCCL " +
                             std::to_string(library >> 32) + "." + std::to_string((library >> 16) & 0xffff) +
                             "; compile grades against the packages that it runs with");
  }
  auto options = construct<c10d::ProcessGroupNCCL::Options>("ProcessGroupNCCL::Options");
  options->timeout = timeout;
  auto group = construct<c10d::ProcessGroupNCCL>("ProcessGroupNCCL", store, rank, world, options);
  group->setBoundDeviceId(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device)));
  return group;
}

} // namespace grades
