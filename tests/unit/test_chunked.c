/* SPDX-License-Identifier: MIT */
/* The chunked coding: whole, byte by byte, and broken in every way we know. */
#include "unit/unit.h"

#include "http/chunked.h"

/* Decodes `text` in pieces of `step`. Returns the bytes used up to the body's end, 0
 * where it is not complete, -1 where it is broken; `out` is the body. */
static ssize_t decode(const char *text, size_t len, size_t step, char *out,
                      size_t *out_len) {
  cw_chunked_t c;
  size_t at = 0;
  *out_len = 0;
  cw_chunked_init(&c);
  while (at < len) {
    size_t n = CW_MIN(step, len - at), used = 0;
    while (used < n) {
      cw_span_t data;
      ssize_t k = cw_chunked_next(&c, text + at + used, n - used, &data);
      if (k < 0) return -1;
      memcpy(out + *out_len, data.p ? data.p : "", data.len);
      *out_len += data.len;
      used += (size_t)k;
      if (cw_chunked_done(&c)) return (ssize_t)(at + used);
    }
    at += n;
  }
  return 0;
}

static void check(const char *text, ssize_t want, const char *body) {
  char out[256];
  size_t n, len = strlen(text);
  for (size_t step = 1; step <= len; step++) {
    ssize_t got = decode(text, len, step, out, &n);
    if (got != want) fail_msg("'%s' in steps of %zu: %zd", text, step, got);
    if (body && (n != strlen(body) || memcmp(out, body, n) != 0))
      fail_msg("'%s': body", text);
  }
}

static void good(void **state) {
  check("5\r\nhello\r\n0\r\n\r\nrest", 15, "hello");
  check("A\r\n0123456789\r\n1;x=y\r\nz\r\n0\r\n\r\n", 30, "0123456789z");
  check("000\r\nTrailer: x\r\nB: \r\n\r\n", 24, "");
  check("1;a=\"q;\"\r\nx\r\n0;last\r\n\r\n", 23, "x");
  check("5\r\nhel", 0, "hel");
  check("1 ; a\r\nx\r\n0\r\n\r\n", 15, "x");
  check("1;a\t= b ; c\r\nx\r\n0\r\n\r\n", 21, "x");
  check("1;a=\"q\" ;b\r\nx\r\n0 ;z\r\n\r\n", 23, "x");
  check("00000000000000000000000000000001\r\nx\r\n0\r\n\r\n", 42, "x");
}

static void broken(void **state) {
  static const char *const cases[] = {"\r\n",
                                      "g\r\n",
                                      " 5\r\nhello\r\n",
                                      "5 \r\nhello\r\n",
                                      "5\nhello\r\n",
                                      "5\r\nhello\n",
                                      "5\r\nhelloX\r\n",
                                      "-1\r\n",
                                      "0x5\r\n",
                                      "+5\r\n",
                                      "5\rX",
                                      "0\r\n\n",
                                      "0\r\n\rX",
                                      "0\r\n x: y\r\n",
                                      "0\r\nbad\r\n",
                                      "0\r\n: v\r\n",
                                      "0\r\na b: v\r\n",
                                      "5;\x01\r\n",
                                      "1111111111111111\r\n",
                                      "01111111111111111\r\n",
                                      "5;a\nb\r\n",
                                      "5;\r\n",
                                      "5;;\r\n",
                                      "5;=a\r\n",
                                      "5;a=\r\n",
                                      "5;a=\"b\r\n",
                                      "5;a=\"b\"c\r\n",
                                      "5;a \r\n",
                                      "5;a=b \r\n",
                                      "5;a=\"b\" \r\n",
                                      "5 a\r\n",
                                      "5 =a\r\n",
                                      "5; \r\n",
                                      "5;a= \r\n",
                                      "5;a b\r\n",
                                      "5;a=b c\r\n",
                                      "5;a==b\r\n",
                                      "0\r\na: b\n\r\n",
                                      "\t5\r\n",
                                      "5\r\r\n"};
  for (size_t i = 0; i < CW_ARRAY_LEN(cases); i++) check(cases[i], -1, NULL);
}

static void overhead_is_bounded(void **state) {
  static char text[20000], out[16];
  size_t n;
  memset(text, '0', sizeof(text));
  assert_int_equal(decode(text, sizeof(text), 777, out, &n), -1);
  memset(text, ' ', sizeof(text));
  memcpy(text, "1", 1);
  assert_int_equal(decode(text, sizeof(text), 777, out, &n), -1);
  memset(text, 'a', sizeof(text));
  memcpy(text, "1;", 2);
  assert_int_equal(decode(text, sizeof(text), 777, out, &n), -1);
  memcpy(text, "0\r\na:", 5);
  assert_int_equal(decode(text, sizeof(text), 777, out, &n), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(good),
      cmocka_unit_test(broken),
      cmocka_unit_test(overhead_is_bounded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
