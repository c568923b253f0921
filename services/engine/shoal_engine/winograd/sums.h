/* Sums of products, the one place where time is spent: a vector of tiles for each of up to
   MOST_SUMS output channels stays in a register, and each weight is loaded for all lanes. */

#ifndef SUMS_H
#define SUMS_H

#include "layout.h"

/* sums[j] = sum over k of values[k] * weights[k][j]; the values lie one after another in `sum`,
   and are pointed at in `gather`. */
#define DEFINE_SUM(N)                                                                             \
    static void sum_##N(const float *values, const float *weights, int64_t count, float *sums) {   \
        vec total[N] = {0};                                                                        \
        for (int64_t k = 0; k < count; k++) ADD(N, *at(values + k * LANES));                       \
        STORE(N);                                                                                  \
    }                                                                                              \
    static void gather_##N(const float *const *values, int64_t offset, const float *weights,       \
                           int64_t count, float *sums) {                                           \
        vec total[N] = {0};                                                                        \
        for (int64_t k = 0; k < count; k++) ADD(N, *at(values[k] + offset));                       \
        STORE(N);                                                                                  \
    }

#define ADD(N, VALUE)                                                                              \
    {                                                                                              \
        vec value = VALUE;                                                                         \
        _Pragma("GCC unroll 24") for (int j = 0; j < N; j++) total[j] +=                           \
            value * weights[k * N + j];                                                            \
    }
#define STORE(N)                                                                                   \
    _Pragma("GCC unroll 24") for (int j = 0; j < N; j++) *at(sums + j * LANES) = total[j]

#if MOST_SUMS == 24
#define FOR_SUMS(X)                                                                                \
    X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17)    \
    X(18) X(19) X(20) X(21) X(22) X(23) X(24)
#else
#define FOR_SUMS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#endif
FOR_SUMS(DEFINE_SUM)

typedef void sum_function(const float *, const float *, int64_t, float *);
typedef void gather_function(const float *const *, int64_t, const float *, int64_t, float *);
#define SUM_ENTRY(N) [N] = sum_##N,
#define GATHER_ENTRY(N) [N] = gather_##N,
static sum_function *const sum_functions[] = {FOR_SUMS(SUM_ENTRY)};
static gather_function *const gather_functions[] = {FOR_SUMS(GATHER_ENTRY)};

#endif
