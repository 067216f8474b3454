/* One step of an optimizer, in one pass over memory: the formulas of rules.py in float32, each operation rounded by
   itself, one file for each. Compiled with -ffp-contract=off, so that every compiler, vector width and number of threads
   gives the same bits; square root and division are those of IEEE 754. */

#include <float.h>
#include <math.h>
#include <omp.h>
#include <stdint.h>

#if FLT_EVAL_METHOD != 0
#error "float32 is computed in another precision"
#endif

/* A parameter: weights, gradient (null: 0 throughout), up to two tensors of state (null: none), their length, and the
   numbers of the step, in the order in which rules.py gives them. */
typedef struct {
    float *p;
    const float *g;
    float *s, *t;
    int64_t n;
    const float *numbers;
} Part;

/* In floats; fewer than LEAST are not worth a second thread. */
enum { BLOCK = 2048, LINE = 16, LEAST = 1 << 15 };

typedef void Rule(
    int64_t n, float *restrict p, const float *restrict g, float *restrict s, float *restrict t, const float *c);

/* Weights [from, to) of a part; blocks of a gradient of 0 are the same one, again and again. */
static void update(const Part *a, int64_t from, int64_t to, Rule *rule) {
    static const float zeros[BLOCK];
    for (int64_t at = from; at < to; at += BLOCK) {
        int64_t n = to - at < BLOCK ? to - at : BLOCK;
        rule(n, a->p + at, a->g ? a->g + at : zeros, a->s ? a->s + at : 0, a->t ? a->t + at : 0, a->numbers);
    }
}

/* Where a thread's share of a part begins: whole cache lines, so that no two threads write to one. */
static int64_t edge(int64_t share, int64_t n) {
    int64_t at = (share + LINE - 1) / LINE * LINE;
    return share <= 0 ? 0 : at < n ? at : n;
}

/* All parts one after the other, shared out among the threads in equal pieces. */
static void update_all(const Part *parts, int64_t count, int64_t threads, Rule *rule) {
    int64_t total = 0;
    for (int64_t i = 0; i < count; i++) total += parts[i].n;
#pragma omp parallel num_threads(total < LEAST ? 1 : threads)
    {
        int64_t me = omp_get_thread_num(), team = omp_get_num_threads();
        int64_t begin = total * me / team, end = total * (me + 1) / team;
        for (int64_t i = 0; i < count; begin -= parts[i].n, end -= parts[i].n, i++)
            update(parts + i, edge(begin, parts[i].n), edge(end, parts[i].n), rule);
    }
}

#define UPDATE(name)                                                        \
    void update_##name(const Part *parts, int64_t count, int64_t threads) { \
        update_all(parts, count, threads, name);                            \
    }
