/* SPDX-License-Identifier: MIT */
/* Frames in pieces of any size, and each rule of RFC 6455 section 5 broken. */
#include "unit/unit.h"

#include <stdio.h>

#include "http/ws_frame.h"

enum { MOST = 200 * 1024 };

static char wire[MOST + 64], text[MOST];

/* A client's frame: `first` is its first byte. Returns its length. */
static size_t frame(char *out, unsigned first, const char *data, size_t n) {
  static const uint8_t key[4] = {0x12, 0x9c, 0xff, 0x01};
  size_t len = cw_ws_frame_head(out, CW_WS_OP_CONTINUATION, false, n);
  out[0] = (char)first;
  out[1] = (char)(out[1] | 0x80);
  memcpy(out + len, key, 4);
  cw_ws_unmask(out + len + 4, data, n, key, 0);
  return len + 4 + n;
}

/* What came of a stream, as words: T"..." a text, P a ping, and so on. */
typedef struct got {
  char words[2048];
  const char *why;
  size_t bytes; /* of payload */
} got_t;

static void read_all(const char *p, size_t n, size_t step, bool may_compress,
                     got_t *g) {
  cw_ws_frames_t f = {.may_compress = may_compress};
  cw_ws_piece_t piece;
  size_t used = 0, at = 0;
  memset(g, 0, sizeof(*g));
  while (used < n) {
    ssize_t k =
        cw_ws_frames_next(&f, p + used, CW_MIN(step, n - used), &piece, &g->why);
    if (k < 0) return;
    used += (size_t)k;
    if (!piece.opcode) continue;
    char *w = g->words;
    if (piece.begins)
      at += (size_t)snprintf(w + at, sizeof(g->words) - at, "%s%c(",
                             piece.compressed ? "z" : "", ".TB.....CPp"[piece.opcode]);
    cw_ws_unmask(text, piece.masked.p, piece.masked.len, piece.key, piece.phase);
    g->bytes += piece.masked.len;
    at += (size_t)snprintf(w + at, sizeof(g->words) - at, "%.*s",
                           (int)CW_MIN(piece.masked.len, 20u), text);
    if (piece.ends) at += (size_t)snprintf(w + at, sizeof(g->words) - at, ")");
  }
}

static void check(size_t n, bool may_compress, const char *want) {
  got_t g;
  for (size_t step = 1; step <= n; step++) {
    read_all(wire, n, step, may_compress, &g);
    if (g.why || strcmp(g.words, want) != 0)
      fail_msg("by %zu: %s, %s", step, g.words, g.why ? g.why : "-");
  }
}

static void messages_and_control_frames(void **state) {
  size_t n = frame(wire, 0x81, "hello", 5);
  n += frame(wire + n, 0x82, "", 0);
  n += frame(wire + n, 0x89, "now", 3);
  n += frame(wire + n, 0x8a, "", 0);
  n += frame(wire + n, 0x88, "\x03\xe8", 2);
  check(n, false, "T(hello)B()P(now)p()C(\x03\xe8)");
}

static void fragments_with_a_control_frame_between(void **state) {
  size_t n = frame(wire, 0x01, "he", 2);
  n += frame(wire + n, 0x00, "", 0);
  n += frame(wire + n, 0x89, "?", 1);
  n += frame(wire + n, 0x00, "ll", 2);
  n += frame(wire + n, 0x80, "o", 1);
  n += frame(wire + n, 0x02, "", 0);
  n += frame(wire + n, 0x80, "", 0);
  check(n, false, "T(heP(?)llo)B()");
}

static void only_the_first_frame_says_that_it_is_compressed(void **state) {
  size_t n = frame(wire, 0x41, "he", 2);
  n += frame(wire + n, 0x89, "?", 1);
  n += frame(wire + n, 0x80, "y", 1);
  n += frame(wire + n, 0x81, "no", 2);
  check(n, true, "zT(heP(?)y)T(no)");
}

