// Buckets: gradients that are summed over all ranks while the backward pass goes on.
//
// A hook on each parameter moves its gradient into the memory of its bucket, which is the gradient from then on: one copy in
// and none out. A bucket is sent once all of its gradients are final, and buckets are sent in their order, which is the same
// on all ranks.
//
// Where each parameter has an owner, the rank that updates it, a bucket whose gradients have one owner is summed there alone
// and freed elsewhere, and the owners send the updated weights. The buckets and the order of their sums are the same as
// without owners, so the sums have the same bits.

#include "group.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <mutex>

namespace grades {

namespace {

// Slots begin at multiples of it, so that every gradient is aligned as one of its own would be.
constexpr int64_t alignment = 64;

// No owner: every rank updates the parameter; or a bucket whose gradients have several owners.
constexpr int64_t nobody = -1;

struct Bucket {
  std::vector<size_t> members;
  int64_t owner = nobody;
  uint64_t bytes = 0; // sent in this step
  size_t pending = 0; // members whose gradients are not final
  at::Tensor flat;    // made when the first gradient of a step comes
  Work work;
};

struct Slot {
  at::Tensor parameter;
  std::string name;
  size_t bucket = 0;
  int64_t owner = nobody;
  bool present = false; // this rank has a gradient, or has sent and freed one
  at::Tensor view; // its part of the bucket's memory
  bool final = false;
};

enum class Phase {
  collecting, // backward passes whose gradients are not final
  sending,    // gradients are final as they come
  summed,     // the gradients are the sums over all ranks
};

} // namespace

class Buckets {
public:
  Buckets(std::shared_ptr<Group> group, size_t buckets, size_t early, bool wide)
      : group_(std::move(group)), buckets_(buckets), early_(early), wide_(wide) {}

  ~Buckets() {
    for (Slot &slot : slots_) torch::autograd::impl::set_post_acc_grad_hooks(slot.parameter, nullptr);
  }

  void add(const at::Tensor &parameter, const char *name, size_t bucket, int64_t owner);
  void begin();
  void reset();
  void arrived(size_t index);
  void finish(double *extra, size_t n, grades_traffic *traffic);
  uint64_t bytes_beside_gradients();

private:
  bool is_foreign(int64_t owner) const { return owner != nobody && owner != group_->rank; }
  void release(Bucket &bucket);
  void release_sent();
  void allocate(Bucket &bucket);
  void move(Slot &slot);
  void send_ready(size_t end);
  void settle();

