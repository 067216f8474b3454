/* The movements of geometry.py, the colours of colour.py, and the conversions at both ends, for a CPU: the same whole
   numbers, an image at a time, so that what one step leaves is in the cache for the next.
   A pixel is one 32-bit word; rows[i] is image i's row in the parameter tables. */

#include <stdint.h>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)
/* The program picks a version when it starts: a library in a shared home runs on every machine. */
#define VECTORS __attribute__((target_clones("avx2", "default")))
#else
#define VECTORS
#endif

enum { WEIGHT_BITS = 22, FRACTION_BITS = 16 };

static void transpose(const uint32_t *restrict from, uint32_t *restrict to, int64_t rows, int64_t columns) {
    for (int64_t column = 0; column < columns; column++)
        for (int64_t row = 0; row < rows; row++) to[column * rows + row] = from[row * columns + column];
}

/* Weigh whole lines of `bytes` bytes: all of a line's bytes have the same support. */
VECTORS static void weigh(
    const uint8_t *restrict lines, uint8_t *restrict out, int32_t *restrict total, int64_t bytes, int64_t size,
    int64_t support, const int32_t *places, const int32_t *weights) {
    for (int64_t j = 0; j < size; j++) {
        for (int64_t b = 0; b < bytes; b++) total[b] = 1 << (WEIGHT_BITS - 1);
        for (int64_t at = 0; at < support; at++) {
            const uint8_t *line = lines + places[at * size + j] * bytes;
            int32_t weight = weights[at * size + j];
            if (weight)
                for (int64_t b = 0; b < bytes; b++) total[b] += line[b] * weight;
        }
        for (int64_t b = 0; b < bytes; b++) out[j * bytes + b] = (uint8_t)(total[b] >> WEIGHT_BITS);
    }
}

/* boxes [4, tables]; places, weights [longest + 1, support, size]; transposed [tables] or null;
   scratch: 2 x longer x longer + 4 x longer words, where longer is the larger of side and size. */
void resize(
    const uint32_t *images, uint32_t *out, uint32_t *scratch, const int64_t *rows, int64_t count, int64_t side,
    int64_t size, int64_t support, int64_t tables, const int32_t *boxes, const uint8_t *transposed,
    const int32_t *places, const int32_t *weights) {
    int64_t longer = side > size ? side : size, table = support * size;
    uint32_t *one = scratch, *other = one + longer * longer;
    int32_t *total = (int32_t *)(other + longer * longer);
    for (int64_t i = 0; i < count; i++, images += side * side, out += size * size) {
        const int32_t *box = boxes + rows[i];
        int64_t top = box[0], left = box[tables], height = box[2 * tables], width = box[3 * tables];
        int swapped = transposed && transposed[rows[i]];
        const uint32_t *columns = images;
        if (!swapped) {
            transpose(images, one, side, side);
            columns = one;
        }
        weigh((const uint8_t *)(columns + left * side), (uint8_t *)other, total, 4 * side, size, support,
              places + width * table, weights + width * table);
        transpose(other, one, size, side);
        weigh((const uint8_t *)(one + top * size), (uint8_t *)(swapped ? other : out), total, 4 * size, size, support,
              places + height * table, weights + height * table);
        if (swapped) transpose(other, out, size, size);
    }
}

/* matrices [6, tables] */
VECTORS void affine(
    const uint32_t *restrict images, uint32_t *restrict out, const int64_t *rows, int64_t count, int64_t side,
    int64_t tables, const int32_t *matrices) {
    int32_t edge = (int32_t)side;
    for (int64_t i = 0; i < count; i++, images += side * side) {
        const int32_t *m = matrices + rows[i];
        for (int32_t y = 0; y < edge; y++, out += side) {
            int32_t x_from = m[2 * tables] + m[tables] * y, y_from = m[5 * tables] + m[4 * tables] * y;
            int32_t x_step = m[0], y_step = m[3 * tables];
            for (int32_t x = 0; x < edge; x++) {
                int32_t x_in = (x_from + x_step * x) >> FRACTION_BITS, y_in = (y_from + y_step * x) >> FRACTION_BITS;
                int32_t inside = ((uint32_t)x_in < (uint32_t)edge) & ((uint32_t)y_in < (uint32_t)edge);
                uint32_t pixel = images[inside ? y_in * edge + x_in : 0];
                out[x] = inside ? pixel : 0;
            }
        }
    }
}

/* uint8 [pixels, 3] to words */
VECTORS void pack(const uint8_t *restrict bytes, uint32_t *restrict words, int64_t pixels) {
    for (int64_t i = 0; i < pixels; i++)
        words[i] = bytes[3 * i] | (uint32_t)bytes[3 * i + 1] << 8 | (uint32_t)bytes[3 * i + 2] << 16;
}

