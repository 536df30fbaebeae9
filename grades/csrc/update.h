// The common part of the updates on the CPU: parameters are cut into chunks, read and written in the type of the
// arithmetic, and summed while they are in the cache.
#pragma once

#include "calls.h"
#include "grades.h"
#include "vector.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

// The sums of a step over a parameter: bits of a request.
enum : uint8_t {
  GRADES_GRADIENTS = 1,    // Σ|g| and Σg² of the gradient before it is scaled
  GRADES_MOMENT_INPUT = 2, // Σg² of what enters the moments: scaled, with coupled weight decay added
  GRADES_MOMENTS = 4,      // Σm² after the update
  GRADES_UPDATES = 8,      // Σ|update| ÷ lr, decoupled weight decay left out
  GRADES_PROGRESS = 16,    // lr·Σg·u: the gradient before it is scaled, times the direction u of the update before this
};

namespace grades {

// The elements of a block, which fits into the first-level cache; a multiple of LANES.
constexpr int64_t BLOCK = 512;

// A tensor's memory and the type of its elements.
struct Memory {
  char *start = nullptr;
  at::ScalarType kind = at::kFloat;

  Memory() = default;

  // To write to.
  static Memory of(const at::Tensor &t) { return {static_cast<char *>(t.mutable_data_ptr()), t.scalar_type()}; }

  // To read only.
  static Memory read(const at::Tensor &t) {
    return {static_cast<char *>(const_cast<void *>(t.const_data_ptr())), t.scalar_type()};
  }

  explicit operator bool() const { return start != nullptr; }

private:
  Memory(char *start, at::ScalarType kind) : start(start), kind(kind) {}
};

// Conversion of elements from a narrower type to f32, and back.
void widen(const Memory &memory, int64_t at, int64_t n, float *room);
void narrow(const float *values, int64_t n, const Memory &memory, int64_t at);

// `n` elements from `at` on in the type of the arithmetic: in place where they have it, else in `room`.
inline float *open(const Memory &memory, int64_t at, int64_t n, float *room) {
  if (memory.kind == at::kFloat) return reinterpret_cast<float *>(memory.start) + at;
  widen(memory, at, n, room);
  return room;
}
inline double *open(const Memory &memory, int64_t at, int64_t, double *) {
  return reinterpret_cast<double *>(memory.start) + at;
}

// Writes the elements of `open` back.
inline void close(const Memory &memory, int64_t at, int64_t n, const float *values) {
  if (memory.kind != at::kFloat) narrow(values, n, memory, at);
}
inline void close(const Memory &, int64_t, int64_t, const double *) {}

void sum_block(const float *values, int64_t n, Lanes &lanes);
void sum_block(const double *values, int64_t n, Lanes &lanes);
void square_block(const float *values, int64_t n, double *squares);
void square_block(const double *values, int64_t n, double *squares);
void product_block(const float *one, const float *other, int64_t n, double *products);
void product_block(const double *one, const double *other, int64_t n, double *products);

// out = factor·g + decay·p; without decay when it is 0.
void change(const float *g, const float *p, int64_t n, double factor, double decay, float *out);
void change(const double *g, const double *p, int64_t n, double factor, double decay, double *out);

// The sums of one chunk.
struct ChunkSums {
  Lanes gradient, moment_input, moments, updates;
  double progress[LANES] = {}; // Σg·u

  void into(grades_step_sums &out) const {
    out.absolute += gradient.total_absolute();
    out.squares += gradient.total_squares();
    out.moment_input += moment_input.total_squares();
    out.moments += moments.total_squares();
    out.updates += updates.total_absolute();
    out.progress += total(progress);
  }
};

// The gradient of a block as it enters the moments, summed as requested.
template <typename T>
const T *gradient_block(const Memory &gradient, const T *p, int64_t at, int64_t n, double factor, double decay,
                        uint8_t request, ChunkSums &sums, T *room, T *changed) {
  const T *g = open(gradient, at, n, room);
  if ((request & GRADES_GRADIENTS) != 0) sum_block(g, n, sums.gradient);
  if (factor != 1.0 || decay != 0.0) {
    change(g, p, n, factor, decay, changed);
    g = changed;
    if ((request & GRADES_MOMENT_INPUT) != 0) square_block(g, n, sums.moment_input.squares);
  } else if ((request & GRADES_MOMENT_INPUT) != 0 && (request & GRADES_GRADIENTS) == 0) {
    square_block(g, n, sums.gradient.squares); // see `finish_sums`
  }
  return g;
}

// Runs `update(item, start, elements, sums)` over all items in chunks, in parallel, and adds up the sums in the order of
// the chunks. An item has `elements`, `request`, and `out` for its sums.
template <typename Item, typename Update>
void for_chunks(std::vector<Item> &items, const Update &update) {
  struct Chunk {
    size_t item;
    int64_t start;
    int64_t elements;
  };
  std::vector<Chunk> chunks;
  bool summed = false;
  for (size_t k = 0; k < items.size(); ++k) {
    summed |= items[k].request != 0;
    for (int64_t start = 0; start < items[k].elements; start += CHUNK) {
      chunks.push_back({k, start, std::min(CHUNK, items[k].elements - start)});
    }
  }
  std::vector<grades_step_sums> partial(summed ? chunks.size() : 0);
  at::parallel_for(0, static_cast<int64_t>(chunks.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Item &item = items[chunks[i].item];
      ChunkSums sums;
      update(item, chunks[i].start, chunks[i].elements, sums);
      if (item.request != 0) sums.into(partial[i] = {});
    }
  });
  for (size_t i = 0; i < chunks.size() && summed; ++i) {
    Item &item = items[chunks[i].item];
    if (item.request == 0) continue;
    item.out->absolute += partial[i].absolute;
    item.out->squares += partial[i].squares;
    item.out->moment_input += partial[i].moment_input;
    item.out->moments += partial[i].moments;
    item.out->updates += partial[i].updates;
    item.out->progress += partial[i].progress;
  }
}

// Where nothing changes the gradient, the gradient itself enters the moments, and it was summed once.
template <typename Item>
void finish_sums(std::vector<Item> &items, bool unchanged) {
  for (Item &item : items) {
    if (unchanged && (item.request & GRADES_MOMENT_INPUT) != 0) item.out->moment_input = item.out->squares;
  }
}

} // namespace grades
