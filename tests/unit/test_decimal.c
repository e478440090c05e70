/* SPDX-License-Identifier: MIT */
/* Decimal digits. */
#include "unit/unit.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/decimal.h"

static void it_is_what_printf_writes(void **state) {
  uint64_t edge = 1;
  for (int digits = 0; digits <= 20;
       digits++, edge = digits < 20 ? edge * 10 : UINT64_MAX)
    for (uint64_t n = edge - 1; n - (edge - 1) < 3; n++) {
      char got[CW_DECIMAL_MAX], wanted[CW_DECIMAL_MAX + 1];
      int len = snprintf(wanted, sizeof(wanted), "%" PRIu64, n);
      assert_int_equal(cw_decimal(got, n), len);
      assert_memory_equal(got, wanted, (size_t)len);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(it_is_what_printf_writes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
