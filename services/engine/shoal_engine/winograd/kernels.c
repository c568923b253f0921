/* Convolutional networks on one CPU, image by image, in float32.

   3 x 3 convolutions are computed as F(4x4, 3x3) of Lavin and Gray, "Fast Algorithms for
   Convolutional Neural Networks" (CVPR 2016): tiles of 4 x 4 outputs from 36 products a channel
   instead of 144. A lane of a vector is a tile, so that any number of channels fills the vectors.

   Layout of a tensor, so that what 16 tiles need lies side by side: [channel][row][phase][tile],
   where pixel x is phase x % 4 of tile x / 4. Images of a batch lie side by side in their rows,
   a tile of zeros between them; a row ends with at least one zero, and rows of zeros
   lie above and below each channel. Every operation writes all of its output, zeros included. */

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#define MOST_SUMS 24
#elif defined(__AVX__)
#define LANES 8
#define MOST_SUMS 12
#else
#define LANES 4
#define MOST_SUMS 12
#endif

#define PHASES 4
#define POINTS 36 /* products a tile and pair of channels: 6 x 6 */

typedef float vec __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t bits __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

/* What the layout of a tensor follows from. */
typedef struct {
    int64_t rows;         /* of an image */
    int64_t columns;      /* of an image */
    int64_t images;       /* side by side */
    int64_t image_stride; /* tiles from an image to the next */
    int64_t pitch;        /* floats of a phase of a row; a multiple of LANES */
    int64_t channel;      /* floats from a channel to the next */
    int64_t margin;       /* rows of zeros above the first channel and below each */
} geometry;

typedef enum { PACK, WINOGRAD, DIRECT, TRANSPOSED, POOL, UPSAMPLE, UNPACK } kind;

typedef struct {
    int64_t kind;
    geometry from, to;
    int64_t channels;           /* of the input */
    float *const *inputs;       /* row 0 of each of its channels */
    int64_t outputs;            /* channels of the output */
    float *output;              /* row 0 of its first channel */
    const float *mask;          /* [phase][pitch] of the output: 1 in images, 0 beside them */
    const float *weights, *biases;
    int64_t has_relu;
    int64_t sum_count;          /* output channels that are summed up at once */
    int64_t tap_counts[4];      /* of DIRECT the first, of TRANSPOSED one a parity */
    const int64_t *taps;        /* (row, column) offsets of all of them */
    int64_t port;               /* of PACK and UNPACK: which array of the caller */
} operation;

/* The tools of one thread. */
typedef struct {
    float *tiles;       /* [POINTS][channels + 1][LANES]; of UPSAMPLE a row between LANES more */
    float *sums;        /* [POINTS][MOST_SUMS][LANES] */
    const float **taps; /* twice as many as an output is summed from */
} scratch;

int64_t lane_count(void) { return LANES; }
int64_t most_sums(void) { return MOST_SUMS; }

static inline int64_t smaller(int64_t left, int64_t right) { return left < right ? left : right; }
static inline int64_t quotient(int64_t x, int64_t y) { return x >= 0 ? x / y : -((y - 1 - x) / y); }
static inline int64_t row_size(const geometry *shape) { return PHASES * shape->pitch; }
static inline vec *at(const float *place) { return (vec *)place; }

static inline vec activated(vec sum, int64_t has_relu) {
    return has_relu ? (vec)((bits)sum & (sum > 0)) : sum;
}

/* sums[j] = sum over k of values[k] * weights[k][j]: the one place where time is spent. */
#define DEFINE_SUM(N)                                                                             \
    static void sum_##N(const float *values, const float *weights, int64_t count, float *sums) {   \
        vec total[N] = {0};                                                                        \
        for (int64_t k = 0; k < count; k++) {                                                      \
            vec value = *at(values + k * LANES);                                                   \
            _Pragma("GCC unroll 24") for (int j = 0; j < N; j++) total[j] += value * weights[k * N + j]; \
        }                                                                                          \
        _Pragma("GCC unroll 24") for (int j = 0; j < N; j++) *at(sums + j * LANES) = total[j];      \
    }                                                                                              \
    static void gather_##N(const float *const *values, int64_t offset, const float *weights,       \
                           int64_t count, float *sums) {                                           \
        vec total[N] = {0};                                                                        \
        for (int64_t k = 0; k < count; k++) {                                                      \
            vec value = *at(values[k] + offset);                                                   \
            _Pragma("GCC unroll 24") for (int j = 0; j < N; j++) total[j] += value * weights[k * N + j]; \
        }                                                                                          \
        _Pragma("GCC unroll 24") for (int j = 0; j < N; j++) *at(sums + j * LANES) = total[j];      \
    }

