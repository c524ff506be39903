// What the kernels of few rows share: vectors, torch's tensors by their C interface, and the attention of one head.
#pragma once
#include <cstdint>
#include <cmath>
#include <cstring>
#include <vector>
#include <algorithm>
#include <array>
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
constexpr int L = 16;
#else
constexpr int L = 8;
#endif
typedef float vec __attribute__((vector_size(L * 4)));
typedef float loose __attribute__((vector_size(L * 4), aligned(4)));
typedef int32_t ivec __attribute__((vector_size(L * 4)));
static inline vec load(const float* p) { return *reinterpret_cast<const loose*>(p); }
static inline void store(float* p, vec v) { *reinterpret_cast<loose*>(p) = v; }

// Lanes of a and b, H at a time in turn, each added to the H lanes after it.
template <int H> static inline vec fold(vec a, vec b) {
  constexpr auto places = [](int shift) {
    std::array<int32_t, L> to{};
    for (int i = 0; i < L; ++i) to[i] = (i / (2 * H)) * 2 * H + i % H + (i / H % 2 ? L : 0) + shift;
    return to;
  };
  constexpr std::array<int32_t, L> low = places(0), high = places(H);
  ivec first, second; std::memcpy(&first, low.data(), sizeof first); std::memcpy(&second, high.data(), sizeof second);
  return __builtin_shuffle(a, b, first) + __builtin_shuffle(a, b, second);
}
// Lane i is the sum of v[i]'s lanes, in one order for all.
template <int H = 1> static inline vec totals(const vec* v) {
  if constexpr (H == L) return v[0];
  else {
    vec half[L / (2 * H)];
    for (int i = 0; i < L / (2 * H); ++i) half[i] = fold<H>(v[2 * i], v[2 * i + 1]);
    return totals<2 * H>(half);
  }
}
template <int H = 1> static inline float total(vec v) {
  if constexpr (H == L) return v[0];
  else return total<2 * H>(fold<H>(v, v));
}

static inline AtenTensorHandle empty(std::initializer_list<int64_t> sizes) {
  int64_t strides[8], s = 1, n = sizes.size();
  for (int64_t i = n; i--;) { strides[i] = s; s *= sizes.begin()[i]; }
  AtenTensorHandle out;
  aoti_torch_empty_strided(n, sizes.begin(), strides, aoti_torch_dtype_float32(), aoti_torch_device_type_cpu(), 0, &out);
  return out;
}
static inline float* data(AtenTensorHandle t) { void* p; aoti_torch_get_data_ptr(t, &p); return static_cast<float*>(p); }
static inline int64_t* sizes(AtenTensorHandle t) { int64_t* p; aoti_torch_get_sizes(t, &p); return p; }
static inline int64_t* strides(AtenTensorHandle t) { int64_t* p; aoti_torch_get_strides(t, &p); return p; }

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

// Scores of R rows of q [., D] with L / R rows of k.
template <int R>
static inline void score(const float* q, int64_t D, const float* const* k, float* out, int64_t ldo) {
  constexpr int S = L / R;
  vec acc[L] = {};
  for (int64_t d = 0; d < D; d += L) {
    vec b[S];
    for (int s = 0; s < S; ++s) b[s] = load(k[s] + d);
    for (int r = 0; r < R; ++r) { vec a = load(q + r * D + d); for (int s = 0; s < S; ++s) acc[r * S + s] += a * b[s]; }
  }
  float sums[L]; store(sums, totals(acc));
  for (int r = 0; r < R; ++r) std::memcpy(out + r * ldo, sums + r * S, S * sizeof(float));
}

template <int R, int V>  // R rows, V vectors of a head's dimension
static inline void mix(const float* p, int64_t ldp, const float* const* v, int64_t n, int64_t at, float* const* out) {
  vec acc[R][V] = {};
  for (int64_t s = 0; s < n; ++s) {
    vec b[V];
    for (int d = 0; d < V; ++d) b[d] = load(v[s] + at + d * L);
    for (int r = 0; r < R; ++r) { float a = p[r * ldp + s]; for (int d = 0; d < V; ++d) acc[r][d] += a * b[d]; }
  }
  for (int r = 0; r < R; ++r) for (int d = 0; d < V; ++d) store(out[r] + at + d * L, acc[r][d]);
}
template <int R>
static inline void mix_all(const float* p, int64_t ldp, const float* const* v, int64_t n, int64_t D, float* const* out) {
  int64_t at = 0;
  for (; at + 2 * L <= D; at += 2 * L) mix<R, 2>(p, ldp, v, n, at, out);
  for (; at < D; at += L) mix<R, 1>(p, ldp, v, n, at, out);
}

