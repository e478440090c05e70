/* SPDX-License-Identifier: MIT */
/* A buffer that grows. */
#include "unit/unit.h"

#include "base/buf.h"
#include "base/fault.h"

static void buf_keeps_order_over_consumption(void **state) {
  cw_buf_t b = {0};
  unsigned char in = 0, out = 0;
  for (int round = 0; round < 2000; round++) {
    for (int i = 0; i < 7; i++, in++) assert_int_equal(cw_buf_append(&b, &in, 1), 0);
    for (int i = 0; i < 5; i++, out++) {
      assert_int_equal((unsigned char)b.p[b.off], out);
      cw_buf_consume(&b, 1);
    }
  }
  assert_int_equal(cw_buf_pending(&b), 4000);
  assert_true(b.cap < 16 * 1024); /* consumed bytes are not kept */
  cw_buf_free(&b);
  assert_null(b.p);
}

static void buf_is_unchanged_when_out_of_memory(void **state) {
  cw_buf_t b = {0};
  assert_int_equal(cw_buf_append(&b, "abc", 3), 0);
  static char big[4096];
  cw_fault_arm(1);
  assert_int_equal(cw_buf_append(&b, big, sizeof(big)), -1);
  assert_int_equal(cw_buf_pending(&b), 3);
  assert_memory_equal(b.p + b.off, "abc", 3);
  cw_buf_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(buf_keeps_order_over_consumption),
      cmocka_unit_test(buf_is_unchanged_when_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
