#include "update.h"

static void rmsprop(
    int64_t n, float *restrict p, const float *restrict g, float *restrict s, float *restrict b, const float *c) {
    const float decay = c[0], keep = c[1], share = c[2], eps = c[3], momentum = c[4], rate = c[5];
    if (!b) {
        for (int64_t i = 0; i < n; i++) {
            float d = decay != 0 ? g[i] + decay * p[i] : g[i];
            s[i] = s[i] * keep + share * d * d;
            p[i] = p[i] + rate * d / (sqrtf(s[i]) + eps);
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        float d = decay != 0 ? g[i] + decay * p[i] : g[i];
        s[i] = s[i] * keep + share * d * d;
        b[i] = b[i] * momentum + d / (sqrtf(s[i]) + eps);
        p[i] = p[i] + rate * b[i];
    }
}

UPDATE(rmsprop)