#if MOST_SUMS == 24
#define FOR_SUMS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)     \
    X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24)
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

static void clear_row(const operation *op, float *row) {
    memset(row, 0, sizeof(float) * row_size(&op->to));
}

/* The rows above and below each channel's, and what is read beside the first and last tile. */
static void clear_edges(const operation *op) {
    const geometry *shape = &op->to;
    float *first = op->output - shape->margin * row_size(shape);
    memset(first - LANES, 0, sizeof(float) * (LANES + shape->margin * row_size(shape)));
    for (int64_t channel = 0; channel < op->outputs; channel++) {
        float *below = op->output + channel * shape->channel + shape->rows * row_size(shape);
        float *next = op->output + (channel + 1) * shape->channel;
        memset(below, 0, sizeof(float) * (next - below));
    }
    memset(op->output + op->outputs * shape->channel, 0, sizeof(float) * LANES);
}

/* Lanes from `filled` on, of a row of all channels. */
static void clear_row_ends(const operation *op, int64_t row, int64_t filled) {
    for (int64_t channel = 0; channel < op->outputs; channel++) {
        float *start = op->output + channel * op->to.channel + row * row_size(&op->to);
        for (int phase = 0; phase < PHASES; phase++)
            memset(start + phase * op->to.pitch + filled, 0,
                   sizeof(float) * (op->to.pitch - filled));
    }
}

static inline int64_t tiles_of(const geometry *shape) {
    return (shape->columns + PHASES - 1) / PHASES;
}

static inline int64_t lanes_of(const geometry *shape) {
    return (shape->images - 1) * shape->image_stride + tiles_of(shape);
}

/* Lanes between images and after them, of a row of all channels. */
static void clear_beside_images(const operation *op, int64_t row) {
    const geometry *shape = &op->to;
    clear_row_ends(op, row, lanes_of(shape));
    for (int64_t channel = 0; channel < op->outputs; channel++) {
        float *start = op->output + channel * shape->channel + row * row_size(shape);
        for (int phase = 0; phase < PHASES; phase++)
            for (int64_t image = 1; image < shape->images; image++)
                start[phase * shape->pitch + image * shape->image_stride - 1] = 0;
    }
}

/* Vectors that the lanes of a row fill. */
static inline int64_t blocks_of(const geometry *shape) {
    return (lanes_of(shape) + LANES - 1) / LANES;
}

/* Writes one output channel of LANES tiles, at `place` from the channel's row 0. */
static inline void write_tiles(const operation *op, const float *sums, int64_t step, int64_t channel,
                               int64_t place, int64_t rows, const float *mask) {
    const int64_t pitch = op->to.pitch;
    vec made[4][4];
    transform_sums(sums, step, op->biases[channel], made);
    float *corner = op->output + channel * op->to.channel + place;
    for (int64_t y = 0; y < rows; y++)
#pragma GCC unroll 4
        for (int phase = 0; phase < PHASES; phase++)
            *at(corner + y * row_size(&op->to) + phase * pitch) =
                activated(made[y][phase], op->has_relu) * *at(mask + phase * pitch);
}

static void winograd_row(const operation *op, int64_t tile_row, const scratch *tools) {
    const int64_t row_floats = row_size(&op->to), blocks = blocks_of(&op->to);
    const int64_t rows = smaller(4, op->to.rows - 4 * tile_row);
    const int64_t step = (op->channels + 1) * LANES; /* + 1: not all points in one set of the cache */
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t lane = block * LANES, place = 4 * tile_row * row_floats + lane;
        for (int64_t channel = 0; channel < op->channels; channel++)
            transform_tiles(op->inputs[channel] + place - row_floats, op->from.pitch,
                            tools->tiles + channel * LANES, step);
        const float *weights = op->weights;
        for (int64_t first = 0; first < op->outputs; first += op->sum_count) {
            const int64_t count = smaller(op->sum_count, op->outputs - first);
            for (int64_t point = 0; point < POINTS; point++) {
                sum_functions[count](tools->tiles + point * step, weights, op->channels,
                                     tools->sums + point * count * LANES);
                weights += op->channels * count;
            }
            for (int64_t j = 0; j < count; j++)
                write_tiles(op, tools->sums + j * LANES, count * LANES, first + j, place, rows,
                            op->mask + lane);
        }
    }
    for (int64_t y = 0; y < rows; y++) clear_row_ends(op, 4 * tile_row + y, blocks * LANES);
}

