// Adam and AdamW on the CPU: one pass over the parameters that applies the update and takes the sums.
//
// f32, bf16 and f16 are computed in f32 and rounded once; f64 in f64. The arithmetic is that of PyTorch's
// `_single_tensor_adam`, but for √v̂, which is √v times the reciprocal of √(1 − β₂ᵗ): one rounding apart.

#include "calls.h"
#include "lists.h"
#include "pass.h"

namespace {

using namespace grades;

template <typename T>
struct Numbers {
  T decay;       // what decoupled weight decay leaves of the weights
  T gain;        // 1 − β₁
  T retention;   // β₂
  T second_gain; // 1 − β₂
  T size;        // lr ÷ (1 − β₁ᵗ)
  T correction1; // 1 ÷ (1 − β₁ᵗ)
  T correction2; // 1 ÷ √(1 − β₂ᵗ)
  T eps;
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

// One pass: the update of `n` elements, and the sums.
template <typename Kinds, Summed summed, bool changed>
GRADES_INLINE void pass_values(typename Kinds::Weights::Stored *__restrict p, uint16_t *__restrict narrow,
                               const typename Kinds::Gradients::Stored *__restrict g,
                               typename Kinds::States::Stored *__restrict m,
                               typename Kinds::States::Stored *__restrict v, int64_t n, const Numbers<float> &numbers,
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
    const float average = lerp(S::load(m[i]), taken, k.gain);
    const float square = S::load(v[i]) * k.retention + (taken * k.second_gain) * taken;
    const float denominator = std::sqrt(square) * k.correction2 + k.eps;
    const float updated = w * k.decay - (average * k.size) / denominator;
    m[i] = S::store(average);
    v[i] = S::store(square);
    p[i] = W::store(updated);
    if (std::is_same_v<Kinds, PassMaster>) narrow[i] = bf16_of_float(updated);
    add<summed, changed>(sums, lane, held, taken, average);
  };
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    ask_ahead(p + i);
    ask_ahead(g + i);
    ask_ahead(m + i);
    ask_ahead(v + i);
    for (int lane = 0; lane < LANES; ++lane) one(i + lane, lane);
  }
  for (int lane = 0; i < n; ++i, ++lane) one(i, lane);
  sums.finish(out);
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

struct Item {
  Memory parameter, master, gradient, average, square, maximum;
  int64_t elements;
  double steps; // this one included
  uint8_t want;
  grades_step_sums *out;
};

struct Call {
  bool decoupled;
  double lr, beta1, beta2, weight_decay, eps, factor;
};

// The update in one pass, where there is one; whether there is.
bool in_one_pass(const Item &item, int64_t start, int64_t n, const Numbers<float> &k, double coupled, double factor,
                 ChunkSums &sums) {
  Summed summed;
  if (!summed_of(item.want, summed)) return false;
  const bool changed = factor != 1.0 || coupled != 0.0;
  const Gradient gradient{static_cast<float>(factor), static_cast<float>(coupled)};
  return with_kinds(item.parameter, item.master, item.average, [&](auto kinds) {
    using Kinds = decltype(kinds);
    with_summed(summed, changed, [&](auto summed, auto changed) {
      pass(kinds, summed, changed, stored_at<typename Kinds::Weights::Stored>(item.master ? item.master : item.parameter, start),
           stored_at<uint16_t>(item.parameter, start), stored_at<const typename Kinds::Gradients::Stored>(item.gradient, start),
           stored_at<typename Kinds::States::Stored>(item.average, start),
           stored_at<typename Kinds::States::Stored>(item.square, start), n, k, gradient, sums);
    });
  });
}

template <typename T>
void update(const Item &item, const Call &call, int64_t start, int64_t elements, ChunkSums &sums) {
  const double correction1 = 1.0 - std::pow(call.beta1, item.steps);
  const double correction2 = 1.0 - std::pow(call.beta2, item.steps);
  const Numbers<T> k{
      static_cast<T>(call.decoupled ? 1.0 - call.lr * call.weight_decay : 1.0),
      static_cast<T>(1.0 - call.beta1),
      static_cast<T>(call.beta2),
      static_cast<T>(1.0 - call.beta2),
      static_cast<T>(call.lr / correction1),
      static_cast<T>(1.0 / correction1),
      static_cast<T>(1.0 / std::sqrt(correction2)),
      static_cast<T>(call.eps),
  };
  const double coupled = call.decoupled ? 0.0 : call.weight_decay;
  if constexpr (std::is_same_v<T, float>) {
    if (!item.maximum && in_one_pass(item, start, elements, k, coupled, call.factor, sums)) return;
  }
  const Memory &weights = item.master ? item.master : item.parameter;
  alignas(64) T room[6][BLOCK];
  for (int64_t done = 0; done < elements; done += BLOCK) {
    const int64_t at = start + done;
    const int64_t n = std::min(BLOCK, elements - done);
    T *p = open(weights, at, n, room[0]);
    const T *g =
        gradient_block(item.gradient, p, at, n, call.factor, coupled, item.want, sums, room[1], room[2]);
    T *m = open(item.average, at, n, room[3]);
    T *v = open(item.square, at, n, room[4]);
    const T *second = v;
    if (item.maximum) {
      T *x = open(item.maximum, at, n, room[5]);
      amsgrad_block(p, g, m, v, x, n, k);
      close(item.maximum, at, n, x);
      second = x;
    } else {
      adam_block(p, g, m, v, n, k);
    }
    if ((item.want & GRADES_MOMENT) != 0) square_block(m, n, sums.moments.squares);
    if ((item.want & GRADES_UPDATE) != 0) {
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
      item.average = Memory::of(lists.fitting(*call->averages[i]));
      item.square = Memory::of(lists.fitting(*call->squares[i]));
      if (call->maxima != nullptr) item.maximum = Memory::of(lists.fitting(*call->maxima[i]));
      item.elements = parameter.numel();
      item.steps = static_cast<double>(*call->steps[i]->const_data_ptr<float>()) + 1.0;
      item.want = call->want == nullptr ? 0 : call->want[i];
      item.out = call->sums == nullptr ? nullptr : call->sums + i;
      items.push_back(item);
    }
    // All has been checked; nothing fails from here on.
    for (size_t i = 0; i < call->n; ++i) {
      if (call->updated[i] == 0) continue;
      *call->steps[i]->data_ptr<float>() += 1.0f;
      grades::note_written(*call->parameters[i]);
    }
    const Call numbers{call->decoupled, call->lr, call->beta1, call->beta2, call->weight_decay, call->eps,
                       call->factor};
    for_chunks(items, [&](const Item &item, int64_t start, int64_t n, ChunkSums &sums) {
      if (item.parameter.kind == at::kDouble) {
        update<double>(item, numbers, start, n, sums);
      } else {
        update<float>(item, numbers, start, n, sums);
      }
    });
    finish_sums(items, call->factor == 1.0 && (call->decoupled || call->weight_decay == 0.0));
  });
}

} // extern "C"
