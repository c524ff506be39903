// A run of a pass's steps over few rows in fp32 as one call: norms, products, rotary embedding, attention, residual sums.
//
// A small model's step takes a microsecond, as much as starting it by itself. Threads therefore walk through all steps
// together and meet after each product. What has few numbers (norms, sums) every thread computes for itself, which takes
// less than meeting. Products read weights that were packed once: panels of G columns, so that a panel is read in order
// and a sum needs no other lanes. Each sum runs over k in order, whatever the number of rows.
//
// `code` is written by harness/decoding/compiled/chain.py; all numbers of a step follow each other there in the order of `next`.
#include <atomic>
#include <sched.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include "kernels.h"

constexpr int G = 2 * L;
constexpr int PATIENCE = 1 << 12;  // looks before a thread lets others have its processor
static inline void rest() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}
constexpr int64_t MEET = 1 << 15;  // multiplications of a thread between two meetings that are worth it

enum Step : int64_t { NORM, ADD, MULTIPLY, SCALE, GATE, ROTATE, PRODUCT, STORE, ATTEND, GIVE, TIMES };
enum Place : int64_t { INPUT, RESULT, SHARED, OWN };

struct Value { float* data; int64_t row; };  // rows lie `row` numbers apart

struct alignas(64) Meeting {
  std::atomic<int> here{0}; alignas(64) std::atomic<int> round{0};
  void wait(int all) {
    if (all == 1) return;
    int now = round.load(std::memory_order_acquire);
    if (here.fetch_add(1, std::memory_order_acq_rel) == all - 1) {
      here.store(0, std::memory_order_relaxed); round.store(now + 1, std::memory_order_release); return; }
    for (int tries = 0; round.load(std::memory_order_acquire) == now; ++tries)
      if (tries < PATIENCE) rest(); else sched_yield();
  }
};

static inline vec sigmoid(vec x) {
  vec zero = {}, size = x < zero ? -x : x, e = exponential(-size);
  return (x < zero ? e : zero + 1.0f) / (e + 1.0f);
}
static inline vec activate(int64_t kind, vec x) {  // 1: SiLU, 2: GELU by tanh
  if (kind == 1) return x * sigmoid(x);
  return x * sigmoid(1.5957691216057308f * (x + 0.044715f * x * x * x));
}

// R rows of x times S panels of w, whose first lies at w; `gate` 0 stores G columns a panel, else L of gate times up.
template <int R, int S>
static void panels(const float* x, int64_t ldx, const float* w, int64_t K, int64_t gate, float* out, int64_t ldo, int64_t left) {
  vec acc[R][S][2] = {};
  for (int64_t k = 0; k < K; ++k)
    for (int s = 0; s < S; ++s) {
      vec a = load(w + (s * K + k) * G), b = load(w + (s * K + k) * G + L);
      for (int r = 0; r < R; ++r) { float v = x[r * ldx + k]; acc[r][s][0] += a * v; acc[r][s][1] += b * v; }
    }
  for (int r = 0; r < R; ++r)
    for (int s = 0; s < S; ++s) {
      float* o = out + r * ldo;
      if (gate) { store(o + s * L, activate(gate, acc[r][s][0]) * acc[r][s][1]); continue; }
      o += s * G;
      if (left - s * G >= G) { store(o, acc[r][s][0]); store(o + L, acc[r][s][1]); continue; }
      float part[G]; store(part, acc[r][s][0]); store(part + L, acc[r][s][1]);
      std::memcpy(o, part, std::max<int64_t>(0, left - s * G) * sizeof(float));
    }
}
template <int R>
static void rows(const float* x, int64_t ldx, const float* w, int64_t K, int64_t gate, int64_t from, int64_t to, float* out, int64_t ldo, int64_t N) {
  constexpr int S = std::max(1, std::min(4, (L == 16 ? 12 : 6) / R));
  int64_t wide = gate ? L : G, p = from;
  for (; p + S <= to; p += S) panels<R, S>(x, ldx, w + p * K * G, K, gate, out + p * wide, ldo, N - p * wide);
  for (; p < to; ++p) panels<R, 1>(x, ldx, w + p * K * G, K, gate, out + p * wide, ldo, N - p * wide);
}
static void product(Value x, int64_t M, const float* w, int64_t K, int64_t gate, int64_t from, int64_t to, Value out, int64_t N) {
  constexpr int64_t TALL = L == 16 ? 8 : 4, SPAN = 4;
  for (int64_t p = from; p < to; p += SPAN) {
    int64_t end = std::min(to, p + SPAN);
    for (int64_t m = 0; m < M;) {
      int64_t left = M - m, take = left <= TALL ? left : (left < 2 * TALL ? (left + 1) / 2 : TALL);
      const float* a = x.data + m * x.row; float* o = out.data + m * out.row;
      switch (take) {
        case 1: rows<1>(a, x.row, w, K, gate, p, end, o, out.row, N); break;
        case 2: rows<2>(a, x.row, w, K, gate, p, end, o, out.row, N); break;
        case 3: rows<3>(a, x.row, w, K, gate, p, end, o, out.row, N); break;
        case 4: rows<4>(a, x.row, w, K, gate, p, end, o, out.row, N); break;
        case 5: rows<5>(a, x.row, w, K, gate, p, end, o, out.row, N); break;
        case 6: rows<6>(a, x.row, w, K, gate, p, end, o, out.row, N); break;
        case 7: rows<7>(a, x.row, w, K, gate, p, end, o, out.row, N); break;
        default: rows<8>(a, x.row, w, K, gate, p, end, o, out.row, N); break;
      }
      m += take;
    }
  }
}

