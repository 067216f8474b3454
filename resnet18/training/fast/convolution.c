/* Convolutions in bfloat16 on AMX tiles: each sums matrix products of gathered pixels over the kernel's positions.

Positions are those of the kernel. Images are [pixels, channels], a weight [channels_out, positions, channels_in] in
float32; channels are multiples of 32. For each position, `source` says which input pixel an output pixel sees, -1 for
padding. A tile is 16 rows of 64 bytes; the product of two takes pairs of bfloat16 along the summed axis. */

#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define INLINE static inline __attribute__((always_inline))
enum { TILE = 512, SIDE = 32, LINE = 64, SOME = 128, FEW = 64 };
/* bfloat16 of a tile; of a block's side; bytes of a row; pixels gathered at once; tile steps packed at once */

/* Ask Linux for the tile registers (ARCH_REQ_XCOMP_PERM, XTILEDATA); 0 if they are there. */
int tiles_missing(void) { return (int)syscall(SYS_arch_prctl, 0x1023, 18); }

static void configure(void) {
  struct { uint8_t palette, start, reserved[14]; uint16_t bytes[16]; uint8_t rows[16]; } tiles = {.palette = 1};
  for (int t = 0; t < 8; t++) tiles.bytes[t] = LINE, tiles.rows[t] = 16;
  _tile_loadconfig(&tiles);
}

/* Transpose 16 rows of 16 32-bit values: pairs along a row become pairs down a column. */
INLINE void transpose(__m512i r[16], uint16_t *to) {
  __m512i t[16];
  for (int i = 0; i < 8; i++) {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 4; i++) {
    r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[4 + i], 0x88);
    t[4 + i] = _mm512_shuffle_i32x4(r[i], r[4 + i], 0xdd);
    t[8 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0x88);
    t[12 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    _mm512_storeu_si512(to + SIDE * i, _mm512_shuffle_i32x4(t[i], t[8 + i], 0x88));
    _mm512_storeu_si512(to + SIDE * (4 + i), _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0x88));
    _mm512_storeu_si512(to + SIDE * (8 + i), _mm512_shuffle_i32x4(t[i], t[8 + i], 0xdd));
    _mm512_storeu_si512(to + SIDE * (12 + i), _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0xdd));
  }
}

/* Two rows of 32 values as 32 pairs: the low 16 and the high 16. */
INLINE void interleave(__m512i a, __m512i b, __m512i *low, __m512i *high) {
  __m512i lo = _mm512_unpacklo_epi16(a, b), hi = _mm512_unpackhi_epi16(a, b);
  __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  *low = _mm512_permutex2var_epi64(lo, first, hi);
  *high = _mm512_permutex2var_epi64(lo, second, hi);
}

INLINE __m512i row_of(const uint16_t *x, long pixel, long channels, long c) {
  return pixel < 0 ? _mm512_setzero_si512() : _mm512_loadu_si512(x + pixel * channels + c);
}

INLINE __m512i halves(const float *from) {
  return (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + 16), _mm512_loadu_ps(from));
}

/* 32 weights of the other axis as the right-hand tiles of a product over channels_in (forward) or channels_out. */
void pack_weight(const float *weight, uint16_t *forward, uint16_t *backward, long outs, long positions, long ins) {
#pragma omp parallel for collapse(2) schedule(static)
  for (long o = 0; o < outs; o += SIDE)
    for (long t = 0; t < positions; t++)
      for (long i = 0; i < ins; i += SIDE) {
        const float *from = weight + (o * positions + t) * ins + i;
        __m512i rows[SIDE], copy[16];
        for (int k = 0; k < SIDE; k++) rows[k] = halves(from + k * positions * ins);
        /* forward [outs / 32][positions][ins / 32][2 tiles] */
        uint16_t *to = forward + (((o / SIDE) * positions + t) * (ins / SIDE) + i / SIDE) * 2 * TILE;
        for (int half = 0; half < 2; half++) {
          memcpy(copy, rows + 16 * half, sizeof copy);
          transpose(copy, to + half * TILE);
        }
        /* backward [ins / 32][positions][outs / 32][2 tiles] */
        to = backward + (((i / SIDE) * positions + t) * (outs / SIDE) + o / SIDE) * 2 * TILE;
        for (int k = 0; k < 16; k++) {
          __m512i low, high;
          interleave(rows[2 * k], rows[2 * k + 1], &low, &high);
          _mm512_storeu_si512(to + SIDE * k, low);
          _mm512_storeu_si512(to + TILE + SIDE * k, high);
        }
      }
}

