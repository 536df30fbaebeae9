// SGD on the CPU: one pass over the parameters that applies the update and takes the sums.
//
// f32, bf16 and f16 are computed in f32 and rounded once; f64 in f64. The arithmetic is that of PyTorch's
// `_single_tensor_sgd`.

#include "calls.h"
#include "lists.h"
#include "pass.h"

namespace {

using namespace grades;

template <typename T>
struct Numbers {
  T lr;
  T momentum;
  T gain; // 1 − dampening
};

template <typename T>
GRADES_INLINE void plain_values(T *__restrict p, const T *__restrict g, int64_t n, T lr) {
  for (int64_t i = 0; i < n; ++i) p[i] -= lr * g[i];
}

// `first`: the buffer becomes the gradient.
template <typename T, bool first>
GRADES_INLINE void momentum_values(T *__restrict p, const T *__restrict g, T *__restrict b, int64_t n,
                                   const Numbers<T> &numbers) {
  const Numbers<T> k = numbers;
  for (int64_t i = 0; i < n; ++i) {
    b[i] = first ? g[i] : b[i] * k.momentum + g[i] * k.gain;
    p[i] -= k.lr * b[i];
  }
}

// In Nesterov's form; `d` takes the direction.
template <typename T, bool first>
GRADES_INLINE void nesterov_values(T *__restrict p, const T *__restrict g, T *__restrict b, int64_t n,
                                   const Numbers<T> &numbers, T *__restrict d) {
  const Numbers<T> k = numbers;
  for (int64_t i = 0; i < n; ++i) {
    b[i] = first ? g[i] : b[i] * k.momentum + g[i] * k.gain;
    d[i] = g[i] + b[i] * k.momentum;
    p[i] -= k.lr * d[i];
  }
}

#define GRADES_SGD(T)                                                                                          \
  GRADES_CLONES void plain_block(T *p, const T *g, int64_t n, T lr) { plain_values(p, g, n, lr); }              \
  GRADES_CLONES void first_block(T *p, const T *g, T *b, int64_t n, const Numbers<T> &k) {                      \
    momentum_values<T, true>(p, g, b, n, k);                                                                   \
  }                                                                                                            \
  GRADES_CLONES void momentum_block(T *p, const T *g, T *b, int64_t n, const Numbers<T> &k) {                   \
    momentum_values<T, false>(p, g, b, n, k);                                                                  \
  }                                                                                                            \
  GRADES_CLONES void first_nesterov_block(T *p, const T *g, T *b, int64_t n, const Numbers<T> &k, T *d) {       \
    nesterov_values<T, true>(p, g, b, n, k, d);                                                                \
  }                                                                                                            \
  GRADES_CLONES void nesterov_block(T *p, const T *g, T *b, int64_t n, const Numbers<T> &k, T *d) {             \
    nesterov_values<T, false>(p, g, b, n, k, d);                                                               \
  }
GRADES_SGD(float)
GRADES_SGD(double)
#undef GRADES_SGD

// One pass: the update of `n` elements with a momentum, and the sums.
template <typename Kinds, Summed summed, bool changed>
GRADES_INLINE void pass_values(typename Kinds::Weights::Stored *__restrict p, uint16_t *__restrict narrow,
                               const typename Kinds::Gradients::Stored *__restrict g,
                               typename Kinds::States::Stored *__restrict b, int64_t n, const Numbers<float> &numbers,
                               const Gradient &gradient, ChunkSums &out) {
  using W = typename Kinds::Weights;
  using G = typename Kinds::Gradients;
  using S = typename Kinds::States;
  const Numbers<float> k = numbers;
  const Gradient change = gradient;
  PassSums sums;
  sums.start(out);
  const auto one = [&](int64_t i, int lane) __attribute__((always_inline)) {
    const float held = G::load(g[i]);
    const float w = W::load(p[i]);
    float taken = held;
    if (changed) taken = change.decay == 0.0f ? held * change.factor : held * change.factor + w * change.decay;
    const float buffer = S::load(b[i]) * k.momentum + taken * k.gain;
    const float updated = w - k.lr * buffer;
    b[i] = S::store(buffer);
    p[i] = W::store(updated);
    if (std::is_same_v<Kinds, PassMaster>) narrow[i] = bf16_of_float(updated);
    add<summed, changed>(sums, lane, held, taken, buffer);
  };
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    ask_ahead(p + i);
    ask_ahead(g + i);
    ask_ahead(b + i);
    for (int lane = 0; lane < LANES; ++lane) one(i + lane, lane);
  }
  for (int lane = 0; i < n; ++i, ++lane) one(i, lane);
  sums.finish(out);
}

#define GRADES_PASS(KINDS, SUMMED, CHANGED)                                                                    \
  GRADES_CLONES void pass(KINDS, std::integral_constant<Summed, SUMMED>, std::bool_constant<CHANGED>,          \
                          KINDS::Weights::Stored *p, uint16_t *narrow, const KINDS::Gradients::Stored *g,      \
                          KINDS::States::Stored *b, int64_t n, const Numbers<float> &k,                        \
                          const Gradient &gradient, ChunkSums &sums) {                                         \
    pass_values<KINDS, SUMMED, CHANGED>(p, narrow, g, b, n, k, gradient, sums);                                \
  }
