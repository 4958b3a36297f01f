/* 3x3 convolutions with padding 1 of channels-last float32 images by Winograd's F(4x4, 3x3): 36 products for 16 results,
 * where the definition takes 144. Lavin and Gray, arXiv:1509.09308.
 *
 * Images are cut into tiles of 4x4 results, which 6x6 pixels make. With W the 36 numbers G w G' of a filter, tile by tile
 * y = A' (W * (B' d B)) A, summed over the channels of d: 36 matrix products. The gradient of w is its transpose,
 * G' (sum of (A g A') * (B' d B)) G. What G does is left to the caller. Tiles are taken `some` at a time, a
 * multiple of ROWS, so that their numbers stay in the cache. Channels are multiples of LANES.
 */
#include <string.h>

#define LANES 8
#define ROWS 4
#define PLANE(some, C) ((some) * (C) + 16) /* not a multiple of a page: 36 lines at a time fit into the cache */
typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static inline lanes get(const float *p) { return *(const lanes *)p; }
static inline void put(float *p, lanes v) { *(lanes *)p = v; }

/* B' d, A' m and A g of six (of the last: four) numbers `step` apart. */
static inline void input_row(const lanes *d, long step, lanes *out, long to)
{
    lanes a = d[0], b = d[step], c = d[2 * step], e = d[3 * step], f = d[4 * step], g = d[5 * step];
    lanes even = f - 4 * c, odd = e - 4 * b, four = f - c, two = 2 * (e - b);
    out[0] = 4 * a - 5 * c + f;
    out[to] = even + odd;
    out[2 * to] = even - odd;
    out[3 * to] = four + two;
    out[4 * to] = four - two;
    out[5 * to] = 4 * b - 5 * e + g;
}

static inline void output_row(const lanes *m, long step, lanes *out, long to)
{
    lanes s = m[step] + m[2 * step], d = m[step] - m[2 * step];
    lanes t = m[3 * step] + m[4 * step], u = m[3 * step] - m[4 * step];
    out[0] = m[0] + s + t;
    out[to] = d + 2 * u;
    out[2 * to] = s + 4 * t;
    out[3 * to] = d + 8 * u + m[5 * step];
}

static inline void gradient_row(const lanes *g, long step, lanes *out, long to)
{
    lanes a = g[0], b = g[step], c = g[2 * step], d = g[3 * step];
    lanes even = a + c, odd = b + d, four = a + 4 * c, two = 2 * b + 8 * d;
    out[0] = a;
    out[to] = even + odd;
    out[2 * to] = even - odd;
    out[3 * to] = four + two;
    out[4 * to] = four - two;
    out[5 * to] = d;
}

/* Where the size x size pixels of tile number t lie, from `before` pixels above and left of it; outside: at `blank`. */
static inline __attribute__((always_inline)) void
places(float *x, float *blank, float **at, long t, int size, int before, long H, long W, long C)
{
    long across = (W + 3) / 4, down = (H + 3) / 4, image = t / (across * down);
    long top = t / across % down * 4 - before, left = t % across * 4 - before;
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) {
            long h = top + i, w = left + j, inside = h >= 0 && h < H && w >= 0 && w < W;
            at[i * size + j] = inside ? x + ((image * H + h) * W + w) * C : blank;
        }
}

/* out (36, some, C): `count` transformed tiles of x (n, H, W, C), or (size 4) of a gradient, from number `first` on. */
static inline __attribute__((always_inline)) void
tiles_in(const float *x, float *blank, float *out, long first, long count, long some, int size, long H, long W, long C)
{
    float *at[36];
    lanes d[36], half[36], full[6];
    memset(blank, 0, C * sizeof(float));
    for (long t = 0; t < count; t++) {
        places((float *)x, blank, at, first + t, size, size == 6, H, W, C);
        for (long c = 0; c < C; c += LANES) {
            for (int k = 0; k < size * size; k++)
                d[k] = get(at[k] + c);
            for (int j = 0; j < size; j++)
                size == 6 ? input_row(d + j, size, half + j, size) : gradient_row(d + j, size, half + j, size);
            for (int i = 0; i < 6; i++) {
                size == 6 ? input_row(half + i * size, 1, full, 1) : gradient_row(half + i * size, 1, full, 1);
                for (int j = 0; j < 6; j++)
                    put(out + (i * 6 + j) * PLANE(some, C) + t * C + c, full[j]);
            }
        }
    }
}

