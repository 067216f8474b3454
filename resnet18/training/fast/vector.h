/* A vector of float32 values, as many as a register holds, from and to memory that has float32 or bfloat16.

Written in the vector extensions of GCC and Clang: one source for AVX-512, AVX2 and NEON. */

#include <stdint.h>
#include <string.h>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#else /* a compiler without OpenMP ignores its pragmas: one thread */
static inline int omp_get_max_threads(void) { return 1; }
static inline int omp_get_thread_num(void) { return 0; }
#endif

#if defined __AVX512F__
#define VECTOR 16
#elif defined __AVX2__
#define VECTOR 8
#else
#define VECTOR 4
#endif
#define INLINE static inline __attribute__((always_inline))

typedef float V __attribute__((vector_size(4 * VECTOR)));
typedef int32_t Lanes __attribute__((vector_size(4 * VECTOR))); /* whole numbers, and what a comparison gives: 0 or -1 */
typedef uint32_t Bits __attribute__((vector_size(4 * VECTOR)));
typedef uint16_t Halves __attribute__((vector_size(2 * VECTOR)));
typedef uint8_t Bytes __attribute__((vector_size(VECTOR)));

INLINE V all(float value) { return value - (V){0}; }

INLINE V floats(const float *from) {
  V value;
  memcpy(&value, from, sizeof value);
  return value;
}

INLINE void set_floats(float *to, V value) { memcpy(to, &value, sizeof value); }

/* The values where the mask is set, 0 elsewhere. */
INLINE V where(Lanes mask, V value) { return (V)(mask & (Lanes)value); }

/* Where a ReLU lets a value through: NaN passes, as in torch. */
INLINE Lanes positive(V value) { return ~(value <= all(0)); }

INLINE V load(const void *from, long at, int bf16) {
  if (!bf16) return floats((const float *)from + at);
  Halves half;
  memcpy(&half, (const uint16_t *)from + at, sizeof half);
  return (V)(__builtin_convertvector(half, Bits) << 16);
}

/* To the nearest bfloat16, the even one of two; NaN stays NaN. */
INLINE Halves rounded(V value) {
#ifdef __AVX512BF16__
  return (Halves)_mm512_cvtneps_pbh((__m512)value);
#else
  Bits bits = (Bits)value, nearest = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16, nan = (Bits)(value != value);
  return __builtin_convertvector((nan & 0x7fc0) | (~nan & nearest), Halves);
#endif
}

INLINE void store(void *to, long at, V value, int bf16) {
  if (bf16) {
    Halves half = rounded(value);
    memcpy((uint16_t *)to + at, &half, sizeof half);
  } else
    set_floats((float *)to + at, value);
}
