#include "update.h"

static void sgd(
    int64_t n, float *restrict p, const float *restrict g, float *restrict b, float *restrict none, const float *c) {
    const float decay = c[0], momentum = c[1], share = c[2], ahead = c[3], rate = c[4];
    (void)none;
    if (!b) {
        for (int64_t i = 0; i < n; i++) {
            float d = decay != 0 ? g[i] + decay * p[i] : g[i];
            p[i] = p[i] + rate * d;
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        float d = decay != 0 ? g[i] + decay * p[i] : g[i];
        b[i] = b[i] * momentum + share * d;
        d = ahead != 0 ? d + ahead * b[i] : b[i];
        p[i] = p[i] + rate * d;
    }
}

UPDATE(sgd)
