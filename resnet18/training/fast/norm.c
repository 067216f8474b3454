/* Batch norm over rows of channels, with what follows it in the network: add, ReLU, max pool.

Arrays are [rows, channels] (an image batch in channels_last order), float32 or bfloat16; arithmetic is float32.
The number of channels is a multiple of VECTOR. Each thread sums rows of its own, and the sums of threads are added
in their order. */

#include <math.h>
#include <stdlib.h>

#include "norm.h"

enum { BLOCK = 128 };

/* Values in a vector, for whoever calls this library. */
int vector_width(void) { return VECTOR; }

/* Mean and sum of squared deviations of some rows: exact two-pass in blocks, merged as Chan et al. (1979) do. */
INLINE void moments(const void *x, long begin, long end, long channels, float *mean, float *m2, int bf16) {
  memset(mean, 0, sizeof(float) * channels);
  memset(m2, 0, sizeof(float) * channels);
  for (long row = begin; row < end; row += BLOCK) {
    long stop = row + BLOCK < end ? row + BLOCK : end;
    float n = stop - row, before = row - begin;
    V share = all(n / (before + n)), cross = all(before * n / (before + n)), part = all(1 / n);
    for (long c = 0; c < channels; c += VECTOR) {
      V sum = all(0), sum2 = sum, square = sum, square2 = sum;
      long i = row;
      for (; i + 1 < stop; i += 2) {
        sum += load(x, i * channels + c, bf16);
        sum2 += load(x, (i + 1) * channels + c, bf16);
      }
      if (i < stop) sum += load(x, i * channels + c, bf16);
      V centre = (sum + sum2) * part;
      for (i = row; i + 1 < stop; i += 2) {
        V one = load(x, i * channels + c, bf16) - centre, two = load(x, (i + 1) * channels + c, bf16) - centre;
        square += one * one;
        square2 += two * two;
      }
      if (i < stop) {
        V one = load(x, i * channels + c, bf16) - centre;
        square += one * one;
      }
      V old = floats(mean + c), delta = centre - old;
      set_floats(m2 + c, floats(m2 + c) + (square + square2) + delta * delta * cross);
      set_floats(mean + c, old + delta * share);
    }
  }
}

/* Scale, shift, mean and 1 / sqrt(variance + eps) of a channel. */
INLINE void set_terms(const Forward *f, long c, float mean, float invstd) {
  float *terms = f->terms, scale = f->weight[c] * invstd;
  terms[c] = scale;
  terms[f->channels + c] = f->bias[c] - mean * scale;
  terms[2 * f->channels + c] = mean;
  terms[3 * f->channels + c] = invstd;
}

/* The terms of the batch, from the moments of each thread's rows; running statistics move as torch's do. */
INLINE void batch_terms(const Forward *f, const float *parts, int threads) {
  long channels = f->channels, rows = f->images * f->height * f->width;
  for (long c = 0; c < channels; c++) {
    double n = 0, centre = 0, m2 = 0;
    for (int t = 0; t < threads; t++) {
      double more = rows * (t + 1) / threads - rows * t / threads;
      if (more == 0) continue;
      double delta = parts[2 * channels * t + c] - centre;
      m2 += parts[2 * channels * t + channels + c] + delta * delta * n * more / (n + more);
      centre += delta * more / (n + more);
      n += more;
    }
    set_terms(f, c, centre, 1 / sqrt(m2 / n + f->eps));
    f->running_mean[c] = f->momentum * (float)centre + (1 - f->momentum) * f->running_mean[c];
    f->running_var[c] = f->momentum * (float)(m2 / (n - 1)) + (1 - f->momentum) * f->running_var[c];
  }
}

INLINE void running_terms(const Forward *f) {
  for (long c = 0; c < f->channels; c++)
    set_terms(f, c, f->running_mean[c], 1 / sqrt((double)f->running_var[c] + f->eps));
}

INLINE void apply(const Forward *f, long begin, long end, int bf16) {
  const float *scale = f->terms, *shift = scale + f->channels;
  for (long row = begin; row < end; row++)
    for (long c = 0; c < f->channels; c += VECTOR) {
      long at = row * f->channels + c;
      V v = load(f->x, at, bf16) * floats(scale + c) + floats(shift + c);
      if (f->other) v += load(f->other, at, bf16);
      if (f->relu) v = where(positive(v), v);
      store(f->y, at, v, bf16);
    }
}

