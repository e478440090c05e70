/* SPDX-License-Identifier: MIT */
/* Compression by all terms that can be agreed on, there and back, and streams that are
 * broken, end early or expand to too much. */
#include "unit/unit.h"

#include <stdlib.h>

#include "base/fault.h"
#include "http/ws_deflate.h"

enum { LONG = 300 * 1024, MOST = 16 * 1024 * 1024 };

static cw_ws_stock_t stock;
static char text[LONG];

static const cw_ws_terms_t fresh = {true, true, true, 15, 15},
                           kept = {true, false, false, 12, 15},
                           small = {true, false, false, 9, 9},
                           small_fresh = {true, true, false, 9, 12};

static int set_up(void **state) {
  unsigned seed = 1;
  for (size_t i = 0; i < sizeof(text); i++) {
    seed = seed * 1103515245 + 12345;
    text[i] = (char)("etaoinshrdlu "[(seed >> 16) % 13]);
  }
  return 0;
}

/* The other side's end: as ours, with the directions changed. */
static cw_ws_terms_t turned(const cw_ws_terms_t *t) {
  return (cw_ws_terms_t){t->agreed, t->their_fresh, t->own_fresh, t->their_bits,
                         t->own_bits};
}

static void send_and_receive(cw_ws_deflate_t *from, cw_ws_deflate_t *to, const char *p,
                             size_t n, size_t step, size_t *sent) {
  cw_buf_t wire = {0};
  cw_ws_data_t *data = NULL;
  assert_int_equal(cw_ws_deflate(from, p, n, &wire), 0);
  *sent = wire.len;
  for (size_t at = 0; at < wire.len; at += step) {
    size_t k = CW_MIN(step, wire.len - at);
    assert_int_equal(cw_ws_inflate(to, wire.p + at, k, at + k == wire.len, &data, MOST),
                     CW_WS_INFLATED);
  }
  assert_int_equal(data->len, n);
  assert_memory_equal(data->bytes, p, n);
  free(data);
  cw_buf_free(&wire);
}

static void there_and_back(void **state) {
  static const cw_ws_terms_t *const all[] = {&fresh, &kept, &small, &small_fresh};
  static const size_t lengths[] = {1, 64, 1000, 16 * 1024, LONG};
  for (size_t i = 0; i < CW_ARRAY_LEN(all); i++) {
    cw_ws_deflate_t a, b;
    cw_ws_terms_t other = turned(all[i]);
    cw_ws_stock_init(&stock);
    cw_ws_deflate_init(&a, &stock, all[i]);
    cw_ws_deflate_init(&b, &stock, &other);
    for (size_t j = 0; j < CW_ARRAY_LEN(lengths); j++) {
      size_t first, again, n = lengths[j];
      send_and_receive(&a, &b, text, n, n < 2000 ? 1 : 1000, &first);
      send_and_receive(&a, &b, text, n, LONG, &again);
      if (n == 1000) {
        assert_true(first < n);
        /* A window makes the second one small; without it they are alike. */
        if (all[i]->own_fresh)
          assert_int_equal(again, first);
        else if (all[i]->own_bits > 10)
          assert_true(again < first / 4);
      }
      assert_int_equal(!a.out, all[i]->own_fresh);
      assert_int_equal(!b.in, other.their_fresh);
    }
    cw_ws_deflate_fini(&a);
    cw_ws_deflate_fini(&b);
    cw_ws_stock_fini(&stock);
  }
}

/* One state does for all sockets, one after the other. */
static void idle_sockets_hold_no_state(void **state) {
  cw_ws_deflate_t a, b;
  size_t sent;
  cw_ws_stock_init(&stock);
  cw_ws_deflate_init(&a, &stock, &fresh);
  cw_ws_deflate_init(&b, &stock, &fresh);
  send_and_receive(&a, &b, text, 100, 7, &sent);
  struct z_stream_s *out = stock.deflate, *in = stock.inflate;
  assert_true(out && in);
  send_and_receive(&b, &a, text, 100, 7, &sent);
  assert_true(stock.deflate == out && stock.inflate == in);
  assert_true(!a.in && !a.out && !b.in && !b.out);
  cw_ws_stock_fini(&stock);
}