static void lengths_around_their_forms(void **state) {
  static const size_t lengths[] = {0, 1, 125, 126, 127, 65535, 65536, MOST};
  got_t g;
  for (size_t i = 0; i < CW_ARRAY_LEN(lengths); i++) {
    char *data = text + MOST - lengths[i];
    memset(data, 'x', lengths[i]);
    size_t n = frame(wire, 0x82, data, lengths[i]);
    assert_int_equal(n, lengths[i] + (lengths[i] > 65535 ? 14
                                      : lengths[i] > 125 ? 8
                                                         : 6));
    read_all(wire, n, 4096, false, &g);
    assert_null(g.why);
    assert_int_equal(g.bytes, lengths[i]);
    assert_int_equal(g.words[strlen(g.words) - 1], ')');
  }
}

/* Each refused by its first wrong byte, at the latest with the head. */
static void broken_frames(void **state) {
  static const struct {
    const char *bytes;
    size_t n;
    const char *why;
  } cases[] = {
      {"\x81\x05", 2, "without a mask"},
      {"\x83\x80", 2, "unknown kind"},
      {"\x87\x80", 2, "unknown kind"},
      {"\x8b\x80", 2, "unknown kind"},
      {"\x8f\x80", 2, "unknown kind"},
      {"\xc1\x80", 2, "reserved bit"},
      {"\xa1\x80", 2, "reserved bit"},
      {"\x91\x80", 2, "reserved bit"},
      {"\x09\x80", 2, "in fragments"},
      {"\x08\x80", 2, "in fragments"},
      {"\x89\xfe", 2, "too long"},
      {"\x88\xff", 2, "too long"},
      {"\x80\x80", 2, "no message"},
      {"\x00\x80", 2, "no message"},
      {"\x01\x80\1\2\3\4\x81\x80", 8, "inside another"},
      {"\x01\x80\1\2\3\4\x02\x80", 8, "inside another"},
      {"\x81\xfe\x00\x7d\1\2\3\4", 8, "shortest form"},
      {"\x81\xff\0\0\0\0\0\0\xff\xff\1\2\3\4", 14, "shortest form"},
      {"\x81\xff\x80\0\0\0\0\1\0\0\1\2\3\4", 14, "63 bits"},
  };
  got_t g;
  for (size_t i = 0; i < CW_ARRAY_LEN(cases); i++)
    for (size_t step = 1; step <= cases[i].n; step++) {
      read_all(cases[i].bytes, cases[i].n, step, false, &g);
      if (!g.why || !strstr(g.why, cases[i].why))
        fail_msg("%zu by %zu: %s", i, step, g.why ? g.why : "taken");
    }
  /* What was agreed on: RSV1, not on continuations or control frames, nor the others.
   */
  read_all("\x41\x80\1\2\3\4\xc0\x80", 8, 8, true, &g);
  assert_non_null(g.why);
  read_all("\xc9\x80", 2, 2, true, &g);
  assert_non_null(g.why);
  read_all("\xe1\x80", 2, 2, true, &g);
  assert_non_null(g.why);
}

static void a_mask_comes_off_at_any_offset(void **state) {
  static const uint8_t key[4] = {1, 2, 4, 8};
  char from[64], to[64];
  for (unsigned phase = 0; phase < 4; phase++)
    for (size_t n = 0; n < sizeof(from); n++) {
      for (size_t i = 0; i < n; i++) from[i] = (char)(i ^ key[(phase + i) & 3]);
      cw_ws_unmask(to, from, n, key, phase);
      cw_ws_unmask(from, from, n, key, phase);
      for (size_t i = 0; i < n; i++) {
        assert_int_equal(to[i], (char)i);
        assert_int_equal(from[i], (char)i);
      }
    }
}

static void codes_that_may_be_sent(void **state) {
  static const int good[] = {1000, 1003, 1007, 1011, 1014, 3000, 4999},
                   bad[] = {0,    999,  1004, 1005, 1006, 1015,
                            1016, 1100, 2000, 2999, 5000, 65535};
  for (size_t i = 0; i < CW_ARRAY_LEN(good); i++) assert_true(cw_ws_is_code(good[i]));
  for (size_t i = 0; i < CW_ARRAY_LEN(bad); i++) assert_false(cw_ws_is_code(bad[i]));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(messages_and_control_frames),
      cmocka_unit_test(fragments_with_a_control_frame_between),
      cmocka_unit_test(only_the_first_frame_says_that_it_is_compressed),
      cmocka_unit_test(lengths_around_their_forms),
      cmocka_unit_test(broken_frames),
      cmocka_unit_test(a_mask_comes_off_at_any_offset),
      cmocka_unit_test(codes_that_may_be_sent),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
