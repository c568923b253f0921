/* Convolutional networks on the CPU, in float32: one operation after another, each cut into units
   that threads share out. A lane of a vector is a tile of 4 x 4 pixels, so that any number of
   channels fills the vectors. */

#include <sched.h>
#include <stdatomic.h>

#include "direct.h"
#include "layout.h"
#include "scaling.h"
#include "winograd.h"

int64_t lane_count(void) { return LANES; }
int64_t most_sums(void) { return MOST_SUMS; }

static void pack_row(const operation *op, int64_t row, const float *array) {
    const geometry *shape = &op->to.shape;
    const int64_t columns = shape->columns, tiles = columns / 4, size = shape->rows * columns;
    for (int64_t channel = 0; channel < op->to.channels; channel++) {
        float *start = row_of(&op->to, channel, row);
        memset(start, 0, sizeof(float) * row_size(shape));
        for (int64_t image = 0; image < shape->images; image++) {
            const float *pixels =
                array + (image * op->to.channels + channel) * size + row * columns;
            float *out = start + image * shape->image_stride;
            for (int64_t tile = 0; tile < tiles; tile++)
                for (int phase = 0; phase < PHASES; phase++)
                    out[phase * shape->pitch + tile] = pixels[4 * tile + phase];
            for (int64_t x = 4 * tiles; x < columns; x++)
                out[(x % 4) * shape->pitch + tiles] = pixels[x];
        }
    }
}

static void unpack_row(const operation *op, int64_t row, float *array) {
    const geometry *shape = &op->from;
    const int64_t columns = shape->columns, tiles = columns / 4, size = shape->rows * columns;
    for (int64_t channel = 0; channel < op->channels; channel++)
        for (int64_t image = 0; image < shape->images; image++) {
            const float *lanes =
                op->inputs[channel] + row * row_size(shape) + image * shape->image_stride;
            float *pixels = array + (image * op->channels + channel) * size + row * columns;
            for (int64_t tile = 0; tile < tiles; tile++)
                for (int phase = 0; phase < PHASES; phase++)
                    pixels[4 * tile + phase] = lanes[phase * shape->pitch + tile];
            for (int64_t x = 4 * tiles; x < columns; x++)
                pixels[x] = lanes[(x % 4) * shape->pitch + tiles];
        }
}

static int64_t unit_count(const operation *op) {
    switch (op->kind) {
    case WINOGRAD: return (op->from.rows + 3) / 4;
    case TRANSPOSED: return op->from.rows;
    case UNPACK: return op->from.rows;
    default: return op->to.shape.rows;
    }
}

static void run_units(const operation *op, int64_t unit, int64_t end, const scratch *tools,
                      float *const *arrays) {
    if (op->kind == WINOGRAD) {
        winograd_rows(op, unit, end, tools);
        return;
    }
    for (; unit < end; unit++) switch (op->kind) {
        case PACK: pack_row(op, unit, arrays[op->port]); break;
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
        const int64_t units = unit_count(op);
        if (thread == 0 && op->to.start) clear_edges(&op->to);
        if (thread == 0 && op->pooled.start) clear_edges(&op->pooled);
        run_units(op, units * thread / threads, units * (thread + 1) / threads, tools, arrays);
        if (meet(place, threads)) return 1;
    }
    return 0;
}
