// Loops over plain arrays, compiled for several instruction sets and chosen at run time.
//
// Every loop gives the same bits on every machine: no contraction (build.rs), sums in f64 over a fixed number of
// lanes, conversions that round to nearest even.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && defined(__x86_64__) && defined(__linux__)
// With AVX-512 (F, BW, VL, DQ), with AVX2, and without.
#define GRADES_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define GRADES_INLINE inline __attribute__((always_inline))
#elif defined(__GNUC__) && defined(__x86_64__) && defined(__linux__)
#define GRADES_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#define GRADES_INLINE inline __attribute__((always_inline))
#else
#define GRADES_CLONES
#define GRADES_INLINE inline
#endif

namespace grades {

// The number of partial sums of a chunk, which are added in order at its end.
constexpr int LANES = 32;

// The number of elements that one thread sums at a time; a multiple of LANES.
constexpr int64_t CHUNK = 16384;

// The distance in bytes at which the update loops prefetch memory. The hardware prefetches too, but too late where several
// streams are read and written at a time: without this an update is a quarter slower.
constexpr int64_t AHEAD = 1024;

template <typename T>
GRADES_INLINE void prefetch(const T *next) {
#if defined(__GNUC__)
  for (int64_t line = 0; line < LANES * static_cast<int64_t>(sizeof(T)); line += 64) {
    __builtin_prefetch(reinterpret_cast<const char *>(next) + AHEAD + line);
  }
#endif
}

// The sum of all lanes, in order.
inline double total(const double *lanes) {
  double sum = 0.0;
  for (int lane = 0; lane < LANES; ++lane) sum += lanes[lane];
  return sum;
}

// Sums of absolute values and of squares, lane by lane.
struct Lanes {
  double absolute[LANES] = {};
  double squares[LANES] = {};

  double total_absolute() const { return total(absolute); }
  double total_squares() const { return total(squares); }
};

GRADES_INLINE float float_of_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

GRADES_INLINE uint32_t bits_of_float(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// bf16 is the upper half of an f32.
GRADES_INLINE float float_of_bf16(uint16_t x) { return float_of_bits(static_cast<uint32_t>(x) << 16); }

// To the nearest, ties to even; a NaN stays one.
GRADES_INLINE uint16_t bf16_of_float(float value) {
  const uint32_t bits = bits_of_float(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return static_cast<uint16_t>(nan ? 0x7fc0u : rounded);
}

// The bits of an f16 shifted into those of an f32 are its value times 2^-112; the exponent of infinities and NaN
// is filled up. No branch, so that the loop vectorises without half-precision instructions.
GRADES_INLINE float float_of_f16(uint16_t x) {
  const uint32_t bits = static_cast<uint32_t>(x & 0x7fffu) << 13;
  const uint32_t special = (x & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u;
  const float magnitude = float_of_bits(bits | special) * 0x1p112f;
  return float_of_bits(bits_of_float(magnitude) | (static_cast<uint32_t>(x & 0x8000u) << 16));
}

// To the nearest, ties to even; what is too large becomes infinite, a NaN stays one.
GRADES_INLINE uint16_t f16_of_float(float value) {
  const uint32_t sign = bits_of_float(value) & 0x80000000u;
  const uint32_t bits = bits_of_float(value) ^ sign;
  // Above 65504 and its half unit all is infinite.
  const uint32_t special = bits > 0x7f800000u ? 0x7e00u : 0x7c00u;
  // Subnormal: adding 0.5 puts the last place of the f16 at the last place of the sum, which rounds.
  const uint32_t small = bits_of_float(float_of_bits(bits) + 0.5f) - bits_of_float(0.5f);
  const uint32_t normal = (bits - 0x38000000u + 0xfffu + ((bits >> 13) & 1u)) >> 13;
  const uint32_t rounded = bits >= 0x477ff000u ? special : bits < 0x38800000u ? small : normal;
  return static_cast<uint16_t>(rounded | (sign >> 16));
}

// Elements as f32, or f64 for f64.
struct LoadF64 {
  using Stored = double;
  static GRADES_INLINE double value(double x) { return x; }
};

struct LoadF32 {
  using Stored = float;
  static GRADES_INLINE double value(float x) { return static_cast<double>(x); }
};

struct LoadBf16 {
  using Stored = uint16_t;
  static GRADES_INLINE double value(uint16_t x) { return static_cast<double>(float_of_bf16(x)); }
};

struct LoadF16 {
  using Stored = uint16_t;
  static GRADES_INLINE double value(uint16_t x) { return static_cast<double>(float_of_f16(x)); }
};

// Adds |x| and x² of each element to the lanes; element i belongs to lane i mod LANES.
template <typename Load>
GRADES_INLINE void add_sums(const typename Load::Stored *values, int64_t n, double *absolute, double *squares) {
  double a[LANES];
  double s[LANES];
  std::memcpy(a, absolute, sizeof a);
  std::memcpy(s, squares, sizeof s);
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (int lane = 0; lane < LANES; ++lane) {
      const double x = std::fabs(Load::value(values[i + lane]));
      a[lane] += x;
      s[lane] += x * x;
    }
  }
  for (int lane = 0; i < n; ++i, ++lane) {
    const double x = std::fabs(Load::value(values[i]));
    a[lane] += x;
    s[lane] += x * x;
  }
  std::memcpy(absolute, a, sizeof a);
  std::memcpy(squares, s, sizeof s);
}

// The same without the absolute values.
template <typename Load>
GRADES_INLINE void add_squares(const typename Load::Stored *values, int64_t n, double *squares) {
  double s[LANES];
  std::memcpy(s, squares, sizeof s);
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (int lane = 0; lane < LANES; ++lane) {
      const double x = Load::value(values[i + lane]);
      s[lane] += x * x;
    }
  }
  for (int lane = 0; i < n; ++i, ++lane) {
    const double x = Load::value(values[i]);
    s[lane] += x * x;
  }
  std::memcpy(squares, s, sizeof s);
}

// Adds the product of each two elements to the lanes. In f64 a product of f32 values is exact.
template <typename T>
GRADES_INLINE void add_products(const T *one, const T *other, int64_t n, double *products) {
  double p[LANES];
  std::memcpy(p, products, sizeof p);
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (int lane = 0; lane < LANES; ++lane) {
      p[lane] += static_cast<double>(one[i + lane]) * static_cast<double>(other[i + lane]);
    }
  }
  for (int lane = 0; i < n; ++i, ++lane) p[lane] += static_cast<double>(one[i]) * static_cast<double>(other[i]);
  std::memcpy(products, p, sizeof p);
}

} // namespace grades
