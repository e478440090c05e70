/* SPDX-License-Identifier: MIT */
/* Timer queues. */
#include "unit/unit.h"

#include "http/timeq.h"

static void timers_expire_in_order(void **state) {
  static const uint64_t durations[CW_TIMER_KINDS] = {[CW_TIMER_HEAD] = 30,
                                                     [CW_TIMER_IDLE] = 100,
                                                     [CW_TIMER_STALL] = 50,
                                                     [CW_TIMER_LINGER] = 5};
  cw_timeqs_t qs;
  cw_timer_kind_t kind;
  cw_timer_t a, b, c;
  cw_timeqs_init(&qs, durations);
  cw_timer_init(&a);
  cw_timer_init(&b);
  cw_timer_init(&c);
  assert_true(cw_timeqs_next(&qs) == UINT64_MAX);
  cw_timer_start(&qs, &a, CW_TIMER_HEAD, 0);
  cw_timer_start(&qs, &b, CW_TIMER_IDLE, 0);
  cw_timer_start(&qs, &c, CW_TIMER_HEAD, 1);
  assert_int_equal(cw_timeqs_next(&qs), 30);
  assert_null(cw_timeqs_expire(&qs, 29, &kind));
  assert_ptr_equal(cw_timeqs_expire(&qs, 30, &kind), &a);
  assert_int_equal(kind, CW_TIMER_HEAD);
  assert_null(cw_timeqs_expire(&qs, 30, &kind));
  cw_timer_start(&qs, &c, CW_TIMER_LINGER, 2); /* moves to another queue */
  assert_ptr_equal(cw_timeqs_expire(&qs, 7, &kind), &c);
  assert_int_equal(kind, CW_TIMER_LINGER);
  cw_timer_stop(&b);
  cw_timer_stop(&b);
  assert_null(cw_timeqs_expire(&qs, 1000, &kind));
  assert_true(cw_timeqs_next(&qs) == UINT64_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(timers_expire_in_order)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
