// Adam and AdamW on the CPU: one pass over the parameters that applies the update and computes the sums.
//
// f32, bf16 and f16 are computed in f32 and rounded once; f64 in f64. The arithmetic is that of PyTorch's
// `_single_tensor_adam`, but for √v̂, which is √v times the reciprocal of √(1 − β₂ᵗ): one rounding apart.

#include "items.h"

namespace {

using namespace grades;

template <typename T>
struct Numbers {
  T decay;       // the factor of decoupled weight decay on the weights
  T gain;        // 1 − β₁
  T retention;   // β₂
  T second_gain; // 1 − β₂
  T size;        // lr ÷ (1 − β₁ᵗ)
  T correction1; // 1 ÷ (1 − β₁ᵗ)
  T correction2; // 1 ÷ √(1 − β₂ᵗ)
  T eps;
  T previous2;   // 1 ÷ √(1 − β₂ᵗ⁻¹)
};

// As torch.lerp: from the nearer end.
template <typename T>
GRADES_INLINE T lerp(T from, T to, T weight) {
  return weight < T(0.5) ? from + weight * (to - from) : to - (to - from) * (T(1) - weight);
}

template <typename T>
GRADES_INLINE void adam_values(T *__restrict p, const T *__restrict g, T *__restrict m, T *__restrict v, int64_t n,
                               const Numbers<T> &numbers) {
  const Numbers<T> k = numbers;
  for (int64_t i = 0; i < n; ++i) {
    m[i] = lerp(m[i], g[i], k.gain);
    v[i] = v[i] * k.retention + (g[i] * k.second_gain) * g[i];
    const T denominator = std::sqrt(v[i]) * k.correction2 + k.eps;
    p[i] = p[i] * k.decay - (m[i] * k.size) / denominator;
  }
}

template <typename T>
GRADES_INLINE void amsgrad_values(T *__restrict p, const T *__restrict g, T *__restrict m, T *__restrict v,
                                  T *__restrict x, int64_t n, const Numbers<T> &numbers) {
  const Numbers<T> k = numbers;
  for (int64_t i = 0; i < n; ++i) {
    m[i] = lerp(m[i], g[i], k.gain);
    v[i] = v[i] * k.retention + (g[i] * k.second_gain) * g[i];
    // As torch.maximum: a NaN stays one.
    x[i] = v[i] > x[i] || v[i] != v[i] ? v[i] : x[i];
    const T denominator = std::sqrt(x[i]) * k.correction2 + k.eps;
    p[i] = p[i] * k.decay - (m[i] * k.size) / denominator;
  }
}

// Σ|m̂ ÷ (√v̂ + ε)| into the lanes.
template <typename T>
GRADES_INLINE void update_values(const T *__restrict m, const T *__restrict v, int64_t n, const Numbers<T> &numbers,
                                 T *__restrict room) {
  const Numbers<T> k = numbers;
  for (int64_t i = 0; i < n; ++i) room[i] = (m[i] * k.correction1) / (std::sqrt(v[i]) * k.correction2 + k.eps);
}

// m ÷ (√v̂ + ε) of the update before. The correction of m̂ is a factor of the whole sum.
template <typename T>
GRADES_INLINE T direction_before(T m, T v, const Numbers<T> &k) {
  return m / (std::sqrt(v) * k.previous2 + k.eps);
}
template <typename T>
GRADES_INLINE void direction_values(const T *__restrict m, const T *__restrict v, int64_t n, const Numbers<T> &numbers,
                                    T *__restrict room) {
  const Numbers<T> k = numbers;
  for (int64_t i = 0; i < n; ++i) room[i] = direction_before(m[i], v[i], k);
}

GRADES_CLONES void adam_block(float *p, const float *g, float *m, float *v, int64_t n, const Numbers<float> &k) {
  adam_values(p, g, m, v, n, k);
}
GRADES_CLONES void adam_block(double *p, const double *g, double *m, double *v, int64_t n, const Numbers<double> &k) {
  adam_values(p, g, m, v, n, k);
}
GRADES_CLONES void amsgrad_block(float *p, const float *g, float *m, float *v, float *x, int64_t n,
                                 const Numbers<float> &k) {
  amsgrad_values(p, g, m, v, x, n, k);
}
GRADES_CLONES void amsgrad_block(double *p, const double *g, double *m, double *v, double *x, int64_t n,
                                 const Numbers<double> &k) {
  amsgrad_values(p, g, m, v, x, n, k);
}
GRADES_CLONES void update_block(const float *m, const float *v, int64_t n, const Numbers<float> &k, float *room) {
  update_values(m, v, n, k, room);
}
GRADES_CLONES void update_block(const double *m, const double *v, int64_t n, const Numbers<double> &k, double *room) {
  update_values(m, v, n, k, room);
}
GRADES_CLONES void direction_block(const float *m, const float *v, int64_t n, const Numbers<float> &k, float *room) {
  direction_values(m, v, n, k, room);
}
GRADES_CLONES void direction_block(const double *m, const double *v, int64_t n, const Numbers<double> &k,
                                   double *room) {
  direction_values(m, v, n, k, room);
}

// One pass: the update of `n` elements, and the sums.
template <typename Kinds, Summed summed, bool changed>
GRADES_INLINE void pass_values(typename Kinds::Weights::Stored *__restrict p, uint16_t *__restrict narrow,
                               const typename Kinds::Gradients::Stored *__restrict g,
                               typename Kinds::States::Stored *__restrict m,
                               typename Kinds::States::Stored *__restrict v, int64_t n, const Numbers<float> &numbers,
                               const Gradient &gradient, ChunkSums &out) {
  using S = typename Kinds::States;
  const Numbers<float> k = numbers;
  const auto step = [&](int64_t i, float w, float input) __attribute__((always_inline)) {
    const float before = S::load(m[i]), square_before = S::load(v[i]);
    const float direction = sums_progress(summed) ? direction_before(before, square_before, k) : 0.0f;
    const float average = lerp(before, input, k.gain);
    const float square = square_before * k.retention + (input * k.second_gain) * input;
    const float denominator = std::sqrt(square) * k.correction2 + k.eps;
    m[i] = S::store(average);
    v[i] = S::store(square);
    return Stepped{w * k.decay - (average * k.size) / denominator, average, direction};
  };
  pass_over<Kinds, summed, changed>(p, narrow, g, n, gradient, out, step, m, v);
}

#define GRADES_PASS(KINDS, SUMMED, CHANGED)                                                                    \
  GRADES_CLONES void pass(KINDS, std::integral_constant<Summed, SUMMED>, std::bool_constant<CHANGED>,          \
                          KINDS::Weights::Stored *p, uint16_t *narrow, const KINDS::Gradients::Stored *g,      \
                          KINDS::States::Stored *m, KINDS::States::Stored *v, int64_t n,                       \
                          const Numbers<float> &k, const Gradient &gradient, ChunkSums &sums) {                \
    pass_values<KINDS, SUMMED, CHANGED>(p, narrow, g, m, v, n, k, gradient, sums);                             \
  }
GRADES_ALL_PASSES
#undef GRADES_PASS

struct AdamItem : Item {
  Memory average, square, maximum;
  double steps; // this one included
};

// Updates `elements` elements of an item from `start` on, in one pass where there is one, else block by block.
template <typename T>
void update(const AdamItem &item, const grades_adam &call, double coupled, int64_t start, int64_t elements,
            ChunkSums &sums) {
  const double factor = call.update.factor;
  const double correction1 = 1.0 - std::pow(call.beta1, item.steps);
  const double correction2 = 1.0 - std::pow(call.beta2, item.steps);
  const Numbers<T> k{
      static_cast<T>(call.decoupled ? 1.0 - call.update.lr * call.update.weight_decay : 1.0),
      static_cast<T>(1.0 - call.beta1),
      static_cast<T>(call.beta2),
      static_cast<T>(1.0 - call.beta2),
      static_cast<T>(call.update.lr / correction1),
      static_cast<T>(1.0 / correction1),
      static_cast<T>(1.0 / std::sqrt(correction2)),
      static_cast<T>(call.eps),
      static_cast<T>(1.0 / std::sqrt(1.0 - std::pow(call.beta2, item.steps - 1.0))),
  };
  if constexpr (std::is_same_v<T, float>) {
    const auto run = [&](auto kinds, auto summed, auto changed, const Gradient &gradient) {
      using Kinds = decltype(kinds);
      pass(kinds, summed, changed, stored_at<typename Kinds::Weights::Stored>(item.weights(), start),
           stored_at<uint16_t>(item.parameter, start),
           stored_at<const typename Kinds::Gradients::Stored>(item.gradient, start),
           stored_at<typename Kinds::States::Stored>(item.average, start),
           stored_at<typename Kinds::States::Stored>(item.square, start), elements, k, gradient, sums);
    };
    if (!item.maximum && in_one_pass(item, item.average, factor, coupled, run)) return;
  }
  alignas(64) T room[6][BLOCK];
  for (int64_t done = 0; done < elements; done += BLOCK) {
    const int64_t at = start + done;
    const int64_t n = std::min(BLOCK, elements - done);
    T *p = open(item.weights(), at, n, room[0]);
    T *m = open(item.average, at, n, room[3]);
    T *v = open(item.square, at, n, room[4]);
    T *x = item.maximum ? open(item.maximum, at, n, room[5]) : nullptr;
    if ((item.request & GRADES_PROGRESS) != 0) {
      direction_block(m, x == nullptr ? v : x, n, k, room[2]);
      product_block(open(item.gradient, at, n, room[1]), room[2], n, sums.progress);
    }
    const T *g = gradient_block(item.gradient, p, at, n, factor, coupled, item.request, sums, room[1], room[2]);
    const T *second = v;
    if (x != nullptr) {
      amsgrad_block(p, g, m, v, x, n, k);
      close(item.maximum, at, n, x);
      second = x;
    } else {
      adam_block(p, g, m, v, n, k);
    }
    if ((item.request & GRADES_MOMENTS) != 0) square_block(m, n, sums.moments.squares);
    if ((item.request & GRADES_UPDATES) != 0) {
      update_block(m, second, n, k, room[2]);
      sum_block(room[2], n, sums.updates);
    }
    close(item.average, at, n, m);
    close(item.square, at, n, v);
    close(item.parameter, at, n, p);
  }
}

} // namespace

