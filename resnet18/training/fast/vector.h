/* Sixteen float32 values from and to memory, where they are float32 or bfloat16. */

#include <immintrin.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
enum { VECTOR = 16 };

INLINE __m512 load(const void *from, long at, int bf16) {
  if (!bf16) return _mm512_loadu_ps((const float *)from + at);
  __m256i half = _mm256_loadu_si256((const __m256i *)((const uint16_t *)from + at));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

INLINE void store(void *to, long at, __m512 value, int bf16) {
  if (bf16)
    _mm256_storeu_si256((__m256i *)((uint16_t *)to + at), (__m256i)_mm512_cvtneps_pbh(value));
  else
    _mm512_storeu_ps((float *)to + at, value);
}
