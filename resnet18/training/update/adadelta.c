#include "update.h"

static void adadelta(
    int64_t n, float *restrict p, const float *restrict g, float *restrict s, float *restrict a, const float *c) {
    const float decay = c[0], keep = c[1], share = c[2], eps = c[3], rate = c[4];
    for (int64_t i = 0; i < n; i++) {
        float d = decay != 0 ? g[i] + decay * p[i] : g[i];
        s[i] = s[i] * keep + share * d * d;
        float delta = sqrtf(a[i] + eps) / sqrtf(s[i] + eps) * d;
        a[i] = a[i] * keep + share * delta * delta;
        p[i] = p[i] + rate * delta;
    }
}

UPDATE(adadelta)
