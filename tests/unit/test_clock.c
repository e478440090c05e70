/* SPDX-License-Identifier: MIT */
/* The text of Date. */
#include "unit/unit.h"

#include "base/clock.h"

static void date_has_the_fixed_form(void **state) {
  const char *d = cw_http_date();
  assert_int_equal(strlen(d), CW_DATE_LEN);
  assert_memory_equal(d + 3, ", ", 2);
  assert_string_equal(d + 25, " GMT");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(date_has_the_fixed_form),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
