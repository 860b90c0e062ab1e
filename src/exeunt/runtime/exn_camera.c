#include "exn_camera.h"

#include <string.h>

/* Adds pixel `x` of a row to the sums of its colours; `colours` says which they are, for Bayer. */
typedef void add_pixel(const uint8_t *bytes, unsigned x, const uint8_t *colours, uint16_t *sums);

static void add(uint16_t *sum, unsigned value)
{
    *sum = (uint16_t)(*sum + value);
}

static void add_grey(const uint8_t *bytes, unsigned x, const uint8_t *colours, uint16_t *sums)
{
    (void)colours;
    add(sums, bytes[x]);
}

static void add_rgb888(const uint8_t *bytes, unsigned x, const uint8_t *colours, uint16_t *sums)
{
    (void)colours;
    add(sums, bytes[3 * x]);
    add(sums + 1, bytes[3 * x + 1]);
    add(sums + 2, bytes[3 * x + 2]);
}

/* The highest bits fill the lowest, so that all ones are 255. */
static void add_565(unsigned high, unsigned low, uint16_t *sums)
{
    unsigned red = high >> 3, green = (high & 7u) << 3 | low >> 5, blue = low & 31u;
    add(sums, red << 3 | red >> 2);
    add(sums + 1, green << 2 | green >> 4);
    add(sums + 2, blue << 3 | blue >> 2);
}

static void add_565_be(const uint8_t *bytes, unsigned x, const uint8_t *colours, uint16_t *sums)
{
    (void)colours;
    add_565(bytes[2 * x], bytes[2 * x + 1], sums);
}

static void add_565_le(const uint8_t *bytes, unsigned x, const uint8_t *colours, uint16_t *sums)
{
    (void)colours;
    add_565(bytes[2 * x + 1], bytes[2 * x], sums);
}

static unsigned within_byte(int32_t value)
{
    return value < 0 ? 0u : value > 255 ? 255u : (unsigned)value;
}

/* BT.601 of the full range, in 65536ths, rounded; 256 is added so that nothing shifted is below 0. */
static void add_yuv(int32_t y, int32_t u, int32_t v, uint16_t *sums)
{
    const int32_t half = 32768 + (256 << 16);
    int32_t red = (91881 * (v - 128) + half) >> 16;
    int32_t green = (-22554 * (u - 128) - 46802 * (v - 128) + half) >> 16;
    int32_t blue = (116130 * (u - 128) + half) >> 16;
    add(sums, within_byte(y + red - 256));
    add(sums + 1, within_byte(y + green - 256));
    add(sums + 2, within_byte(y + blue - 256));
}

static void add_yuyv(const uint8_t *bytes, unsigned x, const uint8_t *colours, uint16_t *sums)
{
    const uint8_t *pair = bytes + 4 * (x / 2);
    (void)colours;
    add_yuv(bytes[2 * x], pair[1], pair[3], sums);
}

static void add_uyvy(const uint8_t *bytes, unsigned x, const uint8_t *colours, uint16_t *sums)
{
    const uint8_t *pair = bytes + 4 * (x / 2);
    (void)colours;
    add_yuv(bytes[2 * x + 1], pair[0], pair[2], sums);
}

static void add_luma_first(const uint8_t *bytes, unsigned x, const uint8_t *colours, uint16_t *sums)
{
    (void)colours;
    add(sums, bytes[2 * x]);
}

static void add_luma_last(const uint8_t *bytes, unsigned x, const uint8_t *colours, uint16_t *sums)
{
    (void)colours;
    add(sums, bytes[2 * x + 1]);
}

/* Two of the four pixels that lie at a place: those of an even row, or those of an odd one. */
static void add_bayer(const uint8_t *bytes, unsigned x, const uint8_t *colours, uint16_t *sums)
{
    add(sums + colours[0], bytes[2 * x]);
    add(sums + colours[1], bytes[2 * x + 1]);
}

enum { RED, GREEN, BLUE };

