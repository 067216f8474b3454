#include "update.h"

static void asgd(
    int64_t n, float *restrict p, const float *restrict g, float *restrict ax, float *restrict none, const float *c) {
    const float decay = c[0], scale = c[1], rate = c[2], mu = c[3];
    (void)none;
    if (mu == 1) {
        for (int64_t i = 0; i < n; i++) {
            float d = decay != 0 ? g[i] + decay * p[i] : g[i];
            ax[i] = p[i] = p[i] * scale + rate * d;
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        float d = decay != 0 ? g[i] + decay * p[i] : g[i];
        p[i] = p[i] * scale + rate * d;
        ax[i] = ax[i] + (p[i] - ax[i]) * mu;
    }
}

UPDATE(asgd)
