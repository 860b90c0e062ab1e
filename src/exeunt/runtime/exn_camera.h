/* Rows of a camera on their way into a network: converted to its colours and reduced to its size,
 * without a frame buffer.
 *
 *     static uint16_t sums[EXN_CAMERA_SUMS(NET_WIDTH)];
 *     exn_camera camera;
 *     int status = net_init(&state, arena.bytes, sizeof arena.bytes);
 *     if (status == EXN_ROW) {
 *         status = exn_camera_init(&camera, &state, EXN_RGB565_BE, 320, 240, EXN_BOX, sums, sizeof sums);
 *     }
 *     while (status == EXN_ROW) {
 *         status = exn_camera_push(&camera, &state, next_row_of_the_camera());
 *     }
 *
 * Of the frame the largest centred part is taken that has the shape of the network's image. All of
 * it is arithmetic on integers, the same that `exeunt eval --sensor` has in Python.
 */
#ifndef EXN_CAMERA_H
#define EXN_CAMERA_H

#include "exn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a row of the camera holds, pixel after pixel. */
typedef enum exn_format {
    EXN_GREY,      /* a byte */
    EXN_RGB888,    /* three bytes: R, G, B */
    EXN_RGB565_BE, /* two bytes, RRRRRGGG GGGBBBBB, as most cameras send them */
    EXN_RGB565_LE, /* the same exchanged, as little-endian processors keep 16-bit words */
    EXN_YUYV,      /* four bytes for two pixels: Y U Y V (BT.601, 0 to 255, as in JPEG) */
    EXN_UYVY,      /* U Y V Y */
    EXN_BAYER_RGGB, /* a byte, whose colour depends on its place: R G in even rows, G B in odd ones */
    EXN_BAYER_BGGR, /* four pixels make one of the image, so that a frame has half its size */
    EXN_BAYER_GRBG,
    EXN_BAYER_GBRG
} exn_format;

typedef enum exn_scaling {
    EXN_NEAREST, /* one pixel of those that fall together, the middle one */
    EXN_BOX      /* their mean */
} exn_scaling;

typedef struct exn_camera {
    uint16_t *sums;                 /* of the row that is being made */
    uint16_t left, top;             /* of the part that is taken, in pixels; for Bayer in fours */
    uint16_t crop_width, crop_height;
    uint16_t width, height;         /* of the network's image */
    uint16_t row;                   /* the next one of the frame */
    uint16_t made;                  /* rows of the image */
    uint8_t format, scaling;
    uint8_t channels;               /* of the network's image */
} exn_camera;

/* How many numbers `sums` has to have, for an image of some width. */
#define EXN_CAMERA_SUMS(width) (3 * (width))

/* Begins with a new frame of `width` x `height` pixels, for the image that `state`, just
 * initialised, waits for. `sums` has `sums_bytes`. Returns EXN_ROW, or EXN_ERROR_CAMERA where the
 * frame is smaller than the image (for Bayer, half of it is), more than 16 times as large, or of an
 * odd size where a format has none. */
int exn_camera_init(exn_camera *camera, const exn_state *state, exn_format format, unsigned width,
                    unsigned height, exn_scaling scaling, uint16_t *sums, size_t sums_bytes);

/* Takes the next row of the frame, top to bottom; pushes a row of the image when it is complete.
 * Returns what `exn_push_row` does. */
int exn_camera_push(exn_camera *camera, exn_state *state, const uint8_t *bytes);

/* Takes the next row; 1 if it completes a row of the image, which is written to `row`, else 0. */
int exn_camera_row(exn_camera *camera, const uint8_t *bytes, uint8_t *row);

#ifdef __cplusplus
}
#endif

#endif
