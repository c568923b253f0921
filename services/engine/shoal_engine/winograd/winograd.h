/* 3 x 3 convolutions as F(4x4, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural
   Networks" (CVPR 2016): 4 x 4 outputs of a tile from products at 36 points instead of 144. */

#ifndef WINOGRAD_H
#define WINOGRAD_H

#include "layout.h"
#include "sums.h"

#define POINTS 36

/* B^T d of the paper, along one axis. */
static inline void to_points(const vec d[6], float *points, int64_t step) {
    vec even = d[4] - 4 * d[2], odd = d[3] - 4 * d[1];
    vec wide = d[4] - d[2], far = 2 * (d[3] - d[1]);
    *at(points) = 4 * d[0] - 5 * d[2] + d[4];
    *at(points + step) = even + odd;
    *at(points + 2 * step) = even - odd;
    *at(points + 3 * step) = wide + far;
    *at(points + 4 * step) = wide - far;
    *at(points + 5 * step) = 4 * d[1] - 5 * d[3] + d[5];
}

/* Takes the 6 x 6 pixels of LANES tiles of a channel to the points [x][y]. Points of few columns
   at a time, so that all of it stays in registers. */
static inline void transform_tiles(const float *corner, int64_t pitch, float *points, int64_t step) {
    const int64_t row = PHASES * pitch;
    vec left[6], right[6];
#define PIXEL(x) *at(corner + y * row + (x == 0 ? 3 * pitch - 1 : x == 5 ? 1 : (x - 1) * pitch))
#pragma GCC unroll 6
    for (int y = 0; y < 6; y++) left[y] = 4 * PIXEL(0) - 5 * PIXEL(2) + PIXEL(4);
    to_points(left, points, step);
#pragma GCC unroll 6
    for (int y = 0; y < 6; y++) {
        vec even = PIXEL(4) - 4 * PIXEL(2), odd = PIXEL(3) - 4 * PIXEL(1);
        left[y] = even + odd;
        right[y] = even - odd;
    }
    to_points(left, points + 6 * step, step);
    to_points(right, points + 12 * step, step);
#pragma GCC unroll 6
    for (int y = 0; y < 6; y++) {
        vec wide = PIXEL(4) - PIXEL(2), far = 2 * (PIXEL(3) - PIXEL(1));
        left[y] = wide + far;
        right[y] = wide - far;
    }
    to_points(left, points + 18 * step, step);
    to_points(right, points + 24 * step, step);
#pragma GCC unroll 6
    for (int y = 0; y < 6; y++) left[y] = 4 * PIXEL(1) - 5 * PIXEL(3) + PIXEL(5);
    to_points(left, points + 30 * step, step);
#undef PIXEL
}

/* A^T m of the paper, along one axis. */
static inline void from_points(const vec m[6], vec o[4]) {
    vec sum = m[1] + m[2], difference = m[1] - m[2];
    vec far_sum = m[3] + m[4], far_difference = m[3] - m[4];
    o[0] = m[0] + sum + far_sum;
    o[1] = difference + 2 * far_difference;
    o[2] = sum + 4 * far_sum;
    o[3] = difference + 8 * far_difference + m[5];
}

/* Takes the sums at the points [x][y] of LANES tiles of a channel to 4 x 4 outputs [y][x]. */
static inline void transform_sums(const float *sums, int64_t step, float bias, vec made[4][4]) {
    vec columns[6][4];
#pragma GCC unroll 6
    for (int x = 0; x < 6; x++) {
        vec column[6];
#pragma GCC unroll 6
        for (int y = 0; y < 6; y++) column[y] = *at(sums + (x * 6 + y) * step);
        if (x == 1) column[1] += bias; /* the point that every output takes once */
        from_points(column, columns[x]);
    }
#pragma GCC unroll 4
    for (int y = 0; y < 4; y++) {
        vec row[6] = {columns[0][y], columns[1][y], columns[2][y],
                      columns[3][y], columns[4][y], columns[5][y]};
        from_points(row, made[y]);
    }
}

static inline vec larger(vec left, vec right) {
    bits is_left = left > right;
    return (vec)(((bits)left & is_left) | ((bits)right & ~is_left));
}

