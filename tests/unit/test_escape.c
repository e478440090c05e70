/* SPDX-License-Identifier: MIT */
/* Escapes of the error log. */
#include "unit/unit.h"

#include <string.h>

#include "base/escape.h"
#include "base/log.h"
#include "base/macros.h"

static void escapes(void **state) {
  static const struct {
    const char *in, *line, *text;
  } all[] = {
      {"plain \\ \"text\"", "plain \\ \"text\"", "plain \\ \"text\""},
      {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x8d",
       "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x8d",
       "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x8d"},
      {"\x1b[2J", "\\x1B[2J", "\\x1B[2J"},
      {"a\n\tb\r", "a\\x0A\\x09b\\x0D", "a\n\tb\\x0D"},
      {"\x7f", "\\x7F", "\\x7F"},
      {"\x9b"
       "2J",
       "\\x9B2J", "\\x9B2J"}, /* CSI, raw */
      {"\xc2\x9b"
       "2J",
       "\\xC2\\x9B2J", "\\xC2\\x9B2J"}, /* the same in UTF-8 */
      {"\xc2\x80\xc2\x9f\xc2\xa0", "\\xC2\\x80\\xC2\\x9F\xc2\xa0",
       "\\xC2\\x80\\xC2\\x9F\xc2\xa0"},
      {"\xe2\x80\xa8", "\\xE2\\x80\\xA8", "\\xE2\\x80\\xA8"},
      {"\xe9", "\\xE9", "\\xE9"},
      {"\xed\xa0\x80", "\\xED\\xA0\\x80", "\\xED\\xA0\\x80"}, /* a surrogate */
      {"end\xe2\x82", "end\\xE2\\x82", "end\\xE2\\x82"},
  };
  char out[128];
  for (size_t i = 0; i < CW_ARRAY_LEN(all); i++) {
    size_t n = strlen(all[i].in), used;
    size_t len = cw_escape(out, sizeof(out) - 1, all[i].in, n, "", &used);
    out[len] = '\0';
    assert_string_equal(out, all[i].line);
    assert_int_equal(used, n);
    len = cw_escape(out, sizeof(out) - 1, all[i].in, n, CW_LOG_KEPT, NULL);
    out[len] = '\0';
    assert_string_equal(out, all[i].text);
    bool same = strcmp(all[i].in, all[i].text) == 0;
    assert_true((cw_escape_plain(all[i].in, n, CW_LOG_KEPT) == n) == same);
  }
}

/* Where there is no room for a whole one, it ends before. */
static void nothing_is_cut(void **state) {
  static const char in[] =
      "a\xc3\xa9\x1b"
      "b";
  static const size_t lens[] = {0, 1, 1, 3, 3, 3, 3, 7, 8, 8};
  char out[16];
  for (size_t size = 0; size < CW_ARRAY_LEN(lens); size++)
    assert_int_equal(cw_escape(out, size, in, sizeof(in) - 1, "", NULL), lens[size]);
}

static void targets(void **state) {
  assert_int_equal(cw_log_target("/a?token=b", 10), 2);
  assert_int_equal(cw_log_target("/a", 2), 2);
  cw_log_set_query(true);
  assert_int_equal(cw_log_target("/a?token=b", 10), 10);
  cw_log_set_query(false);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(escapes),
                                     cmocka_unit_test(nothing_is_cut),
                                     cmocka_unit_test(targets)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
