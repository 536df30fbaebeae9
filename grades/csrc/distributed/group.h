// A group of processes ("ranks") on libtorch's c10d: the parts that the files of this folder share.
#pragma once

#include "../grades.h"

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <chrono>
#include <memory>
#include <new>
#include <string>
#include <utility>

namespace grades {

using Work = c10::intrusive_ptr<c10d::Work>;
using std::chrono::milliseconds;

struct Group {
  int64_t rank = 0;
  int64_t world = 1;
  milliseconds timeout{};
  // Gloo, for messages of a few numbers: it is ready at once, waits for no device, and sees at once when a rank ends.
  c10::intrusive_ptr<c10d::Backend> control;
  // For gradients and weights: the same as `control`, or NCCL.
  c10::intrusive_ptr<c10d::Backend> data;
};

// Reduces one tensor over all ranks, in place; returns before it is done.
//
// Never a list of several tensors: c10d sums over the list too.
Work all_reduce(const c10::intrusive_ptr<c10d::Backend> &backend, const at::Tensor &tensor, c10d::ReduceOp::RedOpType op,
                milliseconds timeout);

// Sums one tensor over all ranks on rank `root`; on the others its numbers mean nothing afterwards. A backend without the
// operation sums on all ranks.
Work reduce(const c10::intrusive_ptr<c10d::Backend> &backend, const at::Tensor &tensor, int64_t root, milliseconds timeout);

// Copies one tensor of rank `root` to all others; returns before it is done.
Work broadcast(const c10::intrusive_ptr<c10d::Backend> &backend, const at::Tensor &tensor, int64_t root,
               milliseconds timeout);

// Makes an object whose constructor is in libtorch, and checks that libtorch's type is not larger than that of the headers
// it was compiled with here: the headers of gloo are this project's, those of NCCL come from another package.
template <typename T, typename... Args>
c10::intrusive_ptr<T> construct(const char *name, Args &&...args) {
  constexpr size_t guard = 512;
  constexpr unsigned char mark = 0x5a;
  void *memory = ::operator new(sizeof(T) + guard);
  unsigned char *behind = static_cast<unsigned char *>(memory) + sizeof(T);
  std::memset(behind, mark, guard);
  T *object = nullptr;
  try {
    object = new (memory) T(std::forward<Args>(args)...);
  } catch (...) {
    ::operator delete(memory);
    throw;
  }
  auto owned = c10::intrusive_ptr<T>::unsafe_steal_from_new(object);
  for (size_t i = 0; i < guard; ++i) {
    if (behind[i] != mark) {
      throw std::runtime_error(std::string(name) + " is larger in the loaded libtorch than in the headers that grades was "
                               "compiled with; compile grades against the libtorch that it runs with");
    }
  }
  return owned;
}

// Throws where this build has no NCCL.
c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store> &store, int rank, int world,
                                            milliseconds timeout, int64_t device);

} // namespace grades

// The traffic of one step's gradients.
struct grades_traffic {
  uint64_t bytes;   // of this rank's gradients
  uint64_t buckets;
  uint64_t early;   // buckets that were sent during the backward pass
  double waited;    // seconds from the end of the backward pass
};

struct grades_group {
  std::shared_ptr<grades::Group> group;
};
