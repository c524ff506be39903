// Products and attention of a round's few rows, in fp32, over weights and stored rows as they lie in memory.
//
// A product of one to some dozen rows is bound by reading its weights once. A tile keeps R x C sums in registers, so each
// weight is read once for R rows; the order of summation does not depend on the number of rows. Weights need no other
// layout than a linear layer's own [N, K], so nothing is packed, copied or baked in.
//
// Both functions have the C interface that torch's ahead-of-time programs call, without Python between.
#include <cstdint>
#include <cmath>
#include <cstring>
#include <vector>
#include <algorithm>
#include <omp.h>

extern "C" {
struct AtenTensorOpaque;
using AtenTensorHandle = AtenTensorOpaque*;
using AOTITorchError = int32_t;
AOTITorchError aoti_torch_get_data_ptr(AtenTensorHandle, void**);
AOTITorchError aoti_torch_get_sizes(AtenTensorHandle, int64_t**);
AOTITorchError aoti_torch_get_strides(AtenTensorHandle, int64_t**);
AOTITorchError aoti_torch_empty_strided(int64_t, const int64_t*, const int64_t*, int32_t, int32_t, int32_t, AtenTensorHandle*);
int32_t aoti_torch_dtype_float32();
int32_t aoti_torch_device_type_cpu();
}

#ifdef __AVX512F__
constexpr int L = 16, MOST = 24;
#else
constexpr int L = 8, MOST = 12;
#endif
typedef float vec __attribute__((vector_size(L * 4)));
typedef float loose __attribute__((vector_size(L * 4), aligned(4)));
typedef int32_t ivec __attribute__((vector_size(L * 4)));
static inline vec load(const float* p) { return *reinterpret_cast<const loose*>(p); }
static inline void store(float* p, vec v) { *reinterpret_cast<loose*>(p) = v; }
static inline float total(vec v) {
  float parts[L]; store(parts, v);
  for (int n = L / 2; n; n /= 2) for (int i = 0; i < n; ++i) parts[i] += parts[i + n];
  return parts[0];
}

// Products of R rows of x with C rows of w, each K long.
template <int R, int C>
static inline void tile(const float* x, int64_t ldx, const float* w, int64_t ldw, int64_t K, float* out, int64_t ldo) {
  vec acc[R][C] = {};
  int64_t k = 0;
  for (; k + L <= K; k += L) {
    vec b[C];
    for (int c = 0; c < C; ++c) b[c] = load(w + c * ldw + k);
    for (int r = 0; r < R; ++r) {
      vec a = load(x + r * ldx + k);
      for (int c = 0; c < C; ++c) acc[r][c] += a * b[c];
    }
  }
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) {
      float sum = total(acc[r][c]);
      for (int64_t i = k; i < K; ++i) sum += x[r * ldx + i] * w[c * ldw + i];
      out[r * ldo + c] = sum;
    }
}
template <int R>
static void columns(const float* x, int64_t ldx, const float* w, int64_t ldw, int64_t K, int64_t N, float* out, int64_t ldo) {
  constexpr int C = R == 1 ? 8 : std::min(8, MOST / R);
  int64_t n = 0;
  for (; n + C <= N; n += C) tile<R, C>(x, ldx, w + n * ldw, ldw, K, out + n, ldo);
  for (; n < N; ++n) tile<R, 1>(x, ldx, w + n * ldw, ldw, K, out + n, ldo);
}
static void products(const float* x, int64_t ldx, int64_t M, const float* w, int64_t ldw, int64_t K, int64_t N, float* out, int64_t ldo) {
  constexpr int TALL = L == 16 ? 8 : 4;
  for (int64_t m = 0; m < M;) {
    int64_t left = M - m;
    int64_t take = left <= TALL ? left : (left < 2 * TALL ? (left + 1) / 2 : TALL);
    const float* a = x + m * ldx; float* o = out + m * ldo;
    switch (take) {
      case 1: columns<1>(a, ldx, w, ldw, K, N, o, ldo); break;
      case 2: columns<2>(a, ldx, w, ldw, K, N, o, ldo); break;
      case 3: columns<3>(a, ldx, w, ldw, K, N, o, ldo); break;
      case 4: columns<4>(a, ldx, w, ldw, K, N, o, ldo); break;
      case 5: columns<5>(a, ldx, w, ldw, K, N, o, ldo); break;
      case 6: columns<6>(a, ldx, w, ldw, K, N, o, ldo); break;
      case 7: columns<7>(a, ldx, w, ldw, K, N, o, ldo); break;
      default: columns<8>(a, ldx, w, ldw, K, N, o, ldo); break;
    }
    m += take;
  }
}
constexpr int64_t BLOCK = 24;      // columns whose weights stay in the first cache while rows pass
constexpr int64_t WORTH = 1 << 16; // multiplications of a thread