  std::shared_ptr<Group> group_;
  std::vector<Slot> slots_;
  std::vector<Bucket> buckets_;
  size_t early_; // the number of buckets that may be sent during the backward pass
  bool wide_;    // half precision is summed in f32
  size_t next_ = 0;
  Phase phase_ = Phase::collecting;
  std::mutex mutex_; // on a device, hooks run on autograd's threads
};

namespace {

struct Hook : torch::autograd::PostAccumulateGradHook {
  Buckets *owner;
  size_t index;
  Hook(Buckets *owner, size_t index) : owner(owner), index(index) {}
  void operator()(const at::Tensor &) override { owner->arrived(index); }
};

bool is_half(at::ScalarType type) { return type == at::kHalf || type == at::kBFloat16; }

} // namespace

void Buckets::add(const at::Tensor &parameter, const char *name, size_t bucket, int64_t owner) {
  if (torch::autograd::impl::post_acc_grad_hooks(parameter) != nullptr) {
    throw std::runtime_error("the parameter \"" + std::string(name) + "\" has another hook on its gradient already");
  }
  const size_t index = slots_.size();
  Bucket &of = buckets_[bucket];
  // A bucket with several owners stays `nobody`'s: no parameter has that owner then.
  of.owner = of.members.empty() || of.owner == owner ? owner : nobody;
  of.members.push_back(index);
  slots_.push_back(Slot{parameter, name, bucket, owner, false, at::Tensor(), false});
  torch::autograd::impl::set_post_acc_grad_hooks(parameter, std::make_unique<Hook>(this, index));
}

// From here on each gradient is final when it comes.
void Buckets::begin() {
  std::lock_guard<std::mutex> lock(mutex_);
  next_ = 0;
  for (Bucket &bucket : buckets_) {
    bucket.pending = bucket.members.size();
    bucket.bytes = 0;
  }
  for (Slot &slot : slots_) slot.final = slot.present = false;
  phase_ = Phase::sending;
}

// The gradients of the next step begin.
void Buckets::reset() {
  std::lock_guard<std::mutex> lock(mutex_);
  phase_ = Phase::collecting;
}

void Buckets::allocate(Bucket &bucket) {
  if (bucket.flat.defined()) return;
  const at::Tensor &first = slots_[bucket.members.front()].parameter;
  const at::ScalarType type = wide_ && is_half(first.scalar_type()) ? at::kFloat : first.scalar_type();
  const int64_t step = alignment / static_cast<int64_t>(c10::elementSize(type));
  const auto padded = [&](int64_t n) { return (n + step - 1) / step * step; };
  int64_t total = 0;
  for (size_t member : bucket.members) total += padded(slots_[member].parameter.numel());
  // Zeros, so that what lies between two slots is a number too.
  bucket.flat = at::zeros({total}, first.options().dtype(type).requires_grad(false));
  int64_t at = 0;
  for (size_t member : bucket.members) {
    Slot &slot = slots_[member];
    const at::Tensor part = bucket.flat.narrow(0, at, slot.parameter.numel());
    const bool dense = slot.parameter.is_non_overlapping_and_dense();
    const at::Tensor shaped =
        dense ? part.as_strided(slot.parameter.sizes(), slot.parameter.strides(), part.storage_offset())
              : part.view(slot.parameter.sizes());
    // `variable_data`: the same memory, and no view to autograd, whose gradients cannot be detached in place.
    slot.view = shaped.variable_data();
    at += padded(slot.parameter.numel());
  }
}

// Copies the gradient of a parameter into its bucket, or zeros where this rank has none: others may have one.
void Buckets::move(Slot &slot) {
  allocate(buckets_[slot.bucket]);
  at::Tensor &gradient = slot.parameter.mutable_grad();
  if (!gradient.defined()) {
    slot.view.zero_();
    return;
  }
  if (gradient.layout() != at::kStrided) {
    throw std::runtime_error("the parameter \"" + slot.name +
                             "\" has a sparse gradient, which cannot be summed over ranks: build the embedding with "
                             "sparse = false");
  }
  if (gradient.unsafeGetTensorImpl() == slot.view.unsafeGetTensorImpl()) return;
  slot.view.copy_(gradient);
  if (gradient.scalar_type() == slot.view.scalar_type()) gradient = slot.view;
}

// A hook's call: the gradient of a parameter was added to.
void Buckets::arrived(size_t index) {
  std::lock_guard<std::mutex> lock(mutex_);
  at::NoGradGuard no_grad;
  Slot &slot = slots_[index];
  const bool widened = wide_ && is_half(slot.parameter.scalar_type());
  switch (phase_) {
  case Phase::collecting:
    // Further micro-batches are added in the bucket's memory.
    if (!widened) move(slot);
    return;
  case Phase::summed:
    throw std::runtime_error("the gradient of \"" + slot.name +
                             "\" was added to after the gradients were summed over the ranks; clear the gradients with "
                             "zero_grad of the wrapper before the backward passes of the next step");
  case Phase::sending:
    break;
  }
  if (slot.final && slot.bucket < next_) {
    throw std::runtime_error("the gradient of \"" + slot.name +
                             "\" was added to after its bucket had been sent; name the parameter in Buckets::late, or "
                             "declare the last backward pass later");
  }
  if (widened && slot.bucket >= early_) return; // converted when the bucket is sent
  move(slot);
  if (slot.final) return;
  slot.final = slot.present = true;
  --buckets_[slot.bucket].pending;
  send_ready(early_);
  release_sent();
}

void Buckets::send_ready(size_t end) {
  while (next_ < end && buckets_[next_].pending == 0) {
    Bucket &bucket = buckets_[next_];
    bucket.bytes = bucket.flat.nbytes();
    bucket.work = bucket.owner == nobody
                      ? all_reduce(group_->data, bucket.flat, c10d::ReduceOp::SUM, group_->timeout)
                      : reduce(group_->data, bucket.flat, bucket.owner, group_->timeout);
    ++next_;
  }
}

// Drops the gradients of a bucket that another rank updates, and their memory.
void Buckets::release(Bucket &bucket) {
  for (size_t member : bucket.members) {
    Slot &slot = slots_[member];
    slot.view.reset();
    slot.parameter.mutable_grad().reset();
  }
  bucket.flat.reset();
}

// Does so with the buckets whose gradients have reached their owners.
void Buckets::release_sent() {
  for (size_t i = 0; i < next_; ++i) {
    Bucket &bucket = buckets_[i];
    if (!is_foreign(bucket.owner) || !bucket.work || !bucket.work->isCompleted()) continue;
    if (bucket.work->exception()) continue; // reported at the end of the step
    bucket.work.reset();
    release(bucket);
  }
}

// Waits for all that was sent, so that a failure leaves nothing under way.
void Buckets::settle() {
  std::exception_ptr first;
  for (Bucket &bucket : buckets_) {
    if (!bucket.work) continue;
    try {
      bucket.work->wait();
    } catch (...) {
      if (!first) first = std::current_exception();
    }
    bucket.work.reset();
    if (is_foreign(bucket.owner)) release(bucket);
  }
  if (first) std::rethrow_exception(first);
}

// Sends what is left, waits, and makes the sums the gradients. `extra`: further numbers to sum.
void Buckets::finish(double *extra, size_t n, grades_traffic *traffic) {
  std::lock_guard<std::mutex> lock(mutex_);
  at::NoGradGuard no_grad;
  const size_t early = phase_ == Phase::sending ? next_ : 0;
  if (phase_ != Phase::sending) {
    next_ = 0;
    for (Slot &slot : slots_) slot.final = slot.present = false;
    for (Bucket &bucket : buckets_) bucket.bytes = 0;
  }
  // Of each parameter, the number of ranks that have a gradient: one that none has is skipped by the update.
  at::Tensor numbers = at::zeros({static_cast<int64_t>(slots_.size() + n)}, at::kDouble);
  double *present = numbers.mutable_data_ptr<double>();
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot &slot = slots_[i];
    present[i] = slot.present || slot.parameter.grad().defined() ? 1.0 : 0.0;
    if (!slot.final) move(slot);
    slot.final = true;
  }
  std::copy(extra, extra + n, present + slots_.size());
  for (Bucket &bucket : buckets_) bucket.pending = 0;
  const auto begin = std::chrono::steady_clock::now();
  send_ready(buckets_.size());
  Work counted = all_reduce(group_->control, numbers, c10d::ReduceOp::SUM, group_->timeout);
  settle();
  counted->wait();
  const auto waited = std::chrono::steady_clock::now() - begin;
  phase_ = Phase::summed;

