/* Half and twice as many pixels. */

#ifndef SCALING_H
#define SCALING_H

#include "direct.h"
#include "layout.h"

static inline float largest(float a, float b, float c, float d) {
    const float left = a > b ? a : b, right = c > d ? c : d;
    return left > right ? left : right;
}

/* Maxima of 2 x 2 pixels. */
static void pool_row(const operation *op, int64_t row) {
    const int64_t pitch = op->from.pitch, tiles = tiles_of(&op->to.shape);
    for (int64_t channel = 0; channel < op->channels; channel++) {
        const float *upper = op->inputs[channel] + 2 * row * row_size(&op->from);
        const float *lower = upper + row_size(&op->from);
        for (int64_t image = 0; image < op->from.images; image++)
            for (int half = 0; half < 2; half++) {
                const int64_t place = 2 * half * pitch + image * op->from.image_stride;
                const float *above = upper + place, *below = lower + place;
                float *near = row_of(&op->to, channel, row) + half * op->to.shape.pitch +
                              image * op->to.shape.image_stride;
                float *far = near + 2 * op->to.shape.pitch;
                for (int64_t tile = 0; tile < tiles; tile++) {
                    const int64_t left = 2 * tile, right = 2 * tile + 1;
                    near[tile] = largest(above[left], above[left + pitch], below[left],
                                         below[left + pitch]);
                    far[tile] = largest(above[right], above[right + pitch], below[right],
                                        below[right + pitch]);
                }
            }
    }
    clear_beside_images(&op->to, row);
}

/* Twice as many pixels, bilinearly between their centres; edges are continued. */
static void upsample_row(const operation *op, int64_t row, const scratch *tools) {
    const geometry *from = &op->from;
    const int64_t pitch = from->pitch, tiles = tiles_of(from), y = row / 2;
    const int64_t other = row % 2 ? smaller(y + 1, from->rows - 1) : (y > 0 ? y - 1 : 0);
    const int64_t last = from->columns - 1, beyond = from->columns;
    float *mixed = tools->tiles + LANES;
    for (int64_t channel = 0; channel < op->channels; channel++) {
        const float *near = op->inputs[channel] + y * row_size(from);
        const float *far = op->inputs[channel] + other * row_size(from);
        for (int64_t lane = 0; lane < row_size(from); lane++)
            mixed[lane] = 0.75f * near[lane] + 0.25f * far[lane];
        for (int64_t image = 0; image < from->images; image++) {
            float *start = mixed + image * from->image_stride;
            start[3 * pitch - 1] = start[0];
            start[beyond % 4 * pitch + beyond / 4] = start[last % 4 * pitch + last / 4];
            for (int64_t tile = 0; tile < tiles; tile += LANES)
                for (int phase = 0; phase < 2; phase++)
                    for (int parity = 0; parity < 2; parity++) {
                        const int beside = phase + 2 * parity - 1; /* -1 to 2 */
                        const float *middle = start + phase * pitch + tile;
                        const float *side = beside < 0 ? start + 3 * pitch + tile - 1
                                                       : start + beside * pitch + tile;
                        const float *far_side = beside == 2 ? start + tile + 1
                                                            : start + (beside + 2) * pitch + tile;
                        vec left = 0.75f * *at(middle) + 0.25f * *at(side);
                        vec right = 0.75f * *at(middle + 2 * pitch) + 0.25f * *at(far_side);
                        store_upscaled(&op->to, left, right,
                                       image * op->to.shape.image_stride + 2 * tile,
                                       2 * phase + parity, row_of(&op->to, channel, row));
                    }
        }
    }
    clear_beside_images(&op->to, row);
}

#endif