static void tiles_out(const float *m, float *y, float *blank, long first, long count, long some, long H, long W, long C)
{
    float *at[16];
    lanes d[6], half[24], full[4];
    for (long t = 0; t < count; t++) {
        places(y, blank, at, first + t, 4, 0, H, W, C);
        for (long c = 0; c < C; c += LANES) {
            for (int j = 0; j < 6; j++) {
                for (int i = 0; i < 6; i++)
                    d[i] = get(m + (i * 6 + j) * PLANE(some, C) + t * C + c);
                output_row(d, 1, half + j, 6);
            }
            for (int i = 0; i < 4; i++) {
                output_row(half + i * 6, 1, full, 1);
                for (int j = 0; j < 4; j++)
                    put(at[i * 4 + j] + c, full[j]);
            }
        }
    }
}

/* ROWS rows and `wide` vectors of out (., N) = (add: +=) a b, a (., K) at row * down + k * along, b (K, N). */
static inline __attribute__((always_inline)) void
block(const float *a, long down, long along, const float *b, float *out, long K, long N, int add, int wide)
{
    lanes sums[ROWS][3];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < wide; v++)
            sums[r][v] = add ? get(out + r * N + v * LANES) : (lanes){0};
    for (long k = 0; k < K; k++, a += along, b += N)
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < wide; v++)
                sums[r][v] += a[r * down] * get(b + v * LANES);
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < wide; v++)
            put(out + r * N + v * LANES, sums[r][v]);
}

static void multiply(const float *a, long down, long along, const float *b, float *out, long M, long K, long N,
                     int add)
{
    for (long n = 0; n < N;) {
        long wide = (N - n) / LANES, take = wide == 1 ? 1 : wide == 2 || wide == 4 ? 2 : 3;
        for (long m = 0; m < M; m += ROWS) {
            const float *rows = a + m * down;
            float *to = out + m * N + n;
            if (take == 3)
                block(rows, down, along, b + n, to, K, N, add, 3);
            else if (take == 2)
                block(rows, down, along, b + n, to, K, N, add, 2);
            else
                block(rows, down, along, b + n, to, K, N, add, 1);
        }
        n += take * LANES;
    }
}

static long tiles(long n, long H, long W) { return n * ((H + 3) / 4) * ((W + 3) / 4); }

/* y (n, H, W, N) from x (n, H, W, C) and filters (36, C, N); work: see winograd.py. */
void convolve(const float *x, float *y, const float *filters, float *work, long n, long H, long W, long C, long N,
              long some)
{
    float *in = work, *out = in + 36 * PLANE(some, C), *blank = out + 36 * PLANE(some, N);
    long all = tiles(n, H, W);
    memset(in, 0, 36 * PLANE(some, C) * sizeof(float)); /* what the last tiles leave is computed with too */
    for (long first = 0; first < all; first += some) {
        long count = all - first < some ? all - first : some;
        tiles_in(x, blank, in, first, count, some, 6, H, W, C);
        for (long k = 0; k < 36; k++)
            multiply(in + k * PLANE(some, C), C, 1, filters + k * C * N, out + k * PLANE(some, N), some, C, N, 0);
        tiles_out(out, y, blank, first, count, some, H, W, N);
    }
}

/* sums (36, C, N), transformed the gradient of the filters, from x and the gradient g (n, H, W, N) of y. After the sums
 * work is as above. */
void filters_gradient(const float *x, const float *g, float *sums, long n, long H, long W, long C, long N, long some)
{
    float *in = sums + 36 * C * N, *of_y = in + 36 * PLANE(some, C), *blank = of_y + 36 * PLANE(some, N);
    long all = tiles(n, H, W);
    for (long first = 0; first < all; first += some) {
        long count = all - first < some ? all - first : some;
        tiles_in(x, blank, in, first, count, some, 6, H, W, C);
        tiles_in(g, blank, of_y, first, count, some, 4, H, W, N);
        for (long k = 0; k < 36; k++)
            multiply(in + k * PLANE(some, C), 1, C, of_y + k * PLANE(some, N), sums + k * C * N, C, count, N, first > 0);
    }
}
