/* How tensors lie in memory, so that what the tiles of a vector need lies side by side:
   [channel][row][phase][tile], where pixel x is phase x % 4 of tile x / 4.

   Images of a batch lie side by side in their rows, a tile of zeros between them; a row ends with
   at least one zero, and rows of zeros lie above and below each channel. Every operation writes
   all of its output, zeros included. */

#ifndef LAYOUT_H
#define LAYOUT_H

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

typedef float vec __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t bits __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

typedef struct {
    int64_t rows;         /* of an image */
    int64_t columns;      /* of an image */
    int64_t images;       /* side by side */
    int64_t image_stride; /* tiles from an image to the next */
    int64_t pitch;        /* floats of a phase of a row; a multiple of LANES */
    int64_t channel;      /* floats from a channel to the next */
    int64_t margin;       /* rows of zeros above the first channel and below each */
} geometry;

/* What an operation writes. */
typedef struct {
    geometry shape;
    int64_t channels;
    float *start;      /* row 0 of the first channel; NULL if it is not written */
    const float *mask; /* [phase][pitch]: 1 in images, 0 beside them */
} tensor;

typedef enum { PACK, WINOGRAD, DIRECT, TRANSPOSED, POOL, UPSAMPLE, UNPACK } kind;

typedef struct {
    int64_t kind;
    geometry from;
    int64_t channels;      /* of the input */
    float *const *inputs;  /* row 0 of each of its channels */
    tensor to;
    tensor pooled;         /* of WINOGRAD: maxima of 2 x 2 pixels of what it writes or would write */
    const float *weights, *biases;
    int64_t has_relu;
    int64_t sum_count;     /* output channels that are summed up at once */
    int64_t group;         /* of WINOGRAD: blocks of tiles that weights are loaded for */
    int64_t tap_counts[4]; /* of DIRECT the first, of TRANSPOSED one a parity */
    const int64_t *taps;   /* (row, column) offsets of all of them */
    int64_t port;          /* of PACK and UNPACK: which array of the caller */
} operation;

/* The tools of one thread. */
typedef struct {
    float *tiles;       /* [group][36][channels + 1][LANES]; of UPSAMPLE a row between LANES more */
    float *sums;        /* [group][36][MOST_SUMS][LANES] */
    const float **taps; /* twice as many as an output is summed from */
} scratch;

static inline vec *at(const float *place) { return (vec *)place; }
static inline int64_t smaller(int64_t left, int64_t right) { return left < right ? left : right; }
static inline int64_t quotient(int64_t x, int64_t y) { return x >= 0 ? x / y : -((y - 1 - x) / y); }

static inline int64_t row_size(const geometry *shape) { return PHASES * shape->pitch; }

static inline int64_t tiles_of(const geometry *shape) {
    return (shape->columns + PHASES - 1) / PHASES;
}

static inline int64_t lanes_of(const geometry *shape) {
    return (shape->images - 1) * shape->image_stride + tiles_of(shape);
}

/* Vectors that the lanes of a row fill. */
static inline int64_t blocks_of(const geometry *shape) {
    return (lanes_of(shape) + LANES - 1) / LANES;
}

static inline float *row_of(const tensor *to, int64_t channel, int64_t row) {
    return to->start + channel * to->shape.channel + row * row_size(&to->shape);
}

static inline vec activated(vec sum, int64_t has_relu) {
    return has_relu ? (vec)((bits)sum & (sum > 0)) : sum;
}

/* The rows above and below each channel's, and what is read beside the first and last tile. */
static inline void clear_edges(const tensor *to) {
    const int64_t row = row_size(&to->shape), margin = to->shape.margin * row;
    memset(to->start - margin - LANES, 0, sizeof(float) * (LANES + margin));
    for (int64_t channel = 0; channel < to->channels; channel++) {
        float *below = row_of(to, channel, to->shape.rows);
        memset(below, 0, sizeof(float) * (row_of(to, channel + 1, 0) - below));
    }
    memset(row_of(to, to->channels, 0), 0, sizeof(float) * LANES);
}

/* Lanes from `filled` on, of a row of all channels. */
static inline void clear_row_ends(const tensor *to, int64_t row, int64_t filled) {
    for (int64_t channel = 0; channel < to->channels; channel++)
        for (int phase = 0; phase < PHASES; phase++)
            memset(row_of(to, channel, row) + phase * to->shape.pitch + filled, 0,
                   sizeof(float) * (to->shape.pitch - filled));
}

/* Lanes between images and after them, of a row of all channels. */
static inline void clear_beside_images(const tensor *to, int64_t row) {
    clear_row_ends(to, row, lanes_of(&to->shape));
    for (int64_t channel = 0; channel < to->channels; channel++)
        for (int phase = 0; phase < PHASES; phase++)
            for (int64_t image = 1; image < to->shape.images; image++)
                row_of(to, channel, row)[phase * to->shape.pitch +
                                         image * to->shape.image_stride - 1] = 0;
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

/* Gives left[0] left[2] ... right[0] right[2] ..., and the others. */
static inline void separate(vec left, vec right, vec *even, vec *odd) {
#if LANES == 16
    *even = SHUFFLE(left, right, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *odd = SHUFFLE(left, right, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
#elif LANES == 8
    *even = SHUFFLE(left, right, 0, 2, 4, 6, 8, 10, 12, 14);
    *odd = SHUFFLE(left, right, 1, 3, 5, 7, 9, 11, 13, 15);
#else
    *even = SHUFFLE(left, right, 0, 2, 4, 6);
    *odd = SHUFFLE(left, right, 1, 3, 5, 7);
#endif
}

#endif