INLINE void forward(const Forward *f, int bf16) {
  int threads = omp_get_max_threads();
  long channels = f->channels, rows = f->images * f->height * f->width;
  float *parts = malloc(sizeof(float) * 2 * channels * threads);
#pragma omp parallel num_threads(threads)
  {
    long me = omp_get_thread_num(), begin = rows * me / threads, end = rows * (me + 1) / threads;
    float *mine = parts + 2 * channels * me;
    if (f->training) moments(f->x, begin, end, channels, mine, mine + channels, bf16);
#pragma omp barrier
#pragma omp single
    {
      if (f->training)
        batch_terms(f, parts, threads);
      else
        running_terms(f);
    }
    if (!f->taken) apply(f, begin, end, bf16);
  }
  free(parts);
}

/* y = relu(norm(x) + other), or of that the pooled maximum. */
void norm_forward(const Forward *f) {
  if (f->bf16)
    forward(f, 1);
  else
    forward(f, 0);
  if (f->taken) pool_forward(f);
}

INLINE V masked(const Backward *b, long at, long c, V x, int bf16) {
  V dz = load(b->dy, at, bf16);
  if (b->dy2) dz += load(b->dy2, at, bf16);
  if (!b->relu) return dz;
  V y = b->y ? load(b->y, at, bf16) : x * floats(b->terms + c) + floats(b->terms + b->channels + c);
  return where(positive(y), dz);
}

INLINE void backward_sums(const Backward *b, long begin, long end, float *sums, int bf16) {
  long channels = b->channels;
  memset(sums, 0, sizeof(float) * 2 * channels);
  for (long block = begin; block < end; block += BLOCK) {
    long stop = block + BLOCK < end ? block + BLOCK : end;
    for (long c = 0; c < channels; c += VECTOR) {
      V sum = all(0), product = sum, mean = floats(b->terms + 2 * channels + c);
      for (long row = block; row < stop; row++) {
        long at = row * channels + c;
        V x = load(b->x, at, bf16), dz = masked(b, at, c, x, bf16);
        if (b->dz) store(b->dz, at, dz, bf16);
        sum += dz;
        product += dz * (x - mean);
      }
      set_floats(sums + c, floats(sums + c) + sum);
      set_floats(sums + channels + c, floats(sums + channels + c) + product);
    }
  }
}

INLINE void backward_apply(const Backward *b, long begin, long end, const float *factor, const float *offset,
                           int bf16) {
  for (long row = begin; row < end; row++)
    for (long c = 0; c < b->channels; c += VECTOR) {
      long at = row * b->channels + c;
      V x = load(b->x, at, bf16), dz = b->dz ? load(b->dz, at, bf16) : masked(b, at, c, x, bf16);
      V affine = x * floats(factor + c) + floats(offset + c);
      store(b->dx, at, dz * floats(b->terms + c) + affine, bf16);
    }
}

/* dx = scale * (dz - mean(dz) - (x - mean) * invstd^2 * mean(dz * (x - mean))), as dz * scale + x * factor + offset */
INLINE void backward_terms(const Backward *b, const float *parts, int threads, float *factor, float *offset) {
  long channels = b->channels, rows = b->rows;
  const float *scale = b->terms, *mean = scale + 2 * channels, *invstd = mean + channels;
  for (long c = 0; c < channels; c++) {
    double sum = 0, product = 0;
    for (int t = 0; t < threads; t++) {
      sum += parts[2 * channels * t + c];
      product += parts[2 * channels * t + channels + c];
    }
    b->sums[c] = sum;
    b->sums[channels + c] = product * invstd[c];
    double slope = -(double)scale[c] * invstd[c] * invstd[c] * product / rows;
    factor[c] = slope;
    offset[c] = -scale[c] * sum / rows - slope * mean[c];
  }
}

INLINE void backward(const Backward *b, int bf16) {
  int threads = omp_get_max_threads();
  long channels = b->channels;
  float *parts = malloc(sizeof(float) * 2 * channels * (threads + 1));
  float *factor = parts + 2 * channels * threads, *offset = factor + channels;
#pragma omp parallel num_threads(threads)
  {
    long me = omp_get_thread_num(), begin = b->rows * me / threads, end = b->rows * (me + 1) / threads;
    backward_sums(b, begin, end, parts + 2 * channels * me, bf16);
#pragma omp barrier
#pragma omp single
    backward_terms(b, parts, threads, factor, offset);
    backward_apply(b, begin, end, factor, offset, bf16);
  }
  free(parts);
}

void norm_backward(const Backward *b) {
  if (b->bf16)
    backward(b, 1);
  else
    backward(b, 0);
}