static AtenTensorHandle empty(std::initializer_list<int64_t> sizes) {
  int64_t strides[8], s = 1, n = sizes.size();
  for (int64_t i = n; i--;) { strides[i] = s; s *= sizes.begin()[i]; }
  AtenTensorHandle out;
  aoti_torch_empty_strided(n, sizes.begin(), strides, aoti_torch_dtype_float32(), aoti_torch_device_type_cpu(), 0, &out);
  return out;
}
static float* data(AtenTensorHandle t) { void* p; aoti_torch_get_data_ptr(t, &p); return static_cast<float*>(p); }
static int64_t* sizes(AtenTensorHandle t) { int64_t* p; aoti_torch_get_sizes(t, &p); return p; }
static int64_t* strides(AtenTensorHandle t) { int64_t* p; aoti_torch_get_strides(t, &p); return p; }

extern "C" AOTITorchError aoti_torch_cpu_few_rows(AtenTensorHandle x, const AtenTensorHandle* ws, int64_t count, AtenTensorHandle* ret0) {
  int64_t M = sizes(x)[0], K = sizes(x)[1], ldx = strides(x)[0], N = 0;
  if (strides(x)[1] != 1) return 1;
  int64_t ends[8]; const float* w[8]; int64_t ldw[8];
  for (int64_t i = 0; i < count; ++i) { ends[i] = N += sizes(ws[i])[0]; w[i] = data(ws[i]); ldw[i] = strides(ws[i])[0]; }
  AtenTensorHandle out = empty({M, N});
  const float* a = data(x); float* o = data(out);
  int64_t threads = std::min<int64_t>(omp_get_max_threads(), M * N * K / WORTH);
  if (omp_in_parallel()) threads = 1;
  auto span = [&](int64_t from, int64_t to) {
    for (int64_t i = 0, begin = 0; i < count; begin = ends[i++]) {
      int64_t lo = std::max(from, begin), hi = std::min(to, ends[i]);
      for (int64_t n = lo; n < hi; n += BLOCK)
        products(a, ldx, M, w[i] + (n - begin) * ldw[i], ldw[i], K, std::min(BLOCK, hi - n), o + n, N);
    }
  };
  if (threads <= 1) span(0, N);
  else {
#pragma omp parallel num_threads(threads)
    {  // there may be fewer than were asked for
      int64_t count = omp_get_num_threads(), share = ((N + count - 1) / count + BLOCK - 1) / BLOCK * BLOCK;
      int64_t from = omp_get_thread_num() * share;
      span(std::min(from, N), std::min(from + share, N));
    }
  }
  *ret0 = out;
  return 0;
}

static inline vec exponential(vec x) {  // of x <= 0, Cephes' polynomial
  vec low = x - x - 87.0f;
  x = x < low ? low : x;
  vec n = x * 1.44269504088896341f;
  ivec i = __builtin_convertvector(n - 0.5f, ivec);  // towards zero: rounds a negative one to the nearest
  n = __builtin_convertvector(i, vec);
  x = x - n * 0.693359375f - n * -2.12194440e-4f;
  vec y = x - x + 1.9875691500E-4f;
  y = y * x + 1.3981999507E-3f; y = y * x + 8.3334519073E-3f; y = y * x + 4.1665795894E-2f;
  y = y * x + 1.6666665459E-1f; y = y * x + 5.0000001201E-1f;
  y = y * x * x + x + 1.0f;
  return y * reinterpret_cast<vec>((i + 127) << 23);
}

template <int R, int D>  // R rows, D vectors of a head's dimension
static inline void mix(const float* p, int64_t ldp, const float* const* v, int64_t n, int64_t at, float* out, int64_t ldo) {
  vec acc[R][D] = {};
  for (int64_t s = 0; s < n; ++s) {
    vec b[D];
    for (int d = 0; d < D; ++d) b[d] = load(v[s] + at + d * L);
    for (int r = 0; r < R; ++r) { float a = p[r * ldp + s]; for (int d = 0; d < D; ++d) acc[r][d] += a * b[d]; }
  }
  for (int r = 0; r < R; ++r) for (int d = 0; d < D; ++d) store(out + r * ldo + at + d * L, acc[r][d]);
}