/* The examples of RFC 7692 section 7.2.3. */
static void examples(void **state) {
  static const struct {
    const char *bytes;
    size_t n;
    const char *want;
  } cases[] = {
      {"\xf2\x48\xcd\xc9\xc9\x07\x00", 7, "Hello"},
      {"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11, "Hello"},
      {"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8, "Hello"}, /* a last block */
      {"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13, "Hello"},
      {"\x00", 1, ""},
  };
  for (size_t i = 0; i < CW_ARRAY_LEN(cases); i++)
    for (size_t step = 1; step <= cases[i].n; step++) {
      cw_ws_deflate_t d;
      cw_ws_stock_init(&stock);
      cw_ws_deflate_init(&d, &stock, &kept);
      for (int twice = 0; twice < 2; twice++) {
        cw_ws_data_t *data = NULL;
        for (size_t at = 0; at < cases[i].n; at += step) {
          size_t k = CW_MIN(step, cases[i].n - at);
          assert_int_equal(cw_ws_inflate(&d, cases[i].bytes + at, k,
                                         at + k == cases[i].n, &data, MOST),
                           CW_WS_INFLATED);
        }
        assert_int_equal(data->len, strlen(cases[i].want));
        assert_memory_equal(data->bytes, cases[i].want, data->len);
        free(data);
      }
      cw_ws_deflate_fini(&d);
      cw_ws_stock_fini(&stock);
    }
}

/* Section 7.2.3.2: the second "Hello" is a reference to the first. Behind a last block
 * the window is still there. */
static void the_window_lasts(void **state) {
  static const char *const firsts[] = {"\xf2\x48\xcd\xc9\xc9\x07\x00",
                                       "\xf3\x48\xcd\xc9\xc9\x07\x00"};
  for (size_t i = 0; i < CW_ARRAY_LEN(firsts); i++) {
    cw_ws_deflate_t d;
    cw_ws_data_t *data = NULL;
    cw_ws_stock_init(&stock);
    cw_ws_deflate_init(&d, &stock, &kept);
    assert_int_equal(cw_ws_inflate(&d, firsts[i], 7, true, &data, MOST),
                     CW_WS_INFLATED);
    free(data);
    data = NULL;
    assert_int_equal(cw_ws_inflate(&d, "\xf2\x00\x11\x00\x00", 5, true, &data, MOST),
                     CW_WS_INFLATED);
    assert_int_equal(data->len, 5);
    assert_memory_equal(data->bytes, "Hello", 5);
    free(data);
    cw_ws_deflate_fini(&d);
    cw_ws_stock_fini(&stock);
  }
}

static void a_bomb_is_defused(void **state) {
  cw_ws_deflate_t a, b;
  cw_buf_t wire = {0};
  cw_ws_stock_init(&stock);
  cw_ws_deflate_init(&a, &stock, &fresh);
  char *zeros = calloc(1, 4 * 1024 * 1024);
  assert_non_null(zeros);
  assert_int_equal(cw_ws_deflate(&a, zeros, 4 * 1024 * 1024, &wire), 0);
  assert_true(wire.len < 32 * 1024);
  static const size_t limits[] = {1, 255, 256, 257, 100000, 4 * 1024 * 1024 - 1};
  for (size_t i = 0; i < CW_ARRAY_LEN(limits); i++) {
    cw_ws_data_t *data = NULL;
    cw_ws_deflate_init(&b, &stock, &fresh);
    assert_int_equal(cw_ws_inflate(&b, wire.p, wire.len, true, &data, limits[i]),
                     CW_WS_INFLATE_TOO_LONG);
    assert_true(data->cap <= limits[i] + 1);
    free(data);
    cw_ws_deflate_fini(&b);
  }
  cw_ws_data_t *data = NULL;
  cw_ws_deflate_init(&b, &stock, &fresh);
  assert_int_equal(cw_ws_inflate(&b, wire.p, wire.len, true, &data, 4 * 1024 * 1024),
                   CW_WS_INFLATED);
  assert_int_equal(data->len, 4 * 1024 * 1024);
  free(data);
  free(zeros);
  cw_buf_free(&wire);
  cw_ws_deflate_fini(&b);
  cw_ws_stock_fini(&stock);
}

static void broken_streams(void **state) {
  static const char *const cases[] = {
      "\xff\xff\xff\xff", "\x07", "\xf2\x48\xcd\xc9\xc9", "\xf2\x48\xcd\xc9\xc9\x07"};
  for (size_t i = 0; i < CW_ARRAY_LEN(cases); i++) {
    cw_ws_deflate_t d;
    cw_ws_data_t *data = NULL;
    cw_ws_stock_init(&stock);
    cw_ws_deflate_init(&d, &stock, &fresh);
    cw_ws_inflated_t rc =
        cw_ws_inflate(&d, cases[i], strlen(cases[i]), true, &data, MOST);
    if (rc != CW_WS_INFLATE_BROKEN) fail_msg("%zu: %d", i, rc);
    free(data);
    cw_ws_deflate_fini(&d);
    cw_ws_stock_fini(&stock);
  }
}

/* Each allocation fails once. */
static void without_memory(void **state) {
  for (long n = 1;; n++) {
    cw_ws_deflate_t a, b;
    cw_buf_t wire = {0};
    cw_ws_data_t *data = NULL;
    cw_ws_stock_init(&stock);
    cw_ws_deflate_init(&a, &stock, &fresh);
    cw_ws_deflate_init(&b, &stock, &kept);
    cw_fault_arm(n);
    bool sent = cw_ws_deflate(&a, text, 5000, &wire) == 0;
    cw_ws_inflated_t rc = CW_WS_INFLATE_NOMEM;
    if (sent) rc = cw_ws_inflate(&b, wire.p, wire.len, true, &data, MOST);
    bool failed = cw_fault_left() == 0;
    cw_fault_arm(0);
    assert_int_equal(rc, failed ? CW_WS_INFLATE_NOMEM : CW_WS_INFLATED);
    free(data);
    cw_buf_free(&wire);
    cw_ws_deflate_fini(&a);
    cw_ws_deflate_fini(&b);
    cw_ws_stock_fini(&stock);
    if (!failed) break;
    assert_true(n < 100);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(there_and_back),    cmocka_unit_test(idle_sockets_hold_no_state),
      cmocka_unit_test(examples),          cmocka_unit_test(the_window_lasts),
      cmocka_unit_test(a_bomb_is_defused), cmocka_unit_test(broken_streams),
      cmocka_unit_test(without_memory),
  };
  return cmocka_run_group_tests(tests, set_up, NULL);
}