static void norm(Value x, int64_t M, int64_t H, int64_t D, const float* w, float eps, Value out) {
  for (int64_t m = 0; m < M; ++m)
    for (int64_t h = 0; h < H; ++h) {
      const float* a = x.data + m * x.row + h * D; float* o = out.data + m * out.row + h * D;
      vec sum = {};
      for (int64_t d = 0; d < D; d += L) { vec v = load(a + d); sum += v * v; }
      float by = 1.0f / std::sqrt(total(sum) / float(D) + eps);
      for (int64_t d = 0; d < D; d += L) { vec v = load(a + d) * by; store(o + d, w ? v * load(w + d) : v); }
    }
}
static void rotate(Value x, int64_t M, int64_t H, int64_t D, Value cos, Value sin, Value out) {
  int64_t half = D / 2;
  for (int64_t m = 0; m < M; ++m)
    for (int64_t h = 0; h < H; ++h) {
      const float *a = x.data + m * x.row + h * D, *c = cos.data + m * cos.row, *s = sin.data + m * sin.row;
      float* o = out.data + m * out.row + h * D;
      for (int64_t d = 0; d < half; d += L) {
        vec low = load(a + d), high = load(a + half + d);
        store(o + d, low * load(c + d) - high * load(s + d));
        store(o + half + d, high * load(c + half + d) + low * load(s + half + d));
      }
    }
}
template <typename F> static void each(Value a, Value b, Value out, int64_t M, int64_t N, F f) {
  for (int64_t m = 0; m < M; ++m)
    for (int64_t n = 0; n < N; n += L)
      store(out.data + m * out.row + n, f(load(a.data + m * a.row + n), load(b.data + m * b.row + n)));
}

struct Code {
  const int64_t* at;
  int64_t next() { return *at++; }
  float number() { int32_t bits = int32_t(next()); float value; std::memcpy(&value, &bits, 4); return value; }
};

