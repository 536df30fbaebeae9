// The parameters of one update on the CPU: collecting, checking and updating them, the same for all optimizers.
#pragma once

#include "calls.h"
#include "lists.h"
#include "pass.h"

#include <vector>

namespace grades {

// A parameter that is updated; each optimizer adds its state.
struct Item {
  Memory parameter, master, gradient;
  int64_t elements;
  uint8_t request; // bits of `update.h`
  grades_step_sums *out;

  const Memory &weights() const { return master ? master : parameter; }
};

// Collects the parameters that have a gradient and checks their tensors; `add_state(item, lists, i)` adds and checks the
// state. Sets `call.updated`. A gradient whose layout differs from its parameter's is copied to `copies`.
template <typename OneItem, typename AddState>
std::vector<OneItem> items_of(const grades_update &call, std::vector<at::Tensor> &copies, const AddState &add_state) {
  std::vector<OneItem> items;
  items.reserve(call.n);
  for (size_t i = 0; i < call.n; ++i) {
    const at::Tensor &parameter = *call.parameters[i];
    call.updated[i] = parameter.grad().defined() ? 1 : 0;
    if (call.updated[i] == 0) continue;
    const Lists lists{parameter, call.masters == nullptr ? nullptr : call.masters[i]};
    lists.check_cpu();
    OneItem item;
    item.parameter = Memory::of(parameter);
    if (lists.master != nullptr) item.master = Memory::of(lists.fitting(*lists.master));
    item.gradient = Memory::read(lists.gradient(copies));
    add_state(item, lists, i);
    item.elements = parameter.numel();
    item.request = call.requests == nullptr ? 0 : call.requests[i];
    item.out = call.sums == nullptr ? nullptr : call.sums + i;
    items.push_back(item);
  }
  return items;
}

// Updates all items. They were checked, so nothing fails. `update(zero, item, start, elements, sums)` updates a chunk in the
// type of `zero`; `decay` is the coupled weight decay.
template <typename OneItem, typename Update>
void update_items(const grades_update &call, std::vector<OneItem> &items, double decay, const Update &update) {
  for (size_t i = 0; i < call.n; ++i) {
    if (call.updated[i] != 0) note_written(*call.parameters[i]);
  }
  for_chunks(items, [&](const OneItem &item, int64_t start, int64_t n, ChunkSums &sums) {
    if (item.parameter.kind == at::kDouble) {
      update(double(), item, start, n, sums);
    } else {
      update(float(), item, start, n, sums);
    }
  });
  finish_sums(items, call.factor == 1.0 && decay == 0.0);
}

// Calls `run(kinds, summed, changed, gradient)` with the pass that updates and sums an item at once, where there is one;
// returns whether there is. `state` is the moment.
template <typename Run>
bool in_one_pass(const Item &item, const Memory &state, double factor, double decay, const Run &run) {
  Summed summed;
  if (!summed_of(item.request, summed)) return false;
  const bool changed = factor != 1.0 || decay != 0.0;
  const Gradient gradient{static_cast<float>(factor), static_cast<float>(decay)};
  return with_kinds(item.parameter, item.master, state, [&](auto kinds) {
    with_summed(summed, changed, [&](auto summed, auto changed) { run(kinds, summed, changed, gradient); });
  });
}

} // namespace grades