/* Points the taps at what an output of a row and phase is summed from. */
static void point_taps(const operation *op, const int64_t *offsets, int64_t tap_count, int64_t row,
                       int64_t phase, const float **taps) {
    for (int64_t tap = 0; tap < tap_count; tap++) {
        int64_t y = row + offsets[2 * tap], x = phase + offsets[2 * tap + 1];
        int64_t tile = quotient(x, PHASES);
        int64_t place = y * row_size(&op->from) + (x - PHASES * tile) * op->from.pitch + tile;
        for (int64_t channel = 0; channel < op->channels; channel++)
            *taps++ = op->inputs[channel] + place;
    }
}

static void direct_row(const operation *op, int64_t row, const scratch *tools) {
    const int64_t count = op->tap_counts[0] * op->channels, blocks = blocks_of(&op->to);
    for (int64_t phase = 0; phase < PHASES; phase++) {
        point_taps(op, op->taps, op->tap_counts[0], row, phase, tools->taps);
        for (int64_t block = 0; block < blocks; block++) {
            int64_t lane = block * LANES;
            const float *weights = op->weights;
            for (int64_t first = 0; first < op->outputs; first += op->sum_count) {
                int64_t sums = smaller(op->sum_count, op->outputs - first);
                gather_functions[sums](tools->taps, lane, weights, count, tools->sums);
                weights += count * sums;
                int64_t place = row * row_size(&op->to) + phase * op->to.pitch + lane;
                for (int64_t j = 0; j < sums; j++)
                    *at(op->output + (first + j) * op->to.channel + place) =
                        activated(*at(tools->sums + j * LANES) + op->biases[first + j],
                                  op->has_relu) *
                        *at(op->mask + phase * op->to.pitch + lane);
            }
        }
    }
    clear_row_ends(op, row, blocks * LANES);
}

#if __has_builtin(__builtin_shufflevector)
#define SHUFFLE(left, right, ...) __builtin_shufflevector(left, right, __VA_ARGS__)
#else
#define SHUFFLE(left, right, ...) __builtin_shuffle(left, right, (bits){__VA_ARGS__})
#endif