// R query rows of one head, at any places, over S stored rows; `mask` holds a summand of each score. D is of whole
// vectors. Stored rows that no query sees are passed over.
static inline void attention(const float* const* q, float* const* out, const float* const* mask, int64_t R, const float* k,
                             int64_t ldk, const float* v, int64_t ldv, int64_t S, int64_t D, float scale) {
  static thread_local std::vector<float> seen, scores, queries, bias;
  static thread_local std::vector<int64_t> live; static thread_local std::vector<const float*> keys, values;
  const float* sees = mask[0];
  for (int64_t r = 1; r < R; ++r) if (mask[r] != mask[r - 1]) {
    if (sees == mask[0]) { seen.assign(mask[0], mask[0] + S); sees = seen.data(); }
    for (int64_t s = 0; s < S; ++s) seen[s] = std::max(seen[s], mask[r][s]);
  }
  live.resize(S + L); keys.resize(S + L); values.resize(S + L);
  int64_t n = 0;
  for (int64_t s = 0; s < S; ++s) if (sees[s] > -1e30f) { live[n] = s; keys[n] = k + s * ldk; values[n] = v + s * ldv; ++n; }
  int64_t wide = (n + L - 1) / L * L;
  if (!n) { for (int64_t r = 0; r < R; ++r) std::memset(out[r], 0, D * sizeof(float)); return; }
  for (int64_t s = n; s < wide; ++s) keys[s] = keys[0];
  scores.resize(R * wide); queries.resize(R * D);
  for (int64_t r = 0; r < R; ++r) std::memcpy(queries.data() + r * D, q[r], D * sizeof(float));
  for (int64_t r = 0; r < R;) {
    const float* a = queries.data() + r * D; float* to = scores.data() + r * wide;
    if (R - r >= 4) { for (int64_t s = 0; s < wide; s += L / 4) score<4>(a, D, keys.data() + s, to + s, wide); r += 4; }
    else if (R - r >= 2) { for (int64_t s = 0; s < wide; s += L / 2) score<2>(a, D, keys.data() + s, to + s, wide); r += 2; }
    else { for (int64_t s = 0; s < wide; s += L) score<1>(a, D, keys.data() + s, to + s, wide); r += 1; }
  }
  bias.resize(wide);
  for (int64_t r = 0; r < R; ++r) {
    float* p = scores.data() + r * wide;
    if (!r || mask[r] != mask[r - 1])
      for (int64_t s = 0; s < wide; ++s) bias[s] = s < n ? mask[r][live[s]] : -INFINITY;
    vec most = vec{} - INFINITY, sum = {};
    for (int64_t s = 0; s < wide; s += L) {
      vec x = load(p + s) * scale + load(bias.data() + s); store(p + s, x); most = x > most ? x : most; }
    float best = -INFINITY;
    for (int i = 0; i < L; ++i) best = std::max(best, most[i]);
    if (best == -INFINITY) { std::memset(p, 0, wide * sizeof(float)); continue; }  // sees nothing that others see
    for (int64_t s = 0; s < wide; s += L) {
      vec e = load(p + s) - best, y = exponential(e), z = {}; y = e < -87.0f ? z : y; sum += y; store(p + s, y); }
    float inverse = 1.0f / total(sum);
    for (int64_t s = 0; s < wide; s += L) store(p + s, load(p + s) * inverse);
  }
  for (int64_t r = 0; r < R;) {
    const float* p = scores.data() + r * wide;
    if (R - r >= 4) { mix_all<4>(p, wide, values.data(), n, D, out + r); r += 4; }
    else if (R - r >= 2) { mix_all<2>(p, wide, values.data(), n, D, out + r); r += 2; }
    else { mix_all<1>(p, wide, values.data(), n, D, out + r); r += 1; }
  }
}
constexpr int64_t MOST_QUERIES = 256;