// q [B,H,R,D], k and v [B,H,S,D], mask [B,1,R,S]: all with unit last stride
extern "C" AOTITorchError aoti_torch_cpu_attend(AtenTensorHandle q, AtenTensorHandle k, AtenTensorHandle v, AtenTensorHandle mask, double scale, AtenTensorHandle* ret0) {
  int64_t B = sizes(q)[0], H = sizes(q)[1], R = sizes(q)[2], D = sizes(q)[3], S = sizes(k)[2];
  int64_t *sq = strides(q), *sk = strides(k), *sv = strides(v), *sm = strides(mask);
  if (sq[3] != 1 || sk[3] != 1 || sv[3] != 1 || sm[3] != 1) return 1;
  AtenTensorHandle out = empty({B, H, R, D});
  float *dq = data(q), *dk = data(k), *dv = data(v), *dm = data(mask), *o = data(out);
  int64_t threads = std::min<int64_t>({omp_get_max_threads(), B * H, B * H * R * S * D / WORTH});
  int64_t mb = sizes(mask)[0] == 1 ? 0 : sm[0];
#pragma omp parallel for num_threads(std::max<int64_t>(threads, 1)) if (threads > 1)
  for (int64_t bh = 0; bh < B * H; ++bh) {
    int64_t b = bh / H, h = bh % H;
    const float *qq = dq + b * sq[0] + h * sq[1], *kk = dk + b * sk[0] + h * sk[1], *vv = dv + b * sv[0] + h * sv[1], *mm = dm + b * mb;
    static thread_local std::vector<float> seen, scores; static thread_local std::vector<int64_t> live; static thread_local std::vector<const float*> values;
    seen.assign(S, -INFINITY);
    for (int64_t r = 0; r < R; ++r) { const float* row = mm + r * sm[2]; for (int64_t s = 0; s < S; ++s) seen[s] = std::max(seen[s], row[s]); }
    live.clear(); values.clear();
    for (int64_t s = 0; s < S; ++s) if (seen[s] > -1e30f) { live.push_back(s); values.push_back(vv + s * sv[2]); }
    int64_t n = live.size(), wide = (n + L - 1) / L * L;
    float* oo = o + bh * R * D;
    if (!n) { std::memset(oo, 0, R * D * sizeof(float)); continue; }
    scores.resize(R * wide);
    for (int64_t s = 0; s < n;) {  // runs of neighbouring rows are one product
      int64_t e = s + 1;
      while (e < n && live[e] == live[e - 1] + 1 && e - s < BLOCK) ++e;
      products(qq, sq[2], R, kk + live[s] * sk[2], sk[2], D, e - s, scores.data() + s, wide);
      s = e;
    }
    for (int64_t r = 0; r < R; ++r) {
      float* p = scores.data() + r * wide; const float* row = mm + r * sm[2];
      float best = -INFINITY;
      for (int64_t s = 0; s < n; ++s) { p[s] = p[s] * float(scale) + row[live[s]]; best = std::max(best, p[s]); }
      for (int64_t s = n; s < wide; ++s) p[s] = -INFINITY;
      vec sum = {};
      for (int64_t s = 0; s < wide; s += L) {
        vec e = load(p + s) - best; vec y = exponential(e); vec z = {}; y = e < -87.0f ? z : y; sum += y; store(p + s, y); }
      float inverse = 1.0f / total(sum);
      for (int64_t s = 0; s < wide; s += L) store(p + s, load(p + s) * inverse);
    }
    for (int64_t r = 0; r < R;) {
      const float* p = scores.data() + r * wide; float* to = oo + r * D;
      int step = R - r >= 4 ? 4 : R - r >= 2 ? 2 : 1;
      int64_t at = 0;
      for (; at + 2 * L <= D; at += 2 * L) {
        if (step == 4) mix<4, 2>(p, wide, values.data(), n, at, to, D);
        else if (step == 2) mix<2, 2>(p, wide, values.data(), n, at, to, D);
        else mix<1, 2>(p, wide, values.data(), n, at, to, D);
      }
      for (int i = 0; i < step; ++i)
        for (int64_t d = at; d < D; ++d) {
          float sum = 0;
          for (int64_t s = 0; s < n; ++s) sum += p[i * wide + s] * values[s][d];
          to[i * D + d] = sum;
        }
      r += step;
    }
  }
  *ret0 = out;
  return 0;
}
