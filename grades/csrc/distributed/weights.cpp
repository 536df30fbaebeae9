// Weights that their owners have updated, on their way to all ranks.

#include "group.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include <deque>

namespace grades {

namespace {

// Smaller weights join up to this size, so that a step has few messages.
constexpr size_t message = size_t{8} << 20;
// The bytes that may be under way.
constexpr size_t window = size_t{64} << 20;

struct Sent {
  at::Tensor flat; // the weight itself, or several joined
  std::vector<at::Tensor> weights;
  Work work;
  bool foreign; // from another rank
};

// Weights of one owner that wait for more.
struct Joined {
  std::vector<at::Tensor> weights;
  size_t bytes = 0;
};

class Sharing {
public:
  explicit Sharing(const Group &group) : group_(group), joined_(static_cast<size_t>(group.world)) {}

  void add(const at::Tensor &weight, int64_t owner) {
    Joined &joined = joined_[static_cast<size_t>(owner)];
    const bool fits = joined.weights.empty() || (joined.weights.front().scalar_type() == weight.scalar_type() &&
                                                 joined.weights.front().device() == weight.device());
    if (!fits || joined.bytes + weight.nbytes() > message) send(owner);
    joined.weights.push_back(weight);
    joined.bytes += weight.nbytes();
  }

  // Waits for all; returns their bytes.
  uint64_t finish() {
    for (int64_t owner = 0; owner < group_.world; ++owner) send(owner);
    while (!sent_.empty()) receive();
    return bytes_;
  }

private:
  void send(int64_t owner) {
    Joined joined = std::move(joined_[static_cast<size_t>(owner)]);
    joined_[static_cast<size_t>(owner)] = Joined{};
    if (joined.weights.empty()) return;
    at::Tensor flat = joined.weights.front();
    if (joined.weights.size() > 1 || !flat.is_contiguous()) {
      std::vector<at::Tensor> parts;
      for (const at::Tensor &weight : joined.weights) parts.push_back(weight.reshape({-1}));
      flat = at::cat(parts);
    }
    Work work = broadcast(group_.data, flat, owner, group_.timeout);
    bytes_ += joined.bytes;
    under_way_ += joined.bytes;
    sent_.push_back(Sent{std::move(flat), std::move(joined.weights), std::move(work), owner != group_.rank});
    while (under_way_ > window && sent_.size() > 1) receive();
  }

  void receive() {
    const Sent sent = std::move(sent_.front());
    sent_.pop_front();
    under_way_ -= sent.flat.nbytes();
    sent.work->wait();
    if (!sent.foreign || sent.flat.is_same(sent.weights.front())) return;
    int64_t at = 0;
    for (const at::Tensor &weight : sent.weights) {
      weight.copy_(sent.flat.narrow(0, at, weight.numel()).view(weight.sizes()));
      at += weight.numel();
    }
  }

  const Group &group_;
  std::vector<Joined> joined_; // by owner
  std::deque<Sent> sent_;
  size_t under_way_ = 0;
  uint64_t bytes_ = 0;
};

} // namespace

} // namespace grades

using grades::guarded;

extern "C" {

// Copies each tensor of its owner to all other ranks. `bytes`: those of all tensors.
char *grades_group_share(grades_group *group, const tensor *tensors, const int64_t *owners, size_t n, uint64_t *bytes) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    grades::Sharing sharing(*group->group);
    for (size_t i = 0; i < n; ++i) sharing.add(tensors[i]->detach(), owners[i]);
    *bytes = sharing.finish();
  });
}

} // extern "C"
