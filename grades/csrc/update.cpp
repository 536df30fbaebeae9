// Blocks of elements: conversions between types, sums, and changes of the gradient.

#include "update.h"

namespace grades {

namespace {

GRADES_CLONES void widen_bf16(const uint16_t *from, int64_t n, float *to) {
  for (int64_t i = 0; i < n; ++i) to[i] = float_of_bf16(from[i]);
}
GRADES_CLONES void widen_f16(const uint16_t *from, int64_t n, float *to) {
  for (int64_t i = 0; i < n; ++i) to[i] = float_of_f16(from[i]);
}
GRADES_CLONES void narrow_bf16(const float *from, int64_t n, uint16_t *to) {
  for (int64_t i = 0; i < n; ++i) to[i] = bf16_of_float(from[i]);
}
GRADES_CLONES void narrow_f16(const float *from, int64_t n, uint16_t *to) {
  for (int64_t i = 0; i < n; ++i) to[i] = f16_of_float(from[i]);
}
GRADES_CLONES void sum_f32(const float *values, int64_t n, double *absolute, double *squares) {
  add_sums<LoadF32>(values, n, absolute, squares);
}
GRADES_CLONES void sum_f64(const double *values, int64_t n, double *absolute, double *squares) {
  add_sums<LoadF64>(values, n, absolute, squares);
}
GRADES_CLONES void square_f32(const float *values, int64_t n, double *squares) {
  add_squares<LoadF32>(values, n, squares);
}
GRADES_CLONES void square_f64(const double *values, int64_t n, double *squares) {
  add_squares<LoadF64>(values, n, squares);
}

GRADES_CLONES void product_f32(const float *one, const float *other, int64_t n, double *products) {
  add_products(one, other, n, products);
}
GRADES_CLONES void product_f64(const double *one, const double *other, int64_t n, double *products) {
  add_products(one, other, n, products);
}

template <typename T>
GRADES_INLINE void scaled_values(const T *__restrict g, int64_t n, T factor, T *__restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] = g[i] * factor;
}
template <typename T>
GRADES_INLINE void decayed_values(const T *__restrict g, const T *__restrict p, int64_t n, T factor, T decay,
                                  T *__restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] = g[i] * factor + p[i] * decay;
}
GRADES_CLONES void scaled_f32(const float *g, int64_t n, float factor, float *out) { scaled_values(g, n, factor, out); }
GRADES_CLONES void scaled_f64(const double *g, int64_t n, double factor, double *out) {
  scaled_values(g, n, factor, out);
}
GRADES_CLONES void decayed_f32(const float *g, const float *p, int64_t n, float factor, float decay, float *out) {
  decayed_values(g, p, n, factor, decay, out);
}
GRADES_CLONES void decayed_f64(const double *g, const double *p, int64_t n, double factor, double decay, double *out) {
  decayed_values(g, p, n, factor, decay, out);
}

} // namespace

void widen(const Memory &memory, int64_t at, int64_t n, float *room) {
  const uint16_t *from = reinterpret_cast<const uint16_t *>(memory.start) + at;
  memory.kind == at::kBFloat16 ? widen_bf16(from, n, room) : widen_f16(from, n, room);
}

void narrow(const float *values, int64_t n, const Memory &memory, int64_t at) {
  uint16_t *to = reinterpret_cast<uint16_t *>(memory.start) + at;
  memory.kind == at::kBFloat16 ? narrow_bf16(values, n, to) : narrow_f16(values, n, to);
}

void sum_block(const float *values, int64_t n, Lanes &lanes) { sum_f32(values, n, lanes.absolute, lanes.squares); }
void sum_block(const double *values, int64_t n, Lanes &lanes) { sum_f64(values, n, lanes.absolute, lanes.squares); }
void square_block(const float *values, int64_t n, double *squares) { square_f32(values, n, squares); }
void square_block(const double *values, int64_t n, double *squares) { square_f64(values, n, squares); }
void product_block(const float *one, const float *other, int64_t n, double *products) {
  product_f32(one, other, n, products);
}
void product_block(const double *one, const double *other, int64_t n, double *products) {
  product_f64(one, other, n, products);
}

void change(const float *g, const float *p, int64_t n, double factor, double decay, float *out) {
  const float f = static_cast<float>(factor);
  decay == 0.0 ? scaled_f32(g, n, f, out) : decayed_f32(g, p, n, f, static_cast<float>(decay), out);
}

void change(const double *g, const double *p, int64_t n, double factor, double decay, double *out) {
  decay == 0.0 ? scaled_f64(g, n, factor, out) : decayed_f64(g, p, n, factor, decay, out);
}

} // namespace grades
