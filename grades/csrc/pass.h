// The loops that update and sum in one pass over memory, for the most common types.
//
// They give the same bits as the blocks of `update.h`, which serve the rare cases: f64, f16, amsgrad, Nesterov, sums of
// updates.
#pragma once

#include "update.h"

#include <type_traits>

namespace grades {

// Reading and writing a tensor's elements in f32.
struct AsF32 {
  using Stored = float;
  static GRADES_INLINE float load(float x) { return x; }
  static GRADES_INLINE float store(float x) { return x; }
};
struct AsBf16 {
  using Stored = uint16_t;
  static GRADES_INLINE float load(uint16_t x) { return float_of_bf16(x); }
  static GRADES_INLINE uint16_t store(float x) { return bf16_of_float(x); }
};

// The change of the gradient before it enters the moments.
struct Gradient {
  float factor;
  float decay; // coupled weight decay

  GRADES_INLINE float input(float gradient, float weight) const {
    return decay == 0.0f ? gradient * factor : gradient * factor + weight * decay;
  }
};

// A tensor's elements from `start` on, as they are stored.
template <typename Stored>
Stored *stored_at(const Memory &memory, int64_t start) {
  return reinterpret_cast<Stored *>(memory.start) + start;
}

// The sums of a pass: of the gradient, of the moments (and the input of these, where the gradient is changed), of the
// progress.
enum class Summed { nothing, gradient, moments, progress, gradient_progress, all };

constexpr bool sums_gradient(Summed summed) { return summed != Summed::nothing && summed != Summed::progress; }
constexpr bool sums_moments(Summed summed) { return summed == Summed::moments || summed == Summed::all; }
constexpr bool sums_progress(Summed summed) { return summed >= Summed::progress; }

// The sums of a pass under way; `moment_input` only where the gradient is changed.
struct PassSums {
  double absolute[LANES];
  double squares[LANES];
  double moment_input[LANES];
  double moments[LANES];
  double progress[LANES];

  GRADES_INLINE void start(const ChunkSums &sums) {
    std::memcpy(absolute, sums.gradient.absolute, sizeof absolute);
    std::memcpy(squares, sums.gradient.squares, sizeof squares);
    std::memcpy(moment_input, sums.moment_input.squares, sizeof moment_input);
    std::memcpy(moments, sums.moments.squares, sizeof moments);
    std::memcpy(progress, sums.progress, sizeof progress);
  }
  GRADES_INLINE void finish(ChunkSums &sums) const {
    std::memcpy(sums.gradient.absolute, absolute, sizeof absolute);
    std::memcpy(sums.gradient.squares, squares, sizeof squares);
    std::memcpy(sums.moment_input.squares, moment_input, sizeof moment_input);
    std::memcpy(sums.moments.squares, moments, sizeof moments);
    std::memcpy(sums.progress, progress, sizeof progress);
  }
};

// `direction` is that of the update before, where progress is summed.
template <Summed summed, bool changed>
GRADES_INLINE void add(PassSums &sums, int lane, float raw, float input, float moment, float direction) {
  if (sums_gradient(summed)) {
    const double x = std::fabs(static_cast<double>(raw));
    sums.absolute[lane] += x;
    sums.squares[lane] += x * x;
  }
  if (changed && sums_gradient(summed)) {
    const double y = static_cast<double>(input);
    sums.moment_input[lane] += y * y;
  }
  if (sums_moments(summed)) {
    const double z = static_cast<double>(moment);
    sums.moments[lane] += z * z;
  }
  if (sums_progress(summed)) {
    sums.progress[lane] += static_cast<double>(raw) * static_cast<double>(direction);
  }
}

// The types of weights, gradients and state in a pass.
template <typename W, typename G, typename S>
struct PassKinds {
  using Weights = W;
  using Gradients = G;
  using States = S;
};
using PassF32 = PassKinds<AsF32, AsF32, AsF32>;
using PassBf16 = PassKinds<AsBf16, AsBf16, AsBf16>;
using PassWide = PassKinds<AsBf16, AsBf16, AsF32>;
using PassMaster = PassKinds<AsF32, AsBf16, AsF32>;

// The outcome of an optimizer's arithmetic for one element.
struct Stepped {
  float weight;    // after the update
  float moment;    // after the update, for its sum
  float direction; // of the update before, where progress is summed
};

// One pass over `n` elements: `step(i, weight, input)` computes one and writes its state, from the weight and what enters the
// moments; then the weight is written and the sums are added to `out`. The arrays `states` are prefetched.
template <typename Kinds, Summed summed, bool changed, typename Step, typename... State>
GRADES_INLINE void pass_over(typename Kinds::Weights::Stored *p, uint16_t *narrow,
                             const typename Kinds::Gradients::Stored *g, int64_t n, const Gradient &gradient,
                             ChunkSums &out, const Step &step, const State *...states) {
  using W = typename Kinds::Weights;
  const Gradient change = gradient;
  PassSums sums;
  sums.start(out);
  const auto one = [&](int64_t i, int lane) __attribute__((always_inline)) {
    const float raw = Kinds::Gradients::load(g[i]);
    const float w = W::load(p[i]);
    const float input = changed ? change.input(raw, w) : raw;
    const Stepped stepped = step(i, w, input);
    p[i] = W::store(stepped.weight);
    if (std::is_same_v<Kinds, PassMaster>) narrow[i] = bf16_of_float(stepped.weight);
    add<summed, changed>(sums, lane, raw, input, stepped.moment, stepped.direction);
  };
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    prefetch(p + i);
    prefetch(g + i);
    (prefetch(states + i), ...);
    for (int lane = 0; lane < LANES; ++lane) one(i + lane, lane);
  }
  for (int lane = 0; i < n; ++i, ++lane) one(i, lane);
  sums.finish(out);
}