/* Gives left[0] right[0] left[1] right[1] ... */
static inline void interleave(vec left, vec right, vec *low, vec *high) {
#if LANES == 16
    *low = SHUFFLE(left, right, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    *high = SHUFFLE(left, right, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif LANES == 8
    *low = SHUFFLE(left, right, 0, 8, 1, 9, 2, 10, 3, 11);
    *high = SHUFFLE(left, right, 4, 12, 5, 13, 6, 14, 7, 15);
#else
    *low = SHUFFLE(left, right, 0, 4, 1, 5);
    *high = SHUFFLE(left, right, 2, 6, 3, 7);
#endif
}

/* Writes tiles of one image; what lies beyond the image is the next one's, and written again. */
static inline void store_upscaled(const operation *op, vec left, vec right, int64_t lane,
                                  int64_t phase, float *row) {
    vec halves[2];
    interleave(left, right, &halves[0], &halves[1]);
    for (int half = 0; half < 2; half++) {
        int64_t place = lane + half * LANES;
        if (place >= op->to.pitch) return;
        float *end = row + phase * op->to.pitch;
        vec made = halves[half] * *at(op->mask + phase * op->to.pitch + place);
        if (place + LANES <= op->to.pitch) *at(end + place) = made;
        else memcpy(end + place, &made, sizeof(float) * (op->to.pitch - place));
    }
}

/* Rows 2 row and 2 row + 1 of the output: each parity of pixels has taps of its own. */
static void transposed_row(const operation *op, int64_t row, const scratch *tools) {
    const int64_t tiles = tiles_of(&op->from);
    const float *weights = op->weights;
    const int64_t *offsets = op->taps;
    for (int64_t parity = 0; parity < 4; parity++) {
        const int64_t taps = op->tap_counts[parity], count = taps * op->channels;
        float *out_row = op->output + (2 * row + parity / 2) * row_size(&op->to);
        const float **far_taps = tools->taps + count;
        for (int64_t phase = 0; phase < 2; phase++) {
            point_taps(op, offsets, taps, row, phase, tools->taps);
            point_taps(op, offsets, taps, row, phase + 2, far_taps);
            for (int64_t image = 0; image < op->from.images; image++)
                for (int64_t tile = 0; tile < tiles; tile += LANES) {
                    int64_t lane = image * op->from.image_stride + tile;
                    int64_t out_lane = image * op->to.image_stride + 2 * tile;
                    const float *block = weights;
                    for (int64_t first = 0; first < op->outputs; first += op->sum_count) {
                        int64_t sums = smaller(op->sum_count, op->outputs - first);
                        float *far_sums = tools->sums + sums * LANES;
                        gather_functions[sums](tools->taps, lane, block, count, tools->sums);
                        gather_functions[sums](far_taps, lane, block, count, far_sums);
                        block += count * sums;
                        for (int64_t j = 0; j < sums; j++) {
                            vec near = *at(tools->sums + j * LANES) + op->biases[first + j];
                            vec far = *at(far_sums + j * LANES) + op->biases[first + j];
                            store_upscaled(op, activated(near, op->has_relu),
                                           activated(far, op->has_relu), out_lane,
                                           2 * phase + parity % 2,
                                           out_row + (first + j) * op->to.channel);
                        }
                    }
                }
        }
        weights += count * op->outputs;
        offsets += 2 * taps;
    }
    for (int64_t y = 0; y < 2; y++) clear_beside_images(op, 2 * row + y);
}

/* Twice as many pixels, bilinearly between their centres; edges are continued. */
static void upsample_row(const operation *op, int64_t row, const scratch *tools) {
    const geometry *from = &op->from;
    const int64_t pitch = from->pitch, tiles = tiles_of(from), y = row / 2;
    const int64_t other = row % 2 ? smaller(y + 1, from->rows - 1) : (y > 0 ? y - 1 : 0);
    float *mixed = tools->tiles + LANES;
    for (int64_t channel = 0; channel < op->channels; channel++) {
        const float *near = op->inputs[channel] + y * row_size(from);
        const float *far = op->inputs[channel] + other * row_size(from);
        float *out = op->output + channel * op->to.channel + row * row_size(&op->to);
        for (int64_t lane = 0; lane < row_size(from); lane++)
            mixed[lane] = 0.75f * near[lane] + 0.25f * far[lane];
        for (int64_t image = 0; image < from->images; image++) {
            float *start = mixed + image * from->image_stride;
            const int64_t last = from->columns - 1, beyond = from->columns;
            start[3 * pitch - 1] = start[0];
            start[beyond % 4 * pitch + beyond / 4] = start[last % 4 * pitch + last / 4];
            for (int64_t tile = 0; tile < tiles; tile += LANES)
                for (int phase = 0; phase < 2; phase++)
                    for (int parity = 0; parity < 2; parity++) {
                        int beside = phase + 2 * parity - 1; /* -1 to 2 */
                        const float *middle = start + phase * pitch + tile;
                        const float *side = beside < 0 ? start + 3 * pitch + tile - 1
                                                       : start + beside * pitch + tile;
                        const float *far_side = phase + 2 * parity + 1 == 4
                                                    ? start + tile + 1
                                                    : start + (beside + 2) * pitch + tile;
                        vec left = 0.75f * *at(middle) + 0.25f * *at(side);
                        vec right = 0.75f * *at(middle + 2 * pitch) + 0.25f * *at(far_side);
                        store_upscaled(op, left, right, image * op->to.image_stride + 2 * tile,
                                       2 * phase + parity, out);
                    }
        }
    }
    clear_beside_images(op, row);
}

static inline float larger(float left, float right) { return left > right ? left : right; }

/* Maxima of 2 x 2 pixels. */
static void pool_row(const operation *op, int64_t row) {
    const int64_t pitch = op->from.pitch, tiles = tiles_of(&op->to);
    for (int64_t channel = 0; channel < op->channels; channel++) {
        const float *upper = op->inputs[channel] + 2 * row * row_size(&op->from);
        const float *lower = upper + row_size(&op->from);
        float *out = op->output + channel * op->to.channel + row * row_size(&op->to);
        for (int64_t image = 0; image < op->from.images; image++)
            for (int half = 0; half < 2; half++) {
                const float *above = upper + 2 * half * pitch + image * op->from.image_stride;
                const float *below = lower + 2 * half * pitch + image * op->from.image_stride;
                float *left = out + half * op->to.pitch + image * op->to.image_stride;
                float *right = left + 2 * op->to.pitch;
                for (int64_t tile = 0; tile < tiles; tile++) {
                    float near = larger(larger(above[2 * tile], above[2 * tile + pitch]),
                                        larger(below[2 * tile], below[2 * tile + pitch]));
                    float far = larger(larger(above[2 * tile + 1], above[2 * tile + 1 + pitch]),
                                       larger(below[2 * tile + 1], below[2 * tile + 1 + pitch]));
                    left[tile] = near;
                    right[tile] = far;
                }
            }
    }
    clear_beside_images(op, row);
}

static void pack_row(const operation *op, int64_t row, const float *array) {
    const int64_t columns = op->to.columns, tiles = columns / 4;
    const int64_t size = op->to.rows * columns;
    for (int64_t channel = 0; channel < op->outputs; channel++) {
        float *start = op->output + channel * op->to.channel + row * row_size(&op->to);
        clear_row(op, start);
        for (int64_t image = 0; image < op->to.images; image++) {
            const float *pixels = array + (image * op->outputs + channel) * size + row * columns;
            float *out = start + image * op->to.image_stride;
            for (int64_t tile = 0; tile < tiles; tile++)
                for (int phase = 0; phase < PHASES; phase++)
                    out[phase * op->to.pitch + tile] = pixels[4 * tile + phase];
            for (int64_t x = 4 * tiles; x < columns; x++)
                out[(x % 4) * op->to.pitch + tiles] = pixels[x];
        }
    }
}

static void unpack_row(const operation *op, int64_t row, float *array) {
    const int64_t columns = op->from.columns, tiles = columns / 4;
    const int64_t size = op->from.rows * columns;
    for (int64_t channel = 0; channel < op->channels; channel++)
        for (int64_t image = 0; image < op->from.images; image++) {
            const float *lanes = op->inputs[channel] + row * row_size(&op->from) +
                                 image * op->from.image_stride;
            float *pixels = array + (image * op->channels + channel) * size + row * columns;
            for (int64_t tile = 0; tile < tiles; tile++)
                for (int phase = 0; phase < PHASES; phase++)
                    pixels[4 * tile + phase] = lanes[phase * op->from.pitch + tile];
            for (int64_t x = 4 * tiles; x < columns; x++)
                pixels[x] = lanes[(x % 4) * op->from.pitch + tiles];
        }
}

static int64_t unit_count(const operation *op) {
    switch (op->kind) {
    case WINOGRAD: return (op->to.rows + 3) / 4;
    case TRANSPOSED: return op->from.rows;
    case UNPACK: return op->from.rows;
    default: return op->to.rows;
    }
}

static void run_unit(const operation *op, int64_t unit, const scratch *tools, float *const *arrays) {
    switch (op->kind) {
    case PACK: pack_row(op, unit, arrays[op->port]); break;
    case WINOGRAD: winograd_row(op, unit, tools); break;
    case DIRECT: direct_row(op, unit, tools); break;
    case TRANSPOSED: transposed_row(op, unit, tools); break;
    case POOL: pool_row(op, unit); break;
    case UPSAMPLE: upsample_row(op, unit, tools); break;
    case UNPACK: unpack_row(op, unit, arrays[op->port]); break;
    }
}

/* What the threads of a run share; zeros at its beginning. */
typedef struct {
    atomic_int_fast64_t waiting, turn, is_stopped, ends;
} meeting;

/* Returns when all threads are here, whether the run ends: to all of them the same. */
static int_fast64_t meet(meeting *place, int64_t threads) {
    int_fast64_t turn = atomic_load(&place->turn);
    if (atomic_fetch_add(&place->waiting, 1) + 1 == threads) {
        atomic_store(&place->waiting, 0);
        atomic_store(&place->ends, atomic_load(&place->is_stopped));
        atomic_fetch_add(&place->turn, 1);
    }
    while (atomic_load(&place->turn) == turn) sched_yield();
    return atomic_load(&place->ends);
}

/* Stops a run from another thread. */
void stop(meeting *place) { atomic_store(&place->is_stopped, 1); }

/* Runs a thread's part of a network; returns 1 if it was stopped. */
int64_t run(const operation *operations, int64_t count, float *const *arrays, const scratch *tools,
            meeting *place, int64_t thread, int64_t threads) {
    for (int64_t index = 0; index < count; index++) {
        const operation *op = operations + index;
        int64_t units = unit_count(op);
        if (thread == 0 && op->kind != UNPACK) clear_edges(op);
        for (int64_t unit = units * thread / threads; unit < units * (thread + 1) / threads; unit++)
            run_unit(op, unit, tools, arrays);
        if (meet(place, threads)) return 1;
    }
    return 0;
}
