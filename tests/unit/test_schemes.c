/* SPDX-License-Identifier: MIT */
/* secure_scheme_headers. */
#include "unit/unit.h"

#include "base/schemes.h"

static cw_schemes_t s;
static char err[300];

static void gunicorns_three(void **state) {
  assert_int_equal(cw_schemes_parse(&s, NULL, err, sizeof(err)), 0);
  assert_int_equal(s.n, 3);
  assert_string_equal(s.items[0].name, "x-forwarded-protocol");
  assert_string_equal(s.items[0].value, "ssl");
  assert_string_equal(s.items[1].name, "x-forwarded-proto");
  assert_string_equal(s.items[1].value, "https");
  assert_string_equal(s.items[2].name, "x-forwarded-ssl");
  assert_string_equal(s.items[2].value, "on");
}

static void chosen_ones(void **state) {
  assert_int_equal(cw_schemes_parse(&s, " X-A = On ,B=YES", err, sizeof(err)), 0);
  assert_int_equal(s.n, 2);
  assert_string_equal(s.items[0].name, "x-a");
  assert_int_equal(s.items[0].name_len, 3);
  assert_string_equal(s.items[0].value, "on");
  assert_string_equal(s.items[1].value, "yes");
  assert_true(s.lengths == (1u << 3 | 1u << 1));
  assert_int_equal(cw_schemes_parse(&s, "", err, sizeof(err)), 0);
  assert_int_equal(s.n, 0);
}

static void bad_ones(void **state) {
  static const char *const bad[] = {"A", "A=", "=b", "A=b,,C=d",
                                    "A=0123456789012345678901234567890x"};
  for (size_t i = 0; i < CW_ARRAY_LEN(bad); i++)
    if (cw_schemes_parse(&s, bad[i], err, sizeof(err)) == 0)
      fail_msg("taken: %s", bad[i]);
  assert_non_null(strstr(err, "secure_scheme_headers"));
  /* One more than there is room for. */
  const char *many = "a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1";
  assert_int_equal(cw_schemes_parse(&s, many + 4, err, sizeof(err)), 0);
  assert_int_equal(cw_schemes_parse(&s, many, err, sizeof(err)), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gunicorns_three),
      cmocka_unit_test(chosen_ones),
      cmocka_unit_test(bad_ones),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