// Calls `run` with the types of a parameter, where there is a pass for them; returns whether there is.
template <typename Run>
bool with_kinds(const Memory &parameter, const Memory &master, const Memory &state, const Run &run) {
  if (parameter.kind == at::kFloat) {
    run(PassF32());
  } else if (parameter.kind != at::kBFloat16) {
    return false;
  } else if (master) {
    run(PassMaster());
  } else if (state.kind == at::kFloat) {
    run(PassWide());
  } else {
    run(PassBf16());
  }
  return true;
}

// Finds the sums of the pass that serves a request; returns false where no pass does.
inline bool summed_of(uint8_t request, Summed &out) {
  if ((request & GRADES_UPDATES) != 0) return false;
  const bool moments = (request & (GRADES_MOMENTS | GRADES_MOMENT_INPUT)) != 0;
  const bool gradient = (request & GRADES_GRADIENTS) != 0;
  if ((request & GRADES_PROGRESS) != 0) {
    out = moments ? Summed::all : gradient ? Summed::gradient_progress : Summed::progress;
  } else {
    out = moments ? Summed::moments : gradient ? Summed::gradient : Summed::nothing;
  }
  return true;
}

// Calls `run` with the sums of a pass as types.
template <typename Run>
void with_summed(Summed summed, bool changed, const Run &run) {
  const auto with_change = [&](auto constant) {
    changed ? run(constant, std::true_type()) : run(constant, std::false_type());
  };
  switch (summed) {
  case Summed::nothing: return with_change(std::integral_constant<Summed, Summed::nothing>());
  case Summed::gradient: return with_change(std::integral_constant<Summed, Summed::gradient>());
  case Summed::moments: return with_change(std::integral_constant<Summed, Summed::moments>());
  case Summed::progress: return with_change(std::integral_constant<Summed, Summed::progress>());
  case Summed::gradient_progress: return with_change(std::integral_constant<Summed, Summed::gradient_progress>());
  case Summed::all: return with_change(std::integral_constant<Summed, Summed::all>());
  }
}

} // namespace grades

// Every pass, by a macro `GRADES_PASS(kinds, summed, changed)` of the file that has its loop.
#define GRADES_PASSES_OF(KINDS)                                                                                \
  GRADES_PASS(KINDS, Summed::nothing, false)                                                                   \
  GRADES_PASS(KINDS, Summed::gradient, false)                                                                  \
  GRADES_PASS(KINDS, Summed::moments, false)                                                                   \
  GRADES_PASS(KINDS, Summed::progress, false)                                                                  \
  GRADES_PASS(KINDS, Summed::gradient_progress, false)                                                         \
  GRADES_PASS(KINDS, Summed::all, false)                                                                       \
  GRADES_PASS(KINDS, Summed::nothing, true)                                                                    \
  GRADES_PASS(KINDS, Summed::gradient, true)                                                                   \
  GRADES_PASS(KINDS, Summed::moments, true)                                                                    \
  GRADES_PASS(KINDS, Summed::progress, true)                                                                   \
  GRADES_PASS(KINDS, Summed::gradient_progress, true)                                                          \
  GRADES_PASS(KINDS, Summed::all, true)
#define GRADES_ALL_PASSES                                                                                      \
  GRADES_PASSES_OF(PassF32)                                                                                    \
  GRADES_PASSES_OF(PassBf16)                                                                                   \
  GRADES_PASSES_OF(PassWide)                                                                                   \
  GRADES_PASSES_OF(PassMaster)
