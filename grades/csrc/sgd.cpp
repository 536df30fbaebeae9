// SGD on the CPU: one pass over the parameters that applies the update and computes the sums.
//
// f32, bf16 and f16 are computed in f32 and rounded once; f64 in f64. The arithmetic is that of PyTorch's
// `_single_tensor_sgd`.

#include "items.h"

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

// In Nesterov's form; the direction is written to `d`.
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
  using S = typename Kinds::States;
  const Numbers<float> k = numbers;
  const auto step = [&](int64_t i, float w, float input) __attribute__((always_inline)) {
    const float before = S::load(b[i]);
    const float buffer = before * k.momentum + input * k.gain;
    b[i] = S::store(buffer);
    return Stepped{w - k.lr * buffer, buffer, before};
  };
  pass_over<Kinds, summed, changed>(p, narrow, g, n, gradient, out, step, b);
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

struct SgdItem : Item {
  Memory buffer;
};

// Updates `elements` elements of an item from `start` on, in one pass where there is one, else block by block.
template <typename T>
void update(const SgdItem &item, const grades_sgd &call, int64_t start, int64_t elements, ChunkSums &sums) {
  const double factor = call.update.factor, decay = call.update.weight_decay;
  const Numbers<T> k{static_cast<T>(call.update.lr), static_cast<T>(call.momentum),
                     static_cast<T>(1.0 - call.dampening)};
  if constexpr (std::is_same_v<T, float>) {
    const auto run = [&](auto kinds, auto summed, auto changed, const Gradient &gradient) {
      using Kinds = decltype(kinds);
      pass(kinds, summed, changed, stored_at<typename Kinds::Weights::Stored>(item.weights(), start),
           stored_at<uint16_t>(item.parameter, start),
           stored_at<const typename Kinds::Gradients::Stored>(item.gradient, start),
           stored_at<typename Kinds::States::Stored>(item.buffer, start), elements, k, gradient, sums);
    };
    const bool has_pass = item.buffer && !call.first && !call.nesterov;
    if (has_pass && in_one_pass(item, item.buffer, factor, decay, run)) return;
  }
  alignas(64) T room[5][BLOCK];
  for (int64_t done = 0; done < elements; done += BLOCK) {
    const int64_t at = start + done;
    const int64_t n = std::min(BLOCK, elements - done);
    T *p = open(item.weights(), at, n, room[0]);
    T *b = item.buffer ? open(item.buffer, at, n, room[3]) : nullptr;
    if ((item.request & GRADES_PROGRESS) != 0 && b != nullptr) {
      product_block(open(item.gradient, at, n, room[1]), b, n, sums.progress);
    }
    const T *g = gradient_block(item.gradient, p, at, n, factor, decay, item.request, sums, room[1], room[2]);
    const T *direction = g;
    if (b != nullptr) {
      direction = call.nesterov ? room[4] : b;
      if (call.nesterov) {
        call.first ? first_nesterov_block(p, g, b, n, k, room[4]) : nesterov_block(p, g, b, n, k, room[4]);
      } else {
        call.first ? first_block(p, g, b, n, k) : momentum_block(p, g, b, n, k);
      }
      if ((item.request & GRADES_MOMENTS) != 0) square_block(b, n, sums.moments.squares);
      close(item.buffer, at, n, b);
    } else {
      plain_block(p, g, n, k.lr);
    }
    if ((item.request & GRADES_UPDATES) != 0) sum_block(direction, n, sums.updates);
    close(item.parameter, at, n, p);
  }
}

} // namespace

extern "C" {

// A parameter without a gradient is left alone.
char *grades_cpu_sgd(const grades_sgd *call) {
  return grades::guarded([&] {
    grades::keep_cuda();
    std::vector<at::Tensor> copies;
    auto items = items_of<SgdItem>(call->update, copies, [&](SgdItem &item, const Lists &lists, size_t i) {
      if (call->buffers != nullptr) item.buffer = Memory::of(lists.fitting(*call->buffers[i]));
    });
    update_items(call->update, items, call->update.weight_decay,
                 [&](auto zero, const SgdItem &item, int64_t start, int64_t n, ChunkSums &sums) {
                   update<decltype(zero)>(item, *call, start, n, sums);
                 });
    for (const SgdItem &item : items) {
      if ((item.request & GRADES_PROGRESS) != 0) item.out->progress *= call->update.lr;
    }
  });
}

} // extern "C"