extern "C" AOTITorchError aoti_torch_cpu_chain(const AtenTensorHandle* inputs, int64_t, const int64_t* written, int64_t length, AtenTensorHandle* ret0) {
  Code head{written};
  const int64_t results = head.next(), shared = head.next(), own = head.next(), work = head.next(), meetings = head.next(), values = head.next();
  const int64_t* described = head.at;
  const int64_t *first = described + 4 * values, *last = written + length;
  AtenTensorHandle out = empty({results});
  float* result = data(out);
  static thread_local std::vector<float> scratch;
  int64_t threads = std::min<int64_t>(omp_get_max_threads(), work / (MEET * std::max<int64_t>(meetings, 1)));
  if (omp_in_parallel() || threads < 1) threads = 1;
  constexpr int64_t LINE = 16;
  scratch.resize(shared + threads * own + LINE);
  float* base = scratch.data() + (LINE - reinterpret_cast<uintptr_t>(scratch.data()) / 4 % LINE) % LINE;
  Meeting meeting;
  auto walk = [&](int me, int all) {
    auto value = [&](int64_t index) -> Value {
      const int64_t* v = described + 4 * index;
      float* from = v[0] == INPUT ? data(inputs[v[1]]) : v[0] == RESULT ? result + v[1] : v[0] == SHARED ? base + v[1] : base + shared + me * own + v[1];
      return {from + v[2], v[3]};
    };
    for (Code code{first}; code.at < last;) switch (code.next()) {
      case NORM: {
        Value o = value(code.next()), x = value(code.next()); int64_t w = code.next(), M = code.next(), H = code.next(), D = code.next();
        norm(x, M, H, D, w < 0 ? nullptr : data(inputs[w]), code.number(), o); break; }
      case ADD: {
        Value o = value(code.next()), a = value(code.next()), b = value(code.next()); int64_t M = code.next(), N = code.next();
        each(a, b, o, M, N, [](vec x, vec y) { return x + y; }); break; }
      case MULTIPLY: {
        Value o = value(code.next()), a = value(code.next()), b = value(code.next()); int64_t M = code.next(), N = code.next();
        each(a, b, o, M, N, [](vec x, vec y) { return x * y; }); break; }
      case SCALE: {
        Value o = value(code.next()), a = value(code.next()); float by = *data(inputs[code.next()]); int64_t M = code.next(), N = code.next();
        each(a, a, o, M, N, [by](vec x, vec) { return x * by; }); break; }
      case TIMES: {
        Value o = value(code.next()), a = value(code.next()); float by = code.number(); int64_t M = code.next(), N = code.next();
        each(a, a, o, M, N, [by](vec x, vec) { return x * by; }); break; }
      case GATE: {
        Value o = value(code.next()), a = value(code.next()), b = value(code.next()); int64_t kind = code.next(), M = code.next(), N = code.next();
        each(a, b, o, M, N, [kind](vec x, vec y) { return activate(kind, x) * y; }); break; }
      case ROTATE: {
        Value o = value(code.next()), x = value(code.next()), c = value(code.next()), s = value(code.next());
        int64_t M = code.next(), H = code.next(), D = code.next();
        rotate(x, M, H, D, c, s, o); break; }
      case PRODUCT: {
        Value o = value(code.next()), x = value(code.next()); const float* w = data(inputs[code.next()]);
        int64_t M = code.next(), K = code.next(), N = code.next(), gate = code.next(), wide = gate ? L : G, parts = (N + wide - 1) / wide;
        product(x, M, w, K, gate, parts * me / all, parts * (me + 1) / all, o, N);
        meeting.wait(all); break; }
      case STORE: {
        AtenTensorHandle kept = inputs[code.next()]; Value x = value(code.next());
        const int64_t* slots = reinterpret_cast<const int64_t*>(data(inputs[code.next()]));
        int64_t B = code.next(), W = code.next(), H = code.next(), D = code.next(); const int64_t* s = strides(kept); float* to = data(kept);
        for (int64_t bh = me; bh < B * H; bh += all) for (int64_t i = 0, b = bh / H, h = bh % H; i < W; ++i)
          std::memcpy(to + b * s[0] + h * s[1] + slots[b * W + i] * s[2], x.data + (b * W + i) * x.row + h * D, D * sizeof(float));
        break; }
      case ATTEND: {
        Value o = value(code.next()), q = value(code.next()); AtenTensorHandle k = inputs[code.next()], v = inputs[code.next()], mask = inputs[code.next()];
        int64_t B = code.next(), W = code.next(), H = code.next(), groups = code.next(), D = code.next(), S = code.next(); float scale = code.number();
        const int64_t *sk = strides(k), *sv = strides(v), *sm = strides(mask); int64_t mb = sizes(mask)[0] == 1 ? 0 : sm[0], mr = sizes(mask)[2] == 1 ? 0 : sm[2];
        int64_t shares = (all + B * H - 1) / (B * H); if (shares > groups) shares = groups;
        if (shares > 1) meeting.wait(all);  // rows that others store
        for (int64_t part = me; part < B * H * shares; part += all) {
          int64_t b = part % (B * H) / H, h = part % H, share = part / (B * H), g0 = groups * share / shares, g1 = groups * (share + 1) / shares;
          const float* rows_[MOST_QUERIES]; float* outs[MOST_QUERIES]; const float* masks[MOST_QUERIES]; int64_t R = 0;
          for (int64_t i = 0; i < W; ++i) for (int64_t g = g0; g < g1; ++g, ++R) {  // those of one mask together
            rows_[R] = q.data + (b * W + i) * q.row + (h * groups + g) * D; outs[R] = o.data + (b * W + i) * o.row + (h * groups + g) * D;
            masks[R] = data(mask) + b * mb + i * mr; }
          attention(rows_, outs, masks, R, data(k) + b * sk[0] + h * sk[1], sk[2], data(v) + b * sv[0] + h * sv[1], sv[2], S, D, scale);
        }
        meeting.wait(all); break; }
      case GIVE: {
        Value o = value(code.next()), x = value(code.next()); int64_t M = code.next(), N = code.next();
        if (me == 0) for (int64_t m = 0; m < M; ++m) std::memcpy(o.data + m * o.row, x.data + m * x.row, N * sizeof(float));
        break; }
    }
  };
  if (threads == 1) walk(0, 1);
  else {
#pragma omp parallel num_threads(threads)
    walk(omp_get_thread_num(), omp_get_num_threads());
  }
  *ret0 = out;
  return 0;
}

// Pack w [N, K] into panels of G columns, from panel `from` on; paired with `up`, a panel is L columns of each.
extern "C" void drafthouse_pack(const float* w, int64_t N, int64_t K, int64_t row, const float* up, int64_t up_row, int64_t column, float* to) {
  for (int64_t n = 0; n < N; ++n) {
    int64_t at = column + n, panel = up ? at / L : at / G, lane = up ? at % L : at % G;
    for (int64_t k = 0; k < K; ++k) {
      to[(panel * K + k) * G + lane] = w[n * row + k];
      if (up) to[(panel * K + k) * G + L + lane] = up[n * up_row + k];
    }
  }
}
extern "C" int64_t drafthouse_panel() { return G; }
