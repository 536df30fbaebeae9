// Stores, through which ranks find each other, and the collective operations of a group.

#include "group.h"

#define USE_C10D_GLOO 1
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>
#include <c10/util/Logging.h>

#include <algorithm>

namespace grades {

Work all_reduce(const c10::intrusive_ptr<c10d::Backend> &backend, const at::Tensor &tensor, c10d::ReduceOp::RedOpType op,
                milliseconds timeout) {
  std::vector<at::Tensor> one{tensor};
  c10d::AllreduceOptions options;
  options.reduceOp = op;
  options.timeout = timeout;
  return backend->allreduce(one, options);
}

Work reduce(const c10::intrusive_ptr<c10d::Backend> &backend, const at::Tensor &tensor, int64_t root, milliseconds timeout) {
  std::vector<at::Tensor> one{tensor};
  c10d::ReduceOptions options;
  options.reduceOp = c10d::ReduceOp::SUM;
  options.rootRank = root;
  options.timeout = timeout;
  try {
    return backend->reduce(one, options);
  } catch (const c10::Error &error) {
    // Thrown before anything is sent, on all ranks alike.
    if (std::string(error.what()).find("does not support reduce") == std::string::npos) throw;
  }
  return all_reduce(backend, tensor, c10d::ReduceOp::SUM, timeout);
}

Work broadcast(const c10::intrusive_ptr<c10d::Backend> &backend, const at::Tensor &tensor, int64_t root,
               milliseconds timeout) {
  std::vector<at::Tensor> one{tensor};
  c10d::BroadcastOptions options;
  options.rootRank = root;
  options.timeout = timeout;
  return backend->broadcast(one, options);
}

#ifndef GRADES_NCCL
c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store> &, int, int, milliseconds, int64_t) {
  throw std::runtime_error("this build has no NCCL");
}
#endif

} // namespace grades

using grades::guarded;
using grades::milliseconds;

struct grades_store {
  c10::intrusive_ptr<c10d::Store> store;
};

// Numbers on their way over all ranks.
struct grades_sum {
  at::Tensor values;
  grades::Work work;
};

extern "C" {

// Where ranks find each other: a file, or a server at a host and a port.
struct grades_rendezvous {
  const char *file; // null for a server
  const char *host;
  uint16_t port;
  bool serves; // this rank is the server
  const char *prefix;
  int64_t world;
  double timeout; // seconds
};

char *grades_store_open(const grades_rendezvous *call, grades_store **out) {
  return guarded([&] {
    c10::initLogging(); // without it TORCH_CPP_LOG_LEVEL is not read
    const milliseconds timeout(static_cast<int64_t>(call->timeout * 1000.0));
    c10::intrusive_ptr<c10d::Store> store;
    if (call->file != nullptr) {
      store = c10::make_intrusive<c10d::FileStore>(call->file, static_cast<int>(call->world));
    } else {
      c10d::TCPStoreOptions options;
      options.port = call->port;
      options.isServer = call->serves;
      options.numWorkers = static_cast<size_t>(call->world);
      options.waitWorkers = false; // the caller waits, and then knows who is missing
      options.timeout = timeout;
      store = c10::make_intrusive<c10d::TCPStore>(call->host, options);
    }
    store->setTimeout(timeout);
    *out = new grades_store{c10::make_intrusive<c10d::PrefixStore>(call->prefix, store)};
  });
}

void grades_store_free(grades_store *store) { delete store; }

// The time after which a call of the store fails.
char *grades_store_set_timeout(grades_store *store, double seconds) {
  return guarded([&] { store->store->setTimeout(milliseconds(static_cast<int64_t>(seconds * 1000.0))); });
}

char *grades_store_set(grades_store *store, const char *key, const char *value) {
  return guarded([&] { store->store->set(key, std::string(value)); });
}

// Waits until the key is there.
char *grades_store_get(grades_store *store, const char *key, char **out) {
  return guarded([&] { *out = grades::message(store->store->get_to_str(key).c_str()); });
}

char *grades_store_has(grades_store *store, const char *key, bool *out) {
  return guarded([&] { *out = store->store->check({key}); });
}

char *grades_group_new(grades_store *store, bool nccl, int64_t rank, int64_t world, int64_t device, double timeout,
                       grades_group **out) {
  return guarded([&] {
    grades::keep_cuda();
    auto group = std::make_shared<grades::Group>();
    group->rank = rank;
    group->world = world;
    group->timeout = milliseconds(static_cast<int64_t>(timeout * 1000.0));
    const int self = static_cast<int>(rank), size = static_cast<int>(world);
    auto options = c10d::ProcessGroupGloo::Options::create_default(group->timeout);
    auto gloo = c10::make_intrusive<c10d::PrefixStore>("gloo", store->store);
    group->control = grades::construct<c10d::ProcessGroupGloo>("ProcessGroupGloo", gloo, self, size, options);
    group->data = group->control;
    if (nccl) {
      auto prefixed = c10::make_intrusive<c10d::PrefixStore>("nccl", store->store);
      group->data = grades::make_nccl(prefixed, self, size, group->timeout, device);
    }
    *out = new grades_group{std::move(group)};
  });
}

void grades_group_free(grades_group *group) {
  // A backend whose peers are gone may throw; nobody is left who could act on it.
  char *message = guarded([&] {
    if (group->group->data != group->group->control) group->group->data->shutdown();
    group->group->control->shutdown();
  });
  std::free(message);
  message = guarded([&] { delete group; });
  std::free(message);
}

char *grades_group_barrier(grades_group *group) {
  return guarded([&] {
    c10d::BarrierOptions options;
    options.timeout = group->group->timeout;
    group->group->control->barrier(options)->wait();
  });
}

// Copies the tensors of rank `root` to all others.
char *grades_group_broadcast(grades_group *group, const tensor *tensors, size_t n, int64_t root) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    const auto &g = *group->group;
    for (size_t i = 0; i < n; ++i) {
      const at::Tensor to = tensors[i]->detach();
      const at::Tensor flat = to.contiguous();
      grades::broadcast(g.data, flat, root, g.timeout)->wait();
      if (!flat.is_same(to)) to.copy_(flat);
    }
  });
}

