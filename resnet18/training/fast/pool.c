/* Max pool 3x3, stride 2, padding 1, of an image batch [n, height, width, channels]; channels a multiple of VECTOR. */

#include "norm.h"
enum { SIDE = 3 };

/* One output pixel of relu(x * scale + shift), pooled; `taken` says which of the nine it was. The maximum starts at
the ReLU's 0: where nothing is above it, the gradient is 0 whichever pixel is taken, and 9 names none. A NaN is taken
and stays, as in torch. */
INLINE void pool_pixel(const Forward *f, long n, long oy, long ox, int bf16) {
  long height = f->height, width = f->width, channels = f->channels;
  long out = ((n * ((height + 1) / 2) + oy) * ((width + 1) / 2) + ox) * channels;
  for (long c = 0; c < channels; c += VECTOR) {
    V best = all(0), scale = floats(f->terms + c), shift = floats(f->terms + channels + c);
    Lanes which = SIDE * SIDE - (Lanes){0};
    for (int position = 0; position < SIDE * SIDE; position++) {
      long iy = 2 * oy - 1 + position / SIDE, ix = 2 * ox - 1 + position % SIDE;
      if (iy < 0 || ix < 0 || iy >= height || ix >= width) continue;
      V v = load(f->x, ((n * height + iy) * width + ix) * channels + c, bf16) * scale + shift;
      Lanes above = (v > best) | (v != v);
      best = (V)((above & (Lanes)v) | (~above & (Lanes)best));
      which = (above & position) | (~above & which);
    }
    store(f->y, out + c, best, bf16);
    Bytes taken = __builtin_convertvector(which, Bytes);
    memcpy(f->taken + out + c, &taken, sizeof taken);
  }
}

void pool_forward(const Forward *f) {
  long rows = (f->height + 1) / 2, columns = (f->width + 1) / 2;
#pragma omp parallel for collapse(2) schedule(static)
  for (long n = 0; n < f->images; n++)
    for (long oy = 0; oy < rows; oy++)
      for (long ox = 0; ox < columns; ox++)
        if (f->bf16)
          pool_pixel(f, n, oy, ox, 1);
        else
          pool_pixel(f, n, oy, ox, 0);
}

/* The gradient at one input pixel: of the at most four windows that hold it, those that took it. */
INLINE void unpool_pixel(const void *dy, const void *dy2, const uint8_t *taken, void *dx, long n, long iy, long ix,
                         long height, long width, long channels, int bf16) {
  long rows = (height + 1) / 2, columns = (width + 1) / 2, in = ((n * height + iy) * width + ix) * channels;
  for (long c = 0; c < channels; c += VECTOR) {
    V sum = all(0);
    for (long oy = iy / 2; oy <= (iy + 1) / 2 && oy < rows; oy++)
      for (long ox = ix / 2; ox <= (ix + 1) / 2 && ox < columns; ox++) {
        long at = ((n * rows + oy) * columns + ox) * channels + c;
        int position = SIDE * (iy - 2 * oy + 1) + ix - 2 * ox + 1;
        Bytes which;
        memcpy(&which, taken + at, sizeof which);
        Lanes mine = __builtin_convertvector(which, Lanes) == position;
        sum += where(mine, load(dy, at, bf16));
        if (dy2) sum += where(mine, load(dy2, at, bf16));
      }
    store(dx, in + c, sum, bf16);
  }
}

void pool_backward(const void *dy, const void *dy2, const uint8_t *taken, void *dx, long images, long height,
                   long width, long channels, int bf16) {
#pragma omp parallel for collapse(2) schedule(static)
  for (long n = 0; n < images; n++)
    for (long iy = 0; iy < height; iy++)
      for (long ix = 0; ix < width; ix++)
        if (bf16)
          unpool_pixel(dy, dy2, taken, dx, n, iy, ix, height, width, channels, 1);
        else
          unpool_pixel(dy, dy2, taken, dx, n, iy, ix, height, width, channels, 0);
}