  present = numbers.mutable_data_ptr<double>();
  traffic->bytes = 0;
  for (const Bucket &bucket : buckets_) traffic->bytes += bucket.bytes;
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot &slot = slots_[i];
    at::Tensor &gradient = slot.parameter.mutable_grad();
    if (present[i] == 0.0 || is_foreign(slot.owner)) {
      gradient.reset();
    } else if (slot.view.scalar_type() == slot.parameter.scalar_type()) {
      gradient = slot.view;
    } else {
      if (!gradient.defined()) gradient = at::empty_like(slot.parameter);
      gradient.copy_(slot.view);
    }
  }
  std::copy(present + slots_.size(), present + slots_.size() + n, extra);
  traffic->buckets = buckets_.size();
  traffic->early = early;
  traffic->waited = std::chrono::duration<double>(waited).count();
}

// The memory of the buckets that is no gradient's now.
uint64_t Buckets::bytes_beside_gradients() {
  std::lock_guard<std::mutex> lock(mutex_);
  uint64_t bytes = 0;
  for (const Bucket &bucket : buckets_) {
    if (bucket.flat.defined()) bytes += bucket.flat.nbytes();
  }
  for (const Slot &slot : slots_) {
    const at::Tensor &gradient = slot.parameter.grad();
    if (slot.view.defined() && gradient.defined() &&
        gradient.unsafeGetTensorImpl() == slot.view.unsafeGetTensorImpl()) {
      bytes -= gradient.nbytes();
    }
  }
  return bytes;
}

} // namespace grades

using grades::guarded;

struct grades_buckets {
  grades::Buckets buckets;
};

extern "C" {

// Sets a hook on each parameter. `bucket`: that of each, below `buckets`; the first `early` may be sent during the backward
// pass. All parameters of a bucket have one type and one device. `owner`: the rank that updates each; null where all do.
char *grades_buckets_new(grades_group *group, const tensor *parameters, const char *const *names, const size_t *bucket,
                         const int64_t *owner, size_t n, size_t buckets, size_t early, bool wide, grades_buckets **out) {
  return guarded([&] {
    auto made = std::unique_ptr<grades_buckets>(new grades_buckets{{group->group, buckets, early, wide}});
    for (size_t i = 0; i < n; ++i) {
      made->buckets.add(*parameters[i], names[i], bucket[i], owner == nullptr ? grades::nobody : owner[i]);
    }
    *out = made.release();
  });
}

void grades_buckets_free(grades_buckets *buckets) {
  char *message = guarded([&] { delete buckets; });
  std::free(message);
}

char *grades_buckets_begin(grades_buckets *buckets) {
  return guarded([&] { buckets->buckets.begin(); });
}

char *grades_buckets_reset(grades_buckets *buckets) {
  return guarded([&] { buckets->buckets.reset(); });
}

char *grades_buckets_finish(grades_buckets *buckets, double *extra, size_t n, grades_traffic *traffic) {
  return guarded([&] { buckets->buckets.finish(extra, n, traffic); });
}

// The bytes of the buckets that are no gradient's now.
char *grades_buckets_bytes(grades_buckets *buckets, uint64_t *out) {
  return guarded([&] { *out = buckets->buckets.bytes_beside_gradients(); });
}

} // extern "C"
