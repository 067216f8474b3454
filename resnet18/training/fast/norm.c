/* Batch norm over rows of channels, with what follows it in the network: add, ReLU, max pool. AVX-512.

Arrays are [rows, channels] (an image batch in channels_last order), float32 or bfloat16; arithmetic is float32.
The number of channels is a multiple of 16. */

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "vector.h"

enum { BLOCK = 128 };

/* Mean and sum of squared deviations of some rows: exact two-pass in blocks, merged as Chan et al. (1979) do. */
INLINE void moments(const void *x, long begin, long end, long channels, float *mean, float *m2, int bf16) {
  memset(mean, 0, sizeof(float) * channels);
  memset(m2, 0, sizeof(float) * channels);
  for (long row = begin; row < end; row += BLOCK) {
    long stop = row + BLOCK < end ? row + BLOCK : end;
    float n = stop - row, before = row - begin;
    __m512 share = _mm512_set1_ps(n / (before + n)), cross = _mm512_set1_ps(before * n / (before + n));
    for (long c = 0; c < channels; c += VECTOR) {
      __m512 sum = _mm512_setzero_ps(), sum2 = sum, square = sum, square2 = sum;
      long i = row;
      for (; i + 1 < stop; i += 2) {
        sum = _mm512_add_ps(sum, load(x, i * channels + c, bf16));
        sum2 = _mm512_add_ps(sum2, load(x, (i + 1) * channels + c, bf16));
      }
      if (i < stop) sum = _mm512_add_ps(sum, load(x, i * channels + c, bf16));
      __m512 centre = _mm512_mul_ps(_mm512_add_ps(sum, sum2), _mm512_set1_ps(1 / n));
      for (i = row; i + 1 < stop; i += 2) {
        __m512 one = _mm512_sub_ps(load(x, i * channels + c, bf16), centre);
        __m512 two = _mm512_sub_ps(load(x, (i + 1) * channels + c, bf16), centre);
        square = _mm512_fmadd_ps(one, one, square);
        square2 = _mm512_fmadd_ps(two, two, square2);
      }
      if (i < stop) {
        __m512 one = _mm512_sub_ps(load(x, i * channels + c, bf16), centre);
        square = _mm512_fmadd_ps(one, one, square);
      }
      __m512 old = _mm512_loadu_ps(mean + c), delta = _mm512_sub_ps(centre, old);
      __m512 total = _mm512_add_ps(_mm512_loadu_ps(m2 + c), _mm512_add_ps(square, square2));
      _mm512_storeu_ps(m2 + c, _mm512_fmadd_ps(_mm512_mul_ps(delta, delta), cross, total));
      _mm512_storeu_ps(mean + c, _mm512_fmadd_ps(delta, share, old));
    }
  }
}

/* Write the batch's mean and 1 / sqrt(variance + eps), and move the running statistics as torch does. */
void norm_statistics(const void *x, long rows, long channels, int bf16, float *mean, float *invstd,
                     float *running_mean, float *running_var, float momentum, float eps) {
  int threads = omp_get_max_threads();
  float *parts = malloc(sizeof(float) * 2 * channels * threads);
#pragma omp parallel num_threads(threads)
  {
    long me = omp_get_thread_num();
    float *mine = parts + 2 * channels * me;
    long begin = rows * me / threads, end = rows * (me + 1) / threads;
    if (bf16)
      moments(x, begin, end, channels, mine, mine + channels, 1);
    else
      moments(x, begin, end, channels, mine, mine + channels, 0);
  }
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
    mean[c] = centre;
    invstd[c] = 1 / sqrt(m2 / n + eps);
    running_mean[c] = momentum * mean[c] + (1 - momentum) * running_mean[c];
    running_var[c] = momentum * (float)(m2 / (n - 1)) + (1 - momentum) * running_var[c];
  }
  free(parts);
}

INLINE void apply(const void *x, const void *other, void *y, long rows, long channels, const float *scale,
                  const float *shift, int relu, int bf16) {
#pragma omp parallel for schedule(static)
  for (long row = 0; row < rows; row++)
    for (long c = 0; c < channels; c += VECTOR) {
      long at = row * channels + c;
      __m512 v = _mm512_fmadd_ps(load(x, at, bf16), _mm512_loadu_ps(scale + c), _mm512_loadu_ps(shift + c));
      if (other) v = _mm512_add_ps(v, load(other, at, bf16));
      if (relu) v = _mm512_max_ps(_mm512_setzero_ps(), v); /* in this order, which keeps NaN */
      store(y, at, v, bf16);
    }
}

/* y = relu(x * scale + shift + other); `other` may be NULL. */
void norm_apply(const void *x, const void *other, void *y, long rows, long channels, const float *scale,
                const float *shift, int relu, int bf16) {
  if (bf16)
    apply(x, other, y, rows, channels, scale, shift, relu, 1);
  else
    apply(x, other, y, rows, channels, scale, shift, relu, 0);
}