/* Writes the maxima of 2 x 2 pixels of LANES tiles: half as many tiles of half as many rows. */
static inline void write_pooled(const tensor *to, vec made[4][4], int64_t channel, int64_t tile_row,
                                int64_t lane) {
    const int64_t pitch = to->shape.pitch, half = sizeof(float) * LANES / 2;
    for (int y = 0; y < 2 && 2 * tile_row + y < to->shape.rows; y++) {
        vec near = larger(larger(made[2 * y][0], made[2 * y][1]),
                          larger(made[2 * y + 1][0], made[2 * y + 1][1]));
        vec far = larger(larger(made[2 * y][2], made[2 * y][3]),
                         larger(made[2 * y + 1][2], made[2 * y + 1][3]));
        vec even, odd;
        separate(near, far, &even, &odd);
        float *row = row_of(to, channel, 2 * tile_row + y) + lane / 2;
        memcpy(row, &even, half);
        memcpy(row + pitch, (const float *)&even + LANES / 2, half);
        memcpy(row + 2 * pitch, &odd, half);
        memcpy(row + 3 * pitch, (const float *)&odd + LANES / 2, half);
    }
}

/* Writes one output channel of LANES tiles. */
static inline void write_tiles(const operation *op, const float *sums, int64_t step, int64_t channel,
                               int64_t tile_row, int64_t lane) {
    const int64_t pitch = op->from.pitch, rows = op->from.rows - 4 * tile_row;
    const float *mask = op->to.mask + lane;
    float *corner = op->to.start ? row_of(&op->to, channel, 4 * tile_row) + lane : NULL;
    vec made[4][4];
    transform_sums(sums, step, op->biases[channel], made);
#pragma GCC unroll 4
    for (int y = 0; y < 4; y++) {
#pragma GCC unroll 4
        for (int phase = 0; phase < PHASES; phase++)
            made[y][phase] = activated(made[y][phase], op->has_relu) * *at(mask + phase * pitch);
        if (corner && y < rows)
#pragma GCC unroll 4
            for (int phase = 0; phase < PHASES; phase++)
                *at(corner + (y * PHASES + phase) * pitch) = made[y][phase];
    }
    if (op->pooled.start) write_pooled(&op->pooled, made, channel, tile_row, lane);
}

/* Rows of tiles, some blocks of LANES tiles at a time: the more of them, the more rarely weights
   come from beyond the cache. */
static void winograd_rows(const operation *op, int64_t tile_row, int64_t end, const scratch *tools) {
    const int64_t blocks = blocks_of(&op->from), last = end * blocks;
    const int64_t step = (op->channels + 1) * LANES; /* + 1: not all points in one set of the cache */
    for (int64_t start = tile_row * blocks; start < last; start += op->group) {
        const int64_t group = smaller(op->group, last - start);
        for (int64_t g = 0; g < group; g++) {
            const int64_t row = (start + g) / blocks, lane = (start + g) % blocks * LANES;
            const int64_t corner = (4 * row - 1) * row_size(&op->from) + lane;
            for (int64_t channel = 0; channel < op->channels; channel++)
                transform_tiles(op->inputs[channel] + corner, op->from.pitch,
                                tools->tiles + g * POINTS * step + channel * LANES, step);
        }
        const float *weights = op->weights;
        for (int64_t first = 0; first < op->to.channels; first += op->sum_count) {
            const int64_t count = smaller(op->sum_count, op->to.channels - first);
            for (int64_t point = 0; point < POINTS; point++) {
                for (int64_t g = 0; g < group; g++)
                    sum_functions[count](tools->tiles + (g * POINTS + point) * step, weights,
                                         op->channels,
                                         tools->sums + (g * POINTS + point) * count * LANES);
                weights += op->channels * count;
            }
            for (int64_t g = 0; g < group; g++) {
                const int64_t row = (start + g) / blocks, lane = (start + g) % blocks * LANES;
                for (int64_t j = 0; j < count; j++)
                    write_tiles(op, tools->sums + (g * POINTS * count + j) * LANES, count * LANES,
                                first + j, row, lane);
            }
        }
    }
    if (op->to.start)
        for (int64_t row = 4 * tile_row; row < smaller(4 * end, op->to.shape.rows); row++)
            clear_row_ends(&op->to, row, blocks * LANES);
    if (op->pooled.start)
        for (int64_t row = 2 * tile_row; row < smaller(2 * end, op->pooled.shape.rows); row++)
            clear_row_ends(&op->pooled, row, blocks * LANES / 2);
}

#endif