extern "C" {

// A parameter without a gradient is left alone: no update, no decay, no step counted.
char *grades_cpu_adam(const grades_adam *call) {
  return grades::guarded([&] {
    grades::keep_cuda();
    std::vector<at::Tensor> copies;
    auto items = items_of<AdamItem>(call->update, copies, [&](AdamItem &item, const Lists &lists, size_t i) {
      item.average = Memory::of(lists.fitting(*call->averages[i]));
      item.square = Memory::of(lists.fitting(*call->squares[i]));
      if (call->maxima != nullptr) item.maximum = Memory::of(lists.fitting(*call->maxima[i]));
      item.steps = static_cast<double>(*call->steps[i]->const_data_ptr<float>()) + 1.0;
    });
    for (size_t i = 0; i < call->update.n; ++i) {
      if (call->update.updated[i] != 0) *call->steps[i]->data_ptr<float>() += 1.0f;
    }
    const double coupled = call->decoupled ? 0.0 : call->update.weight_decay;
    update_items(call->update, items, coupled,
                 [&](auto zero, const AdamItem &item, int64_t start, int64_t n, ChunkSums &sums) {
                   update<decltype(zero)>(item, *call, coupled, start, n, sums);
                 });
    for (const AdamItem &item : items) {
      if ((item.request & GRADES_PROGRESS) == 0) continue;
      item.out->progress *= call->update.lr / (1.0 - std::pow(call->beta1, item.steps - 1.0));
    }
  });
}

} // extern "C"
