#include "update.h"

/* Adam has a scale of 1, AdamW a decay of 0. */
static void adam(
    int64_t n, float *restrict p, const float *restrict g, float *restrict m, float *restrict v, const float *c) {
    const float decay = c[0], scale = c[1], weight = c[2], keep = c[3], share = c[4], correction = c[5], eps = c[6],
                rate = c[7];
    for (int64_t i = 0; i < n; i++) {
        float w = p[i] * scale, d = decay != 0 ? g[i] + decay * w : g[i], e = d - m[i];
        m[i] = weight < 0.5f ? m[i] + weight * e : d - e * (1 - weight);
        v[i] = v[i] * keep + share * d * d;
        p[i] = w + rate * m[i] / (sqrtf(v[i]) / correction + eps);
    }
}

UPDATE(adam)