/* Start a sum of 32 rows by 32 columns, at 0 or at what is there; `line` is the distance of rows. */
INLINE void begin_sum(const float *from, long line, int resume) {
  if (resume) {
    _tile_loadd(0, from, 4 * line);
    _tile_loadd(1, from + 16, 4 * line);
    _tile_loadd(2, from + 16 * line, 4 * line);
    _tile_loadd(3, from + 16 * line + 16, 4 * line);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
}

INLINE void end_sum(float *to, long line) {
  _tile_stored(0, to, 4 * line);
  _tile_stored(1, to + 16, 4 * line);
  _tile_stored(2, to + 16 * line, 4 * line);
  _tile_stored(3, to + 16 * line + 16, 4 * line);
}

/* Sum of products of tiles: 32 rows by 32 columns, `steps` times 32 deep, into the tile registers 0 to 3. */
INLINE void multiply(const uint16_t *left, long left_line, long left_half, long left_step, const uint16_t *right,
                     long steps) {
  for (long k = 0; k < steps; k++, left += left_step, right += 2 * TILE) {
    _tile_loadd(4, left, left_line);
    _tile_loadd(6, right, LINE);
    _tile_loadd(5, left + left_half, left_line);
    _tile_loadd(7, right + TILE, LINE);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}

/* y[target[p], :] = sum over positions t of x[source[t][p], :] @ packed[:, position[t], :].
   `all` is the weight's positions. */
void multiply_pixels(const uint16_t *x, uint16_t *y, const uint16_t *packed, const int *source, const int *target,
                     const int *position, long pixels, long positions, long all, long ins, long outs) {
  long deep = positions * ins, blocks = (pixels + SOME - 1) / SOME;
#pragma omp parallel
  {
    configure();
    uint16_t *gathered = aligned_alloc(LINE, sizeof(uint16_t) * SOME * deep);
    float sums[SIDE * SIDE] __attribute__((aligned(64)));
#pragma omp for schedule(static)
    for (long block = 0; block < blocks; block++) {
      long begin = block * SOME, count = pixels - begin < SOME ? pixels - begin : SOME;
      for (long p = 0; p < (count + SIDE - 1) / SIDE * SIDE; p++)
        for (long t = 0; t < positions; t++) {
          long from = p < count ? source[t * pixels + begin + p] : -1;
          for (long c = 0; c < ins; c += SIDE)
            _mm512_store_si512(gathered + p * deep + t * ins + c, row_of(x, from, ins, c));
        }
      for (long o = 0; o < outs; o += SIDE)
        for (long p = 0; p < count; p += SIDE) {
          begin_sum(sums, SIDE, 0);
          for (long t = 0; t < positions; t++)
            multiply(gathered + p * deep + t * ins, 2 * deep, 16 * deep, SIDE,
                     packed + ((o / SIDE) * all + position[t]) * (ins / SIDE) * 2 * TILE, ins / SIDE);
          end_sum(sums, SIDE);
          for (long q = 0; q < SIDE && p + q < count; q++) {
            __m512i half = (__m512i)_mm512_cvtne2ps_pbh(_mm512_load_ps(sums + SIDE * q + 16),
                                                        _mm512_load_ps(sums + SIDE * q));
            _mm512_storeu_si512(y + (long)target[begin + p + q] * outs + o, half);
          }
        }
    }
    free(gathered);
    _tile_release();
  }
}

/* Left-hand tiles of a product over pixels: gradient [pixels, outs] to [outs / 16][pixels / 32][tile]. */
static void pack_gradient(const uint16_t *g, uint16_t *packed, long pixels, long outs) {
  long steps = (pixels + SIDE - 1) / SIDE;
#pragma omp parallel for schedule(static)
  for (long s = 0; s < steps; s++)
    for (long o = 0; o < outs; o += SIDE) {
      __m512i low[16], high[16];
      for (long k = 0; k < 16; k++) {
        long p = s * SIDE + 2 * k;
        interleave(row_of(g, p < pixels ? p : -1, outs, o), row_of(g, p + 1 < pixels ? p + 1 : -1, outs, o), low + k,
                   high + k);
      }
      transpose(low, packed + ((o / 16) * steps + s) * TILE);
      transpose(high, packed + ((o / 16 + 1) * steps + s) * TILE);
    }
}

/* Right-hand tiles of the same: 32 channels of the pixels that a position meets. */
INLINE void pack_pixels(const uint16_t *x, uint16_t *packed, const int *source, long begin, long end, long pixels,
                        long channels, long c) {
  for (long s = begin; s < end; s++, packed += 2 * TILE)
    for (long k = 0; k < 16; k++) {
      long p = s * SIDE + 2 * k;
      __m512i low, high;
      interleave(row_of(x, p < pixels ? source[p] : -1, channels, c),
                 row_of(x, p + 1 < pixels ? source[p + 1] : -1, channels, c), &low, &high);
      _mm512_store_si512(packed + k * SIDE, low);
      _mm512_store_si512(packed + TILE + k * SIDE, high);
    }
}

/* gradient of the weight [outs, positions, ins] = sum over pixels p of g[p, :] outer x[source[t][p], :] */
void weight_gradient(const uint16_t *x, const uint16_t *g, float *gradient, const int *source, long pixels,
                     long positions,
                     long ins, long outs) {
  long steps = (pixels + SIDE - 1) / SIDE;
  uint16_t *left = aligned_alloc(LINE, sizeof(uint16_t) * steps * SIDE * outs);
  pack_gradient(g, left, pixels, outs);
#pragma omp parallel
  {
    configure();
    uint16_t *right = aligned_alloc(LINE, sizeof(uint16_t) * FEW * 2 * TILE);
    for (long s = 0; s < steps; s += FEW) { /* outermost, so that this part of `left` stays in the cache */
      long end = s + FEW < steps ? s + FEW : steps;
#pragma omp for collapse(2) schedule(static) nowait
      for (long t = 0; t < positions; t++)
        for (long c = 0; c < ins; c += SIDE) {
          pack_pixels(x, right, source + t * pixels, s, end, pixels, ins, c);
          for (long o = 0; o < outs; o += SIDE) {
            begin_sum(gradient + (o * positions + t) * ins + c, positions * ins, s > 0);
            multiply(left + ((o / 16) * steps + s) * TILE, LINE, steps * TILE, TILE, right, end - s);
            end_sum(gradient + (o * positions + t) * ins + c, positions * ins);
          }
        }
    }
    free(right);
    _tile_release();
  }
  free(left);
}
