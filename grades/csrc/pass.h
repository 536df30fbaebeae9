// The loops that update and sum in one pass over memory, for the kinds that are trained most.
//
// They give the same bits as the block by block way of `update.h`, which serves all that is rare: f64, f16, amsgrad,
// Nesterov, sums of updates.
#pragma once

#include "update.h"

#include <type_traits>

namespace grades {

// How a tensor's elements are read and written in f32.
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

// The gradient as the update takes it.
struct Gradient {
  float factor;
  float decay; // coupled weight decay
};

// A tensor's elements from `start` on, as they are stored.
template <typename Stored>
Stored *stored_at(const Memory &memory, int64_t start) {
  return reinterpret_cast<Stored *>(memory.start) + start;
}

// What a pass sums.
enum class Summed { nothing, gradient, moments };

// The sums of a pass under way; `averaged` only where the gradient is changed.
struct PassSums {
  double absolute[LANES];
  double squares[LANES];
  double averaged[LANES];
  double moments[LANES];

  GRADES_INLINE void start(const ChunkSums &sums) {
    std::memcpy(absolute, sums.gradient.absolute, sizeof absolute);
    std::memcpy(squares, sums.gradient.squares, sizeof squares);
    std::memcpy(averaged, sums.averaged.squares, sizeof averaged);
    std::memcpy(moments, sums.moments.squares, sizeof moments);
  }
  GRADES_INLINE void finish(ChunkSums &sums) const {
    std::memcpy(sums.gradient.absolute, absolute, sizeof absolute);
    std::memcpy(sums.gradient.squares, squares, sizeof squares);
    std::memcpy(sums.averaged.squares, averaged, sizeof averaged);
    std::memcpy(sums.moments.squares, moments, sizeof moments);
  }
};

template <Summed summed, bool changed>
GRADES_INLINE void add(PassSums &sums, int lane, float held, float taken, float moment) {
  if (summed == Summed::nothing) return;
  const double x = std::fabs(static_cast<double>(held));
  sums.absolute[lane] += x;
  sums.squares[lane] += x * x;
  if (changed) {
    const double y = static_cast<double>(taken);
    sums.averaged[lane] += y * y;
  }
  if (summed == Summed::moments) {
    const double z = static_cast<double>(moment);
    sums.moments[lane] += z * z;
  }
}

// The kinds of the lists of a pass: of the weights, the gradients and the states.
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

// Calls `run` with the kinds of a parameter's lists, where there is a pass for them; whether there is.
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

// Which pass an item takes; false where it takes none.
inline bool summed_of(uint8_t want, Summed &out) {
  if ((want & GRADES_UPDATE) != 0) return false;
  const bool moments = (want & (GRADES_MOMENT | GRADES_AVERAGED)) != 0;
  out = moments ? Summed::moments : (want & GRADES_GRADIENT) != 0 ? Summed::gradient : Summed::nothing;
  return true;
}

// Calls `run` with the pass that an item takes.
template <typename Run>
void with_summed(Summed summed, bool changed, const Run &run) {
  const auto with_change = [&](auto constant) {
    changed ? run(constant, std::true_type()) : run(constant, std::false_type());
  };
  switch (summed) {
  case Summed::nothing: return with_change(std::integral_constant<Summed, Summed::nothing>());
  case Summed::gradient: return with_change(std::integral_constant<Summed, Summed::gradient>());
  case Summed::moments: return with_change(std::integral_constant<Summed, Summed::moments>());
  }
}

} // namespace grades

// Every pass, by a macro `GRADES_PASS(kinds, summed, changed)` of the file that has its loop.
#define GRADES_PASSES_OF(KINDS)                                                                                \
  GRADES_PASS(KINDS, Summed::nothing, false)                                                                   \
  GRADES_PASS(KINDS, Summed::gradient, false)                                                                  \
  GRADES_PASS(KINDS, Summed::moments, false)                                                                   \
  GRADES_PASS(KINDS, Summed::nothing, true)                                                                    \
  GRADES_PASS(KINDS, Summed::gradient, true)                                                                   \
  GRADES_PASS(KINDS, Summed::moments, true)
#define GRADES_ALL_PASSES                                                                                      \
  GRADES_PASSES_OF(PassF32)                                                                                    \
  GRADES_PASSES_OF(PassBf16)                                                                                   \
  GRADES_PASSES_OF(PassWide)                                                                                   \
  GRADES_PASSES_OF(PassMaster)