// Sends tensors on the CPU to one other rank, which receives as many of the same shapes and dtypes.
char *grades_group_send(grades_group *group, const tensor *tensors, size_t n, int64_t to) {
  return guarded([&] {
    for (size_t i = 0; i < n; ++i) {
      std::vector<at::Tensor> one{tensors[i]->detach().contiguous()};
      group->group->control->send(one, static_cast<int>(to), 0)->wait(group->group->timeout);
    }
  });
}

// Receives contiguous tensors on the CPU from one other rank.
char *grades_group_receive(grades_group *group, const tensor *tensors, size_t n, int64_t from) {
  return guarded([&] {
    for (size_t i = 0; i < n; ++i) {
      std::vector<at::Tensor> one{tensors[i]->detach()};
      group->group->control->recv(one, static_cast<int>(from), 0)->wait(group->group->timeout);
    }
  });
}

// Reduces each tensor over all ranks, in place. `op`: 0 the sum, 1 the smallest, 2 the largest.
char *grades_group_all_reduce(grades_group *group, const tensor *tensors, size_t n, int32_t op) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    const auto &g = *group->group;
    const c10d::ReduceOp::RedOpType ops[] = {c10d::ReduceOp::SUM, c10d::ReduceOp::MIN, c10d::ReduceOp::MAX};
    std::vector<at::Tensor> flat;
    std::vector<grades::Work> works;
    for (size_t i = 0; i < n; ++i) {
      flat.push_back(tensors[i]->detach().contiguous());
      works.push_back(grades::all_reduce(g.data, flat.back(), ops[op], g.timeout));
    }
    for (size_t i = 0; i < n; ++i) {
      works[i]->wait();
      const at::Tensor to = tensors[i]->detach();
      if (!flat[i].is_same(to)) to.copy_(flat[i]);
    }
  });
}

// Begins to sum numbers over all ranks, without waiting.
char *grades_sum_begin(grades_group *group, const double *values, size_t n, grades_sum **out) {
  return guarded([&] {
    auto sum = std::make_unique<grades_sum>();
    sum->values = at::tensor(at::ArrayRef<double>(values, n), at::kDouble);
    sum->work = grades::all_reduce(group->group->control, sum->values, c10d::ReduceOp::SUM, group->group->timeout);
    *out = sum.release();
  });
}

// Waits for the sums.
char *grades_sum_wait(grades_sum *sum, double *values, size_t n) {
  return guarded([&] {
    sum->work->wait();
    const double *found = sum->values.const_data_ptr<double>();
    std::copy(found, found + std::min(n, static_cast<size_t>(sum->values.numel())), values);
  });
}

void grades_sum_free(grades_sum *sum) { delete sum; }

// Whether this build has NCCL.
char *grades_has_nccl(bool *out) {
  return guarded([&] {
#ifdef GRADES_NCCL
    *out = true;
#else
    *out = false;
#endif
  });
}

} // extern "C"