typedef struct format {
    add_pixel *add;
    uint8_t colours;       /* sums of a pixel */
    uint8_t bayer;         /* whether four pixels make one */
    uint8_t even_width;    /* whether two pixels share something */
    uint8_t places[2][2];  /* colours of an even row, and of an odd one */
} format;

static const format formats[] = {
    {add_grey, 1, 0, 0, {{0, 0}, {0, 0}}},
    {add_rgb888, 3, 0, 0, {{0, 0}, {0, 0}}},
    {add_565_be, 3, 0, 0, {{0, 0}, {0, 0}}},
    {add_565_le, 3, 0, 0, {{0, 0}, {0, 0}}},
    {add_yuyv, 3, 0, 1, {{0, 0}, {0, 0}}},
    {add_uyvy, 3, 0, 1, {{0, 0}, {0, 0}}},
    {add_bayer, 3, 1, 1, {{RED, GREEN}, {GREEN, BLUE}}},
    {add_bayer, 3, 1, 1, {{BLUE, GREEN}, {GREEN, RED}}},
    {add_bayer, 3, 1, 1, {{GREEN, RED}, {BLUE, GREEN}}},
    {add_bayer, 3, 1, 1, {{GREEN, BLUE}, {RED, GREEN}}},
    /* what a network of one channel reads of YUV: luma alone */
    {add_luma_first, 1, 0, 1, {{0, 0}, {0, 0}}},
    {add_luma_last, 1, 0, 1, {{0, 0}, {0, 0}}},
};

enum { FORMATS = EXN_BAYER_GBRG + 1, LUMA = FORMATS - EXN_YUYV, MOST = 65535 / 255 };

/* Where part `k` of `parts` begins, of `size` pixels. */
static unsigned begin_of(unsigned k, unsigned size, unsigned parts)
{
    return (unsigned)((uint32_t)k * size / parts);
}

/* The middle of part `k`. */
static unsigned middle_of(unsigned k, unsigned size, unsigned parts)
{
    return (unsigned)((2 * (uint32_t)k + 1) * size / (2 * (uint32_t)parts));
}

int exn_camera_init(exn_camera *camera, const exn_state *state, exn_format chosen, unsigned width,
                    unsigned height, exn_scaling scaling, uint16_t *sums, size_t sums_bytes)
{
    const exn_ring *image;
    const format *has;
    uint32_t across, down;
    if (camera == NULL || state == NULL || sums == NULL) {
        return EXN_ERROR_NULL;
    }
    memset(camera, 0, sizeof *camera);
    if (state->model == NULL) {
        return EXN_ERROR_STATE;
    }
    image = &state->model->rings[state->model->image];
    if ((unsigned)chosen >= FORMATS || width > UINT16_MAX || height > UINT16_MAX ||
        sums_bytes < EXN_CAMERA_SUMS(image->width) * sizeof *sums) {
        return EXN_ERROR_CAMERA;
    }
    has = &formats[chosen];
    if ((has->even_width && width % 2 != 0) || (has->bayer && height % 2 != 0)) {
        return EXN_ERROR_CAMERA;
    }
    width >>= has->bayer;
    height >>= has->bayer;
    camera->crop_width = (uint16_t)width;
    camera->crop_height = (uint16_t)height;
    if ((uint32_t)width * image->height > (uint32_t)height * image->width) {
        camera->crop_width = (uint16_t)((uint32_t)height * image->width / image->height);
    } else {
        camera->crop_height = (uint16_t)((uint32_t)width * image->height / image->width);
    }
    across = ((uint32_t)camera->crop_width + image->width - 1) / image->width;
    down = ((uint32_t)camera->crop_height + image->height - 1) / image->height;
    if (camera->crop_width < image->width || camera->crop_height < image->height ||
        across > MOST || down > MOST || (across * down) << has->bayer > MOST) {
        return EXN_ERROR_CAMERA;
    }
    camera->sums = sums;
    camera->left = (uint16_t)((width - camera->crop_width) / 2);
    camera->top = (uint16_t)((height - camera->crop_height) / 2);
    camera->width = image->width;
    camera->height = image->height;
    camera->channels = (uint8_t)image->channels;
    camera->format = (uint8_t)chosen;
    if (image->channels == 1 && (chosen == EXN_YUYV || chosen == EXN_UYVY)) {
        camera->format = (uint8_t)(chosen + LUMA);
    }
    camera->scaling = (uint8_t)scaling;
    memset(sums, 0, EXN_CAMERA_SUMS(image->width) * sizeof *sums);
    return EXN_ROW;
}

