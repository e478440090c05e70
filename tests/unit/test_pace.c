/* SPDX-License-Identifier: MIT */
/* Who writes without end does not keep the supervisor awake. */
#include "unit/unit.h"

#include "supervisor/pace.h"

enum { WINDOW = 100 * 1000, MOST = 32 };

static void so_many_in_a_window(void **state) {
  pace_t p = {0};
  int64_t now = 5000000, wait = -1;
  for (int i = 0; i < MOST; i++) {
    assert_true(cw_pace_allows(&p, now + i, &wait));
    assert_int_equal(wait, -1);
    cw_pace_note(&p, now + i);
  }
  assert_false(cw_pace_allows(&p, now + MOST, &wait));
  assert_int_equal(wait, WINDOW - MOST);
  /* Others may want to be woken sooner, or later. */
  wait = 7;
  assert_false(cw_pace_allows(&p, now + MOST, &wait));
  assert_int_equal(wait, 7);
  wait = 2 * WINDOW;
  assert_false(cw_pace_allows(&p, now + MOST, &wait));
  assert_int_equal(wait, WINDOW - MOST);
}

static void the_next_window_begins_anew(void **state) {
  pace_t p = {0};
  int64_t now = 5000000, wait = -1;
  for (int i = 0; i < MOST; i++) cw_pace_note(&p, now);
  assert_false(cw_pace_allows(&p, now + WINDOW - 1, &wait));
  wait = -1;
  assert_true(cw_pace_allows(&p, now + WINDOW, &wait));
  assert_int_equal(wait, -1);
  cw_pace_note(&p, now + WINDOW);
  assert_int_equal(p.n, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(so_many_in_a_window),
      cmocka_unit_test(the_next_window_begins_anew),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
