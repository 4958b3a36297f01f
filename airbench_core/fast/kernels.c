/* Max-pooling, BatchNorm and GELU of channels-last images in as few passes over memory as they need.
 *
 * Compiled by kernels.py, once for float32 and once (-DBFLOAT16) for bfloat16. Functions are computed in float32, sums
 * in float32 within an image and in double over the images.
 *
 * x: (n, pixels, C) or (n, H, W, C). norm (4, C): mean, scale, shift and 1 / deviation of each channel; z = x * scale +
 * shift is what GELU is applied to. work (3, C): the sums (2, C) that a call leaves, then room for floats. Loops over
 * channels are written to be vectorised: no branches, all numbers of one width.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef BFLOAT16
typedef uint16_t number;
typedef uint16_t place; /* as wide as a number: compilers vectorise loops over one width best */

static inline float load(number v)
{
    uint32_t bits = (uint32_t)v << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static inline number rounded(float f) /* to nearest, ties to even; a NaN stays one */
{
    uint32_t bits;
    memcpy(&bits, &f, 4);
    uint32_t up = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return f == f ? (number)up : (number)0x7fc0;
}
#else
typedef float number;
typedef uint32_t place;

static inline float load(number v) { return v; }
static inline number rounded(float f) { return f; }
#endif

/* |z| or, if that is less, limit; as integers, since the minimum of floats would be a branch. */
static inline float at_most(float z, float limit)
{
    int32_t a, b;
    memcpy(&a, &z, 4);
    memcpy(&b, &limit, 4);
    a &= 0x7fffffff;
    a = a < b ? a : b;
    memcpy(&z, &a, 4);
    return z;
}

#ifdef BFLOAT16
/* The normal distribution function at z, and the slope of GELU there: 1/2 + an odd polynomial, and 0 or 1 beyond 4.2.
 * Minimax fits: gelu(z) is exact to 7e-5 and the slope to 3e-4, where bfloat16 rounds 1 by 4e-3. */
static inline float normal(float z)
{
    float a = at_most(z, 4.2f), s = a * a;
    float p = 0.398726178f + s * (-0.0661766774f + s * (0.0097495446f + s * (-0.0010959436f + s * (9.22519784e-05f
            + s * (-5.58610008e-06f + s * (2.26665339e-07f + s * (-5.44847794e-09f + s * 5.81084487e-11f)))))));
    return 0.5f + copysignf(at_most(1.000004f * a * p, 0.5f), z); /* so that it does end at 0 and 1 */
}

static inline float slope(float z)
{
    float a = at_most(z, 4.2f), s = a * a;
    float p = 0.796880766f + s * (-0.262882886f + s * (0.0569661441f + s * (-0.00819449775f + s * (0.000807312232f
            + s * (-5.37862162e-05f + s * (2.30396221e-06f + s * (-5.69478851e-08f + s * 6.14541552e-10f)))))));
    return 0.5f + copysignf(a * p, z);
}
#else
/* exp(-z^2 / 2): 2^t with the whole part of t put into the exponent, and a polynomial for the rest in (-1, 0], a
 * Chebyshev fit that is exact to 1e-7. */
static inline float bell(float z)
{
    float t = at_most(z * z * 0.72134752f, 125.0f);
    int32_t whole = (int32_t)t;
    float f = (float)whole - t;
    float p = 1.0f + f * (0.693147047f + f * (0.240224356f + f * (0.0554910369f + f * (0.00958006034f
            + f * (0.00127571707f + f * 0.000109387582f)))));
    uint32_t bits = (uint32_t)(127 - whole) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return p * power;
}

/* The normal distribution function: Abramowitz and Stegun, 7.1.26; exact to 1e-7. */
static inline float normal_of(float z, float e)
{
    float t = 1.0f / (1.0f + 0.23164190f * fabsf(z));
    float tail = t * (0.127414796f + t * (-0.142248368f + t * (0.7107068705f + t * (-0.7265760135f
            + t * 0.5307027145f)))) * e;
    return 0.5f + copysignf(0.5f - tail, z);
}

static inline float normal(float z) { return normal_of(z, bell(z)); }

static inline float slope(float z) /* of GELU */
{
    float e = bell(z);
    return normal_of(z, e) + z * e * 0.39894228f;
}
#endif

static void start(double *work, long C) { memset(work, 0, 2 * C * sizeof(double)); }

static float *start_image(double *work, long C)
{
    return memset(work + 2 * C, 0, 2 * C * sizeof(float));
}

static void end_image(double *restrict work, const float *restrict some, long C)
{
    for (long c = 0; c < 2 * C; c++)
        work[c] += some[c];
}

/* Sums of x - about and of its square: with about near the mean their difference keeps its digits. */
void statistics(const number *restrict x, const float *restrict about, double *restrict work,
                long n, long pixels, long C)
{
    start(work, C);
    for (long i = 0; i < n; i++) {
        float *restrict some = start_image(work, C);
        for (long p = 0; p < pixels; p++, x += C)
            #pragma omp simd simdlen(16)
            for (long c = 0; c < C; c++) {
                float v = load(x[c]) - about[c];
                some[c] += v;
                some[C + c] += v * v;
            }
        end_image(work, some, C);
    }
}

/* out (n, H/2, W/2, C): the largest of each 2x2 pixels, 0 to 3; which: the first that is as large. Sums as above. */
void pool(const number *restrict x, number *restrict out, place *restrict which, const float *restrict about,
          double *restrict work, long n, long H, long W, long C)
{
    start(work, C);
    for (long i = 0; i < n; i++) {
        float *restrict some = start_image(work, C);
        for (long h = 0; h + 1 < H; h += 2)
            for (long w = 0; w + 1 < W; w += 2, out += C, which += C) {
                const number *restrict at = x + ((i * H + h) * W + w) * C;
                #pragma omp simd simdlen(16)
                for (long c = 0; c < C; c++) {
                    float a = load(at[c]), b = load(at[C + c]);
                    float d = load(at[W * C + c]), e = load(at[W * C + C + c]);
                    float upper = b > a ? b : a, lower = e > d ? e : d, v = lower > upper ? lower : upper;
                    int32_t first = b > a ? 1 : 0, second = e > d ? 3 : 2;
                    which[c] = (place)(lower > upper ? second : first);
                    v = b != b ? b : v; /* a NaN is passed on, as by PyTorch; the comparisons keep one in a alone */
                    v = lower != lower ? lower : v;
                    v = e != e ? e : v;
                    out[c] = rounded(v);
                    v -= about[c];
                    some[c] += v;
                    some[C + c] += v * v;
                }
            }
        end_image(work, some, C);
    }
}

/* norm, from the sums about the running mean of `threads` calls over `count` pixels, which also move the running
 * statistics; or, where sums is null, from the running statistics. */
void moments(const double *sums, const float *weight, const float *bias, float *running_mean, float *running_var,
             float *norm, double momentum, double eps, long threads, long count, long C)
{
    for (long c = 0; c < C; c++) {
        double mean = running_mean[c], variance = running_var[c];
        if (sums) {
            double total = 0, square = 0;
            for (long t = 0; t < threads; t++) {
                total += sums[3 * C * t + c];
                square += sums[3 * C * t + C + c];
            }
            total /= count;
            mean += total;
            variance = square / count - total * total;
            variance = variance < 0 ? 0 : variance; /* and NaN stays NaN */
            running_mean[c] += momentum * (mean - running_mean[c]);
            running_var[c] += momentum * (variance * count / (count - 1) - running_var[c]);
        }
        double inverse = 1 / sqrt(variance + eps), scale = weight[c] * inverse;
        norm[c] = mean;
        norm[C + c] = scale;
        norm[2 * C + c] = bias[c] - mean * scale;
        norm[3 * C + c] = inverse;
    }
}

/* out = gelu(z) */
void norm_gelu(const number *restrict x, number *restrict out, const float *restrict norm, long n, long pixels, long C)
{
    const float *restrict scale = norm + C, *restrict shift = norm + 2 * C;
    for (long p = 0; p < n * pixels; p++, x += C, out += C)
        #pragma omp simd simdlen(16)
        for (long c = 0; c < C; c++) {
            float z = load(x[c]) * scale[c] + shift[c];
            out[c] = rounded(z * normal(z));
        }
}

/* of_z, the gradient of z, from g, that of gelu(z). Sums of of_z and of of_z * (x - mean). */
void norm_gelu_backward(const number *restrict g, const number *restrict x, number *restrict of_z,
                        const float *restrict norm, double *restrict work, long n, long pixels, long C)
{
    const float *restrict mean = norm, *restrict scale = norm + C, *restrict shift = norm + 2 * C;
    start(work, C);
    for (long i = 0; i < n; i++) {
        float *restrict some = start_image(work, C);
        for (long p = 0; p < pixels; p++, g += C, x += C, of_z += C)
            #pragma omp simd simdlen(16)
            for (long c = 0; c < C; c++) {
                float v = load(x[c]);
                float d = load(g[c]) * slope(v * scale[c] + shift[c]);
                of_z[c] = rounded(d);
                some[c] += d;
                some[C + c] += d * (v - mean[c]);
            }
        end_image(work, some, C);
    }
}

/* k (3, C), such that k[0] * of_z + k[1] * x + k[2] is the gradient of x; of_bias (C): from the sums above.
 * With x_ = (x - mean) * inverse it is scale * (of_z - mean of of_z - x_ * mean of (of_z * x_)). */
void coefficients(const double *sums, const float *norm, float *k, float *of_bias, long threads, long count, long C)
{
    for (long c = 0; c < C; c++) {
        double total = 0, with_x = 0, mean = norm[c], scale = norm[C + c], inverse = norm[3 * C + c];
        for (long t = 0; t < threads; t++) {
            total += sums[3 * C * t + c];
            with_x += sums[3 * C * t + C + c];
        }
        double slope = scale * inverse * inverse * with_x / count;
        of_bias[c] = total;
        k[c] = scale;
        k[C + c] = -slope;
        k[2 * C + c] = slope * mean - scale * total / count;
    }
}

/* of_z becomes the gradient of x. */
void norm_backward(number *restrict of_z, const number *restrict x, const float *restrict k,
                   long n, long pixels, long C)
{
    for (long p = 0; p < n * pixels; p++, of_z += C, x += C)
        #pragma omp simd simdlen(16)
        for (long c = 0; c < C; c++)
            of_z[c] = rounded(load(of_z[c]) * k[c] + load(x[c]) * k[C + c] + k[2 * C + c]);
}

/* The same for a pooled x: out (n, H, W, C) has the gradient where the largest of each four was, and 0 elsewhere. */
void pool_backward(const number *restrict of_z, const number *restrict x, const place *restrict which,
                   number *restrict out, const float *restrict k, long n, long H, long W, long C)
{
    for (long i = 0; i < n; i++, out += H * W * C) {
        for (long h = 0; h + 1 < H; h += 2) {
            for (long w = 0; w + 1 < W; w += 2, of_z += C, x += C, which += C) {
                number *restrict at = out + (h * W + w) * C;
                #pragma omp simd simdlen(16)
                for (long c = 0; c < C; c++) {
                    number v = rounded(load(of_z[c]) * k[c] + load(x[c]) * k[C + c] + k[2 * C + c]);
                    place s = which[c];
                    at[c] = s == 0 ? v : 0;
                    at[C + c] = s == 1 ? v : 0;
                    at[W * C + c] = s == 2 ? v : 0;
                    at[W * C + C + c] = s == 3 ? v : 0;
                }
            }
            if (W % 2) {
                memset(out + (h * W + W - 1) * C, 0, C * sizeof(number));
                memset(out + (h * W + 2 * W - 1) * C, 0, C * sizeof(number));
            }
        }
        if (H % 2)
            memset(out + (H - 1) * W * C, 0, W * C * sizeof(number));
    }
}
