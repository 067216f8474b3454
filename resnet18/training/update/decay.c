#include "update.h"

/* What AdamW does to a weight whose gradients are all 0. */
static void decay(
    int64_t n, float *restrict p, const float *restrict g, float *restrict s, float *restrict t, const float *c) {
    (void)g, (void)s, (void)t;
    for (int64_t i = 0; i < n; i++) p[i] = p[i] * c[0];
}

UPDATE(decay)
