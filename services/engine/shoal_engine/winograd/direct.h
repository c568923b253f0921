/* Convolutions of any small kernel, and transposed ones, summed up tap by tap. */

#ifndef DIRECT_H
#define DIRECT_H

#include "layout.h"
#include "sums.h"

/* Points the taps at what an output of a row and phase is summed from. */
static void point_taps(const operation *op, const int64_t *offsets, int64_t tap_count, int64_t row,
                       int64_t phase, const float **taps) {
    for (int64_t tap = 0; tap < tap_count; tap++) {
        const int64_t y = row + offsets[2 * tap], x = phase + offsets[2 * tap + 1];
        const int64_t tile = quotient(x, PHASES);
        const int64_t place =
            y * row_size(&op->from) + (x - PHASES * tile) * op->from.pitch + tile;
        for (int64_t channel = 0; channel < op->channels; channel++)
            *taps++ = op->inputs[channel] + place;
    }
}

static void direct_row(const operation *op, int64_t row, const scratch *tools) {
    const int64_t count = op->tap_counts[0] * op->channels, blocks = blocks_of(&op->from);
    for (int64_t phase = 0; phase < PHASES; phase++) {
        point_taps(op, op->taps, op->tap_counts[0], row, phase, tools->taps);
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t place = phase * op->from.pitch + block * LANES;
            const vec mask = *at(op->to.mask + place);
            const float *weights = op->weights;
            for (int64_t first = 0; first < op->to.channels; first += op->sum_count) {
                const int64_t sums = smaller(op->sum_count, op->to.channels - first);
                gather_functions[sums](tools->taps, block * LANES, weights, count, tools->sums);
                weights += count * sums;
                for (int64_t j = 0; j < sums; j++) {
                    vec sum = *at(tools->sums + j * LANES) + op->biases[first + j];
                    *at(row_of(&op->to, first + j, row) + place) =
                        activated(sum, op->has_relu) * mask;
                }
            }
        }
    }
    clear_row_ends(&op->to, row, blocks * LANES);
}

/* Writes tiles of one image; what lies beyond the image is the next one's, and written again. */
static inline void store_upscaled(const tensor *to, vec left, vec right, int64_t lane,
                                  int64_t phase, float *row) {
    const int64_t pitch = to->shape.pitch;
    vec halves[2];
    interleave(left, right, &halves[0], &halves[1]);
    for (int half = 0; half < 2; half++) {
        const int64_t place = lane + half * LANES;
        if (place >= pitch) return;
        const vec made = halves[half] * *at(to->mask + phase * pitch + place);
        float *out = row + phase * pitch + place;
        if (place + LANES <= pitch) *at(out) = made;
        else memcpy(out, &made, sizeof(float) * (pitch - place));
    }
}

/* Rows 2 row and 2 row + 1 of the output: each parity of pixels has taps of its own. */
static void transposed_row(const operation *op, int64_t row, const scratch *tools) {
    const int64_t tiles = tiles_of(&op->from);
    const float *weights = op->weights;
    const int64_t *offsets = op->taps;
    for (int64_t parity = 0; parity < 4; parity++) {
        const int64_t taps = op->tap_counts[parity], count = taps * op->channels;
        const float **far_taps = tools->taps + count;
        for (int64_t phase = 0; phase < 2; phase++) {
            point_taps(op, offsets, taps, row, phase, tools->taps);
            point_taps(op, offsets, taps, row, phase + 2, far_taps);
            for (int64_t image = 0; image < op->from.images; image++)
                for (int64_t tile = 0; tile < tiles; tile += LANES) {
                    const int64_t lane = image * op->from.image_stride + tile;
                    const int64_t out_lane = image * op->to.shape.image_stride + 2 * tile;
                    const float *block = weights;
                    for (int64_t first = 0; first < op->to.channels; first += op->sum_count) {
                        const int64_t sums = smaller(op->sum_count, op->to.channels - first);
                        float *far_sums = tools->sums + sums * LANES;
                        gather_functions[sums](tools->taps, lane, block, count, tools->sums);
                        gather_functions[sums](far_taps, lane, block, count, far_sums);
                        block += count * sums;
                        for (int64_t j = 0; j < sums; j++) {
                            const float bias = op->biases[first + j];
                            vec near = *at(tools->sums + j * LANES) + bias;
                            vec far = *at(far_sums + j * LANES) + bias;
                            store_upscaled(&op->to, activated(near, op->has_relu),
                                           activated(far, op->has_relu), out_lane,
                                           2 * phase + parity % 2,
                                           row_of(&op->to, first + j, 2 * row + parity / 2));
                        }
                    }
                }
        }
        weights += count * op->to.channels;
        offsets += 2 * taps;
    }
    for (int64_t y = 0; y < 2; y++) clear_beside_images(&op->to, 2 * row + y);
}

#endif