/* What backward needs of one norm. Gradients: dy, and dy2 of a second user (or NULL). Mask: where y > 0; where y is
NULL and relu is set, where x * scale + shift > 0. Sums [2, channels]: of dz and of dz * (x - mean). */
typedef struct {
  const void *dy, *dy2, *y, *x;
  void *dz, *dx;
  const float *scale, *shift, *mean, *invstd;
  float *sums;
  long rows, channels;
  int relu;
} Backward;

INLINE __m512 masked(const Backward *b, long at, long c, __m512 x, int bf16) {
  __m512 dz = load(b->dy, at, bf16), zero = _mm512_setzero_ps();
  if (b->dy2) dz = _mm512_add_ps(dz, load(b->dy2, at, bf16));
  if (!b->relu) return dz;
  __m512 y = b->y ? load(b->y, at, bf16)
                  : _mm512_fmadd_ps(x, _mm512_loadu_ps(b->scale + c), _mm512_loadu_ps(b->shift + c));
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(y, zero, _CMP_NLE_UQ), dz); /* NaN passes, as in torch */
}

INLINE void backward_sums(const Backward *b, long begin, long end, float *sums, int bf16) {
  long channels = b->channels;
  memset(sums, 0, sizeof(float) * 2 * channels);
  for (long block = begin; block < end; block += BLOCK) {
    long stop = block + BLOCK < end ? block + BLOCK : end;
    for (long c = 0; c < channels; c += VECTOR) {
      __m512 sum = _mm512_setzero_ps(), product = sum, mean = _mm512_loadu_ps(b->mean + c);
      for (long row = block; row < stop; row++) {
        long at = row * channels + c;
        __m512 x = load(b->x, at, bf16), dz = masked(b, at, c, x, bf16);
        if (b->dz) store(b->dz, at, dz, bf16);
        sum = _mm512_add_ps(sum, dz);
        product = _mm512_fmadd_ps(dz, _mm512_sub_ps(x, mean), product);
      }
      _mm512_storeu_ps(sums + c, _mm512_add_ps(sum, _mm512_loadu_ps(sums + c)));
      _mm512_storeu_ps(sums + channels + c, _mm512_add_ps(product, _mm512_loadu_ps(sums + channels + c)));
    }
  }
}

INLINE void backward_apply(const Backward *b, long begin, long end, const float *factor, const float *offset,
                           int bf16) {
  for (long row = begin; row < end; row++)
    for (long c = 0; c < b->channels; c += VECTOR) {
      long at = row * b->channels + c;
      __m512 x = load(b->x, at, bf16);
      __m512 dz = b->dz ? load(b->dz, at, bf16) : masked(b, at, c, x, bf16);
      __m512 affine = _mm512_fmadd_ps(x, _mm512_loadu_ps(factor + c), _mm512_loadu_ps(offset + c));
      store(b->dx, at, _mm512_fmadd_ps(dz, _mm512_loadu_ps(b->scale + c), affine), bf16);
    }
}

/* dx = scale * (dz - mean(dz) - (x - mean) * invstd^2 * mean(dz * (x - mean))), as dz * scale + x * factor + offset */
INLINE void backward_terms(const Backward *b, const float *parts, int threads, float *factor, float *offset) {
  for (long c = 0; c < b->channels; c++) {
    double sum = 0, product = 0;
    for (int t = 0; t < threads; t++) {
      sum += parts[2 * b->channels * t + c];
      product += parts[2 * b->channels * t + b->channels + c];
    }
    b->sums[c] = sum;
    b->sums[b->channels + c] = product * b->invstd[c];
    double slope = -(double)b->scale[c] * b->invstd[c] * b->invstd[c] * product / b->rows;
    factor[c] = slope;
    offset[c] = -b->scale[c] * sum / b->rows - slope * b->mean[c];
  }
}

void norm_backward(const Backward *b, int bf16) {
  int threads = omp_get_max_threads();
  long channels = b->channels;
  float *parts = malloc(sizeof(float) * 2 * channels * (threads + 1));
  float *factor = parts + 2 * channels * threads, *offset = factor + channels;
#pragma omp parallel num_threads(threads)
  {
    long me = omp_get_thread_num(), begin = b->rows * me / threads, end = b->rows * (me + 1) / threads;
    if (bf16)
      backward_sums(b, begin, end, parts + 2 * channels * me, 1);
    else
      backward_sums(b, begin, end, parts + 2 * channels * me, 0);
#pragma omp barrier
#pragma omp single
    backward_terms(b, parts, threads, factor, offset);
    if (bf16)
      backward_apply(b, begin, end, factor, offset, 1);
    else
      backward_apply(b, begin, end, factor, offset, 0);
  }
  free(parts);
}
