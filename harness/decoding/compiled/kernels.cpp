// Products and attention of a round's few rows, in fp32, over weights and stored rows as they lie in memory.
//
// A product of one to some dozen rows is bound by reading its weights once. A tile keeps R x C sums in registers, so each
// weight is read once for R rows; the order of summation does not depend on the number of rows. Weights need no other
// layout than a linear layer's own [N, K], so nothing is packed, copied or baked in.
//
// Both functions have the C interface that torch's ahead-of-time programs call, without Python between.
#include "kernels.h"

// Products of R rows of x with C rows of w, each K long.
#ifdef __AVX512F__
constexpr int MOST = 24;
#else
constexpr int MOST = 12;
#endif
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

// q [B,H,R,D], k and v [B,H,S,D], mask [B|1,1,R|1,S]: all with unit last stride
extern "C" AOTITorchError aoti_torch_cpu_attend(AtenTensorHandle q, AtenTensorHandle k, AtenTensorHandle v, AtenTensorHandle mask, double scale, AtenTensorHandle* ret0) {
  int64_t B = sizes(q)[0], H = sizes(q)[1], R = sizes(q)[2], D = sizes(q)[3], S = sizes(k)[2];
  int64_t *sq = strides(q), *sk = strides(k), *sv = strides(v), *sm = strides(mask);
  if (sq[3] != 1 || sk[3] != 1 || sv[3] != 1 || sm[3] != 1 || D % L || R > MOST_QUERIES) return 1;
  AtenTensorHandle out = empty({B, H, R, D});
  float *dq = data(q), *dk = data(k), *dv = data(v), *dm = data(mask), *o = data(out);
  int64_t threads = std::min<int64_t>({omp_get_max_threads(), B * H, B * H * R * S * D / WORTH});
  int64_t mb = sizes(mask)[0] == 1 ? 0 : sm[0], mr = sizes(mask)[2] == 1 ? 0 : sm[2];
#pragma omp parallel for num_threads(std::max<int64_t>(threads, 1)) if (threads > 1)
  for (int64_t bh = 0; bh < B * H; ++bh) {
    int64_t b = bh / H, h = bh % H;
    const float *rows[MOST_QUERIES], *masks[MOST_QUERIES]; float* outs[MOST_QUERIES];
    for (int64_t r = 0; r < R; ++r) {
      rows[r] = dq + b * sq[0] + h * sq[1] + r * sq[2]; masks[r] = dm + b * mb + r * mr; outs[r] = o + (bh * R + r) * D; }
    attention(rows, outs, masks, R, dk + b * sk[0] + h * sk[1], sk[2], dv + b * sv[0] + h * sv[1], sv[2], S, D, float(scale));
  }
  *ret0 = out;
  return 0;
}
