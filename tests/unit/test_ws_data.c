/* SPDX-License-Identifier: MIT */
/* How the memory of a message grows. */
#include "unit/unit.h"

#include <stdlib.h>

#include "base/fault.h"
#include "http/ws_data.h"

static void it_grows_no_further_than_asked_for(void **state) {
  cw_ws_data_t *d = cw_ws_data_reserve(NULL, 10, 1000);
  assert_non_null(d);
  assert_int_equal(d->cap, 10);
  assert_true(d->len == 0 && !d->next && !d->text);
  memcpy(d->bytes, "0123456789", 10);
  d->len = 10;
  assert_ptr_equal(cw_ws_data_reserve(d, 0, 1000), d);
  d = cw_ws_data_reserve(d, 1, 1000);
  assert_non_null(d);
  assert_int_equal(d->cap, 20);
  assert_memory_equal(d->bytes, "0123456789", 10);
  d = cw_ws_data_reserve(d, 500, 1000);
  assert_non_null(d);
  assert_int_equal(d->cap, 510);
  d->len = 510;
  d = cw_ws_data_reserve(d, 1, 1000);
  assert_non_null(d);
  assert_int_equal(d->cap, 1000);
  free(d);
}

static void without_memory_it_stays(void **state) {
  cw_ws_data_t *d = cw_ws_data_reserve(NULL, 4, 8);
  assert_non_null(d);
  d->len = 4;
  cw_fault_arm(1);
  assert_null(cw_ws_data_reserve(d, 1, 8));
  assert_true(d->len == 4 && d->cap == 4);
  cw_fault_arm(1);
  assert_null(cw_ws_data_reserve(NULL, 1, 8));
  free(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(it_grows_no_further_than_asked_for),
      cmocka_unit_test(without_memory_it_stays),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