/* words [count, pixels] to float32 [count, 3, pixels]; values [3, 256]: what each byte of each channel becomes */
VECTORS void spread(
    const uint32_t *restrict words, float *restrict out, int64_t count, int64_t pixels, const float *restrict values) {
    for (int64_t i = 0; i < count; i++, words += pixels)
        for (int channel = 0; channel < 3; channel++, out += pixels)
            for (int64_t p = 0; p < pixels; p++) out[p] = values[256 * channel + (words[p] >> (8 * channel) & 255)];
}

enum { BRIGHTNESS, CONTRAST, SATURATION, HUE, NOTHING };

#define RED(word) ((int32_t)((word) & 255))
#define GREEN(word) ((int32_t)((word) >> 8 & 255))
#define BLUE(word) ((int32_t)((word) >> 16 & 255))
#define GREY(word) ((RED(word) * 19595 + GREEN(word) * 38470 + BLUE(word) * 7471 + 0x8000) >> 16)

static inline uint32_t mixed(int32_t value, int32_t grey, float factor) {
    float sum = (float)grey + factor * (float)(value - grey);
    return (uint32_t)(int32_t)(sum < 0.0F ? 0.0F : sum > 255.0F ? 255.0F : sum);
}

/* The image between black, its mean grey or its own grey (share 0 or 1 of the last two) and itself. */
VECTORS static void blend(uint32_t *restrict image, int64_t pixels, int32_t kind, float factor) {
    int64_t sum = 0;
    int32_t own = kind == SATURATION, mean = 0;
    if (kind == CONTRAST) {
        for (int64_t p = 0; p < pixels; p++) sum += GREY(image[p]);
        mean = (int32_t)((2 * sum + pixels) / (2 * pixels));
    }
    for (int64_t p = 0; p < pixels; p++) {
        uint32_t word = image[p];
        int32_t grey = own ? GREY(word) : mean;
        image[p] = mixed(RED(word), grey, factor) | mixed(GREEN(word), grey, factor) << 8 |
                   mixed(BLUE(word), grey, factor) << 16;
    }
}

/* To 8-bit hue, saturation and value, and back, with the types of colour.py: float where it has float32. */
VECTORS static void shift_hue(uint32_t *restrict image, int64_t pixels, int32_t shift) {
    for (int64_t p = 0; p < pixels; p++) {
        int32_t red = RED(image[p]), green = GREEN(image[p]), blue = BLUE(image[p]);
        int32_t most = red > green ? red : green, least = red < green ? red : green;
        most = most > blue ? most : blue;
        least = least < blue ? least : blue;
        float spread = (float)(most > least ? most - least : 1);
        float from_red = (float)(most - red) / spread, from_green = (float)(most - green) / spread;
        float from_blue = (float)(most - blue) / spread;
        float at_red = from_blue - from_green, at_green = (float)(2.0 + from_red - from_blue);
        float at_blue = (float)(4.0 + from_green - from_red);
        float sixths = red == most ? at_red : green == most ? at_green : at_blue;
        double circle = sixths / 6.0 + 1.0;
        float hue = (float)(circle >= 2.0 ? circle - 2.0 : circle >= 1.0 ? circle - 1.0 : circle);
        int32_t saturation = (int32_t)((float)(most - least) / (float)(most ? most : 1) * 255.0);
        int32_t place = ((int32_t)(hue * 255.0) + shift) & 255, sixth = place * 6 / 255;
        float fraction = (float)(place * 6.0 / 255.0 - sixth), share = (float)saturation / 255.0F;
        double gap = sixth & 1 ? (double)(share * fraction) : share * (1.0 - fraction);
        uint32_t high = (uint32_t)most, middle = (uint32_t)(int32_t)(most * (1.0 - gap) + 0.5);
        uint32_t low = (uint32_t)(int32_t)(most * (1.0 - share) + 0.5);
        int32_t s = sixth == 6 ? 0 : sixth;
        uint32_t r = (s == 0) | (s == 5) ? high : (s == 1) | (s == 4) ? middle : low;
        uint32_t g = (s == 1) | (s == 2) ? high : (s == 0) | (s == 3) ? middle : low;
        uint32_t b = (s == 3) | (s == 4) ? high : (s == 2) | (s == 5) ? middle : low;
        image[p] = r | g << 8 | b << 16;
    }
}

/* In place. kinds, amounts [tables, 4]: what is done in which order, and the factor, or the shift of the hue. */
void jitter(
    uint32_t *images, const int64_t *rows, int64_t count, int64_t pixels, const int32_t *kinds,
    const float *amounts) {
    for (int64_t i = 0; i < count; i++, images += pixels)
        for (int64_t k = 4 * rows[i]; k < 4 * rows[i] + 4; k++) {
            if (kinds[k] == HUE) shift_hue(images, pixels, (int32_t)amounts[k]);
            else if (kinds[k] != NOTHING) blend(images, pixels, kinds[k], amounts[k]);
        }
}
