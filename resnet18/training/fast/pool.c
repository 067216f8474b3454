/* Max pool 3x3, stride 2, padding 1, of an image batch [n, height, width, channels]; channels a multiple of 16. */

#include "vector.h"
enum { SIDE = 3 };

/* One output pixel of relu(x * scale + shift), pooled; `taken` says which of the nine it was. The maximum starts at
the ReLU's 0: where nothing is above it, the gradient is 0 whichever pixel is taken, and 9 names none. A NaN is taken and stays, as in torch. */
INLINE void pool_pixel(const void *x, void *y, uint8_t *taken, const float *scale, const float *shift, long n, long oy,
                       long ox, long height, long width, long channels, int bf16) {
  long rows = (height + 1) / 2, columns = (width + 1) / 2;
  long out = ((n * rows + oy) * columns + ox) * channels;
  for (long c = 0; c < channels; c += VECTOR) {
    __m512 best = _mm512_setzero_ps(), a = _mm512_loadu_ps(scale + c), b = _mm512_loadu_ps(shift + c);
    __m512i which = _mm512_set1_epi32(SIDE * SIDE);
    for (int tap = 0; tap < SIDE * SIDE; tap++) {
      long iy = 2 * oy - 1 + tap / SIDE, ix = 2 * ox - 1 + tap % SIDE;
      if (iy < 0 || ix < 0 || iy >= height || ix >= width) continue;
      __m512 v = _mm512_fmadd_ps(load(x, ((n * height + iy) * width + ix) * channels + c, bf16), a, b);
      __mmask16 above = _mm512_cmp_ps_mask(v, best, _CMP_GT_OQ) | _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
      best = _mm512_mask_mov_ps(best, above, v);
      which = _mm512_mask_set1_epi32(which, above, tap);
    }
    store(y, out + c, best, bf16);
    _mm_storeu_si128((__m128i *)(taken + out + c), _mm512_cvtepi32_epi8(which));
  }
}

void pool_forward(const void *x, void *y, uint8_t *taken, const float *scale, const float *shift, long images,
                  long height, long width, long channels, int bf16) {
  long rows = (height + 1) / 2, columns = (width + 1) / 2;
#pragma omp parallel for collapse(2) schedule(static)
  for (long n = 0; n < images; n++)
    for (long oy = 0; oy < rows; oy++)
      for (long ox = 0; ox < columns; ox++)
        if (bf16)
          pool_pixel(x, y, taken, scale, shift, n, oy, ox, height, width, channels, 1);
        else
          pool_pixel(x, y, taken, scale, shift, n, oy, ox, height, width, channels, 0);
}

/* The gradient at one input pixel: of the at most four windows that hold it, those that took it. */
INLINE void unpool_pixel(const void *dy, const void *dy2, const uint8_t *taken, void *dx, long n, long iy, long ix,
                         long height, long width, long channels, int bf16) {
  long rows = (height + 1) / 2, columns = (width + 1) / 2, in = ((n * height + iy) * width + ix) * channels;
  for (long c = 0; c < channels; c += VECTOR) {
    __m512 sum = _mm512_setzero_ps();
    for (long oy = iy / 2; oy <= (iy + 1) / 2 && oy < rows; oy++)
      for (long ox = ix / 2; ox <= (ix + 1) / 2 && ox < columns; ox++) {
        long at = ((n * rows + oy) * columns + ox) * channels + c;
        long tap = SIDE * (iy - 2 * oy + 1) + ix - 2 * ox + 1;
        __m128i which = _mm_loadu_si128((const __m128i *)(taken + at));
        __mmask16 mine = _mm_cmpeq_epi8_mask(which, _mm_set1_epi8((char)tap));
        sum = _mm512_mask_add_ps(sum, mine, sum, load(dy, at, bf16));
        if (dy2) sum = _mm512_mask_add_ps(sum, mine, sum, load(dy2, at, bf16));
      }
    store(dx, in + c, sum, bf16);
  }
}

void pool_backward(const void *dy, const void *dy2, const uint8_t *taken, void *dx, long images, long height,
                   long width, long channels, int bf16) {
#pragma omp parallel for collapse(2) schedule(static)
  for (long n = 0; n < images; n++)
    for (long iy = 0; iy < height; iy++)
      for (long ix = 0; ix < width; ix++)
        if (bf16)
          unpool_pixel(dy, dy2, taken, dx, n, iy, ix, height, width, channels, 1);
        else
          unpool_pixel(dy, dy2, taken, dx, n, iy, ix, height, width, channels, 0);
}
