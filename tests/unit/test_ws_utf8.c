/* SPDX-License-Identifier: MIT */
/* UTF-8 in pieces: every code point, and every way to be wrong. */
#include "unit/unit.h"

#include "http/ws_utf8.h"

enum { WHOLE, OPEN, WRONG };

/* What becomes of the text in pieces of `step` bytes; *at: bytes fed until it was
 * wrong. */
static int feed(cw_span_t text, size_t step, size_t *at) {
  cw_ws_utf8_t u = {0};
  for (*at = 0; *at < text.len; *at += step)
    if (!cw_ws_utf8_feed(&u, text.p + *at, CW_MIN(step, text.len - *at))) return WRONG;
  return cw_ws_utf8_is_whole(&u) ? WHOLE : OPEN;
}

static void check(const char *text, int want) {
  size_t at;
  for (size_t step = 1; step <= strlen(text) + 1; step++)
    if (feed(SPAN(text), step, &at) != want) fail_msg("%s by %zu", text, step);
}

/* The encoding by the table of RFC 3629 section 3, of anything below 2^21. */
static size_t encode(uint32_t c, unsigned bytes, char *out) {
  static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
  if (bytes == 1) {
    out[0] = (char)c;
    return 1;
  }
  for (unsigned i = bytes - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
  out[0] = (char)(lead[bytes] | c);
  return bytes;
}

static void every_code_point_is_taken_in_its_one_form(void **state) {
  char text[4];
  size_t at;
  for (uint32_t c = 0; c < 0x200000; c++)
    for (unsigned bytes = 1; bytes <= 4; bytes++) {
      static const uint32_t most[] = {0, 0x7f, 0x7ff, 0xffff, 0x1fffff};
      if (c > most[bytes]) continue;
      bool shortest = bytes == 1 || c > most[bytes - 1];
      bool is_one = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
      cw_span_t s = {text, encode(c, bytes, text)};
      if (feed(s, bytes, &at) != (shortest && is_one ? WHOLE : WRONG))
        fail_msg("U+%X in %u bytes", c, bytes);
    }
}

static void a_character_may_come_in_pieces(void **state) {
  check("plain text that is longer than sixteen bytes", WHOLE);
  check("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", WHOLE);
  check("12345678\xf0\x9f\x98\x80 12345678\xc3\xa4", WHOLE);
  check("open \xf0\x9f\x98", OPEN);
  check("open \xe2\x82", OPEN);
  check("open \xc3", OPEN);
}

static void wrong_bytes_are_told_at_once(void **state) {
  static const char *const texts[] = {"a\x80", "\xc0\xaf",  "\xc1\xbf",
                                      "\xf5",  "\xfe",      "\xff",
                                      "\xc3(", "\xe2\x82(", "\xc3\xc3"};
  for (size_t i = 0; i < CW_ARRAY_LEN(texts); i++) {
    char longer[32] = "";
    size_t at;
    check(texts[i], WRONG);
    strcat(strcat(longer, texts[i]), "12345678");
    assert_int_equal(feed(SPAN(longer), 1, &at), WRONG);
    assert_true(at < strlen(texts[i]));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_code_point_is_taken_in_its_one_form),
      cmocka_unit_test(a_character_may_come_in_pieces),
      cmocka_unit_test(wrong_bytes_are_told_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
