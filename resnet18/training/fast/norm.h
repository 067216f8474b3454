/* What Python hands to norm.c and pool.c: the same fields in the same order as `FORWARD` and `BACKWARD` of __init__.py. */

#include "vector.h"

/* Of one norm's forward pass. `other` is added, or NULL; `taken` is where the pool notes its choices, NULL for none.
Terms [4, channels] are written: scale, shift, mean and 1 / sqrt(variance + eps). */
typedef struct {
  const void *x, *other;
  void *y;
  uint8_t *taken;
  const float *weight, *bias;
  float *running_mean, *running_var, *terms;
  long images, height, width, channels, relu, training, bf16;
  float momentum, eps;
} Forward;

/* Of its backward pass. Gradients: dy, and dy2 of a second user (or NULL). Mask: where y > 0; where y is NULL and relu
is set, where x * scale + shift > 0. Sums [2, channels]: of dz and of dz * (x - mean) / std. */
typedef struct {
  const void *dy, *dy2, *y, *x;
  void *dz, *dx;
  const float *terms;
  float *sums;
  long rows, channels, relu, bf16;
} Backward;

void pool_forward(const Forward *f);