GRADES_ALL_PASSES
#undef GRADES_PASS

struct Item {
  Memory parameter, master, gradient, buffer;
  int64_t elements;
  uint8_t want;
  grades_step_sums *out;
};

struct Call {
  double lr, momentum, dampening, weight_decay, factor;
  bool nesterov, first;
};

// The update in one pass, where there is one; whether there is.
bool in_one_pass(const Item &item, const Call &call, int64_t start, int64_t n, const Numbers<float> &k,
                 ChunkSums &sums) {
  Summed summed;
  if (!item.buffer || call.first || call.nesterov || !summed_of(item.want, summed)) return false;
  const bool changed = call.factor != 1.0 || call.weight_decay != 0.0;
  const Gradient gradient{static_cast<float>(call.factor), static_cast<float>(call.weight_decay)};
  return with_kinds(item.parameter, item.master, item.buffer, [&](auto kinds) {
    using Kinds = decltype(kinds);
    with_summed(summed, changed, [&](auto summed, auto changed) {
      pass(kinds, summed, changed, stored_at<typename Kinds::Weights::Stored>(item.master ? item.master : item.parameter, start),
           stored_at<uint16_t>(item.parameter, start), stored_at<const typename Kinds::Gradients::Stored>(item.gradient, start),
           stored_at<typename Kinds::States::Stored>(item.buffer, start), n, k, gradient, sums);
    });
  });
}

template <typename T>
void update(const Item &item, const Call &call, int64_t start, int64_t elements, ChunkSums &sums) {
  const Numbers<T> k{static_cast<T>(call.lr), static_cast<T>(call.momentum), static_cast<T>(1.0 - call.dampening)};
  if constexpr (std::is_same_v<T, float>) {
    if (in_one_pass(item, call, start, elements, k, sums)) return;
  }
  const Memory &weights = item.master ? item.master : item.parameter;
  alignas(64) T room[5][BLOCK];
  for (int64_t done = 0; done < elements; done += BLOCK) {
    const int64_t at = start + done;
    const int64_t n = std::min(BLOCK, elements - done);
    T *p = open(weights, at, n, room[0]);
    const T *g = gradient_block(item.gradient, p, at, n, call.factor, call.weight_decay, item.want, sums, room[1],
                                room[2]);
    const T *direction = g;
    if (item.buffer) {
      T *b = open(item.buffer, at, n, room[3]);
      direction = call.nesterov ? room[4] : b;
      if (call.nesterov) {
        call.first ? first_nesterov_block(p, g, b, n, k, room[4]) : nesterov_block(p, g, b, n, k, room[4]);
      } else {
        call.first ? first_block(p, g, b, n, k) : momentum_block(p, g, b, n, k);
      }
      if ((item.want & GRADES_MOMENT) != 0) square_block(b, n, sums.moments.squares);
      close(item.buffer, at, n, b);
    } else {
      plain_block(p, g, n, k.lr);
    }
    if ((item.want & GRADES_UPDATE) != 0) sum_block(direction, n, sums.updates);
    close(item.parameter, at, n, p);
  }
}

} // namespace

extern "C" {

// A parameter without a gradient is left alone.
char *grades_cpu_sgd(const grades_sgd *call) {
  return grades::guarded([&] {
    grades::keep_cuda();
    std::vector<at::Tensor> copies; // of gradients that lie otherwise than their parameter
    std::vector<Item> items;
    items.reserve(call->n);
    for (size_t i = 0; i < call->n; ++i) {
      const at::Tensor &parameter = *call->parameters[i];
      call->updated[i] = parameter.grad().defined() ? 1 : 0;
      if (call->updated[i] == 0) continue;
      const Lists lists{parameter, call->masters == nullptr ? nullptr : call->masters[i]};
      lists.check_cpu();
      Item item;
      item.parameter = Memory::of(parameter);
      if (lists.master != nullptr) item.master = Memory::of(lists.fitting(*lists.master));
      item.gradient = Memory::read(lists.gradient(copies));
      if (call->buffers != nullptr) item.buffer = Memory::of(lists.fitting(*call->buffers[i]));
      item.elements = parameter.numel();
      item.want = call->want == nullptr ? 0 : call->want[i];
      item.out = call->sums == nullptr ? nullptr : call->sums + i;
      items.push_back(item);
    }
    // All has been checked; nothing fails from here on.
    for (size_t i = 0; i < call->n; ++i) {
      if (call->updated[i] != 0) grades::note_written(*call->parameters[i]);
    }
    const Call numbers{call->lr,     call->momentum, call->dampening, call->weight_decay,
                       call->factor, call->nesterov, call->first};
    for_chunks(items, [&](const Item &item, int64_t start, int64_t n, ChunkSums &sums) {
      if (item.parameter.kind == at::kDouble) {
        update<double>(item, numbers, start, n, sums);
      } else {
        update<float>(item, numbers, start, n, sums);
      }
    });
    finish_sums(items, call->factor == 1.0 && call->weight_decay == 0.0);
  });
}

} // extern "C"