/* Adds what a row of the frame has for the row of the image that is being made. */
static void take_in(exn_camera *camera, const format *has, const uint8_t *bytes)
{
    const uint8_t *colours = has->places[camera->row & 1];
    uint16_t *sums = camera->sums;
    unsigned k;
    for (k = 0; k < camera->width; k++, sums += has->colours) {
        unsigned x, end;
        if (camera->scaling == EXN_NEAREST) {
            x = middle_of(k, camera->crop_width, camera->width);
            end = x + 1;
        } else {
            x = begin_of(k, camera->crop_width, camera->width);
            end = begin_of(k + 1, camera->crop_width, camera->width);
        }
        for (; x < end; x++) {
            has->add(bytes, camera->left + x, colours, sums);
        }
    }
}

/* The mean of so many, rounded. */
static uint8_t mean(unsigned sum, unsigned count)
{
    return (uint8_t)((sum + count / 2) / count);
}

/* Writes the row of the image whose sums are complete, and begins with the next. */
static void put_out(exn_camera *camera, const format *has, unsigned rows, uint8_t *row)
{
    uint16_t *sums = camera->sums;
    unsigned k, c;
    for (k = 0; k < camera->width; k++, sums += has->colours, row += camera->channels) {
        unsigned count = rows;
        uint8_t rgb[3];
        if (camera->scaling == EXN_BOX) {
            count *= begin_of(k + 1, camera->crop_width, camera->width) -
                     begin_of(k, camera->crop_width, camera->width);
        }
        for (c = 0; c < 3; c++) {
            unsigned from = has->colours == 3 ? c : 0;
            rgb[c] = mean(sums[from], has->bayer && from == GREEN ? 2 * count : count);
        }
        if (camera->channels == 3) {
            memcpy(row, rgb, 3);
        } else if (has->colours == 1) {
            row[0] = rgb[0];
        } else { /* luma of BT.601, in 65536ths */
            row[0] = (uint8_t)((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 32768u) >> 16);
        }
    }
    memset(camera->sums, 0, EXN_CAMERA_SUMS(camera->width) * sizeof *camera->sums);
    camera->made++;
}

int exn_camera_row(exn_camera *camera, const uint8_t *bytes, uint8_t *row)
{
    const format *has = &formats[camera->format];
    unsigned y = (unsigned)camera->row >> has->bayer; /* of the frame, as it counts here */
    unsigned first, end;
    if (camera->scaling == EXN_NEAREST) {
        first = middle_of(camera->made, camera->crop_height, camera->height);
        end = first + 1;
    } else {
        first = begin_of(camera->made, camera->crop_height, camera->height);
        end = begin_of(camera->made + 1u, camera->crop_height, camera->height);
    }
    first += camera->top;
    end += camera->top;
    if (camera->made < camera->height && y >= first && y < end) {
        take_in(camera, has, bytes);
        if (y + 1 == end && (!has->bayer || camera->row % 2 == 1)) {
            put_out(camera, has, end - first, row);
            camera->row++;
            return 1;
        }
    }
    camera->row++;
    return 0;
}

int exn_camera_push(exn_camera *camera, exn_state *state, const uint8_t *bytes)
{
    uint8_t *row;
    if (camera == NULL || state == NULL || bytes == NULL) {
        return EXN_ERROR_NULL;
    }
    if (camera->sums == NULL) {
        return EXN_ERROR_CAMERA;
    }
    row = exn_row_place(state);
    if (row == NULL) {
        return EXN_ERROR_ORDER;
    }
    return exn_camera_row(camera, bytes, row) ? exn_push_row(state, row) : EXN_ROW;
}
